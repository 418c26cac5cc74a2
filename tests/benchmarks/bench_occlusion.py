"""Occlusion beside captum's, at the batch size at which captum is quickest; 224 pixels, patch 32."""

import torch
from captum.attr import Occlusion

from helpers.core import photos
from helpers.occlusion import occlusion
from tests.benchmarks.beside import beside, both

PATCH = 32
# network, stride, captum's best perturbations_per_eval (of 1, 4, 8, 16 and 32 on two cores), how much quicker in part
RACES = (("efficientnet_lite0", 8, 4, 4.0), ("vgg16", 16, 4, 7.0), ("alexnet", 8, 16, 3.5))


def rows() -> list[dict]:
    image = photos.photo("coffee", 224)
    found = []
    for name, stride, best, must in RACES:
        network, plain = both(name)
        baseline = network.mean_pixel.view(1, 3, 1, 1).expand_as(image)
        per_eval = (best,) if network.device.type == "cpu" else (16, 64, 256)
        target = network.category("espresso")

        def ours(incremental, network=network, stride=stride, target=target):
            *_, last = occlusion(network, image, target, PATCH, stride, incremental=incremental, score="logit")
            return last.clean - last.image

        @torch.inference_mode()
        def theirs(many, plain=plain, stride=stride, target=target, baseline=baseline):
            return Occlusion(plain).attribute(
                image,
                (3, PATCH, PATCH),
                strides=(3, stride, stride),
                baselines=baseline,
                target=target,
                perturbations_per_eval=many,
            )[:, :1]

        peers = {f"captum, {many} at once": lambda many=many, theirs=theirs: theirs(many) for many in per_eval}
        ways = (("in part", True, must), ("in full", False, 1.4))
        for words, incremental, at_least in ways if name == "efficientnet_lite0" else ways[:1]:
            found.append(
                beside(
                    f"occlusion {words}, {name}, stride {stride}",
                    lambda incremental=incremental, ours=ours: ours(incremental),
                    peers,
                    at_least,
                    tolerance=1e-3,
                    rounds=1,
                    warm=False,  # a run takes many passes
                )
            )
    return found
