"""Saliency, SmoothGrad, integrated gradients, guided backprop and Grad-CAM beside captum, on pictures of 224 px."""

import warnings

import captum.attr as captum
import torch

from helpers.cam import grad_cam
from helpers.core.photos import photo
from helpers.saliency import integrated_gradients, saliency, smoothgrad
from tests.benchmarks.beside import beside, both

SAMPLES, TARGET = 16, 281
AT_ONCE = (1, 4, 8, SAMPLES)  # captum's batch sizes; the quickest is compared


def rows() -> list[dict]:
    warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require")
    network, plain = both("efficientnet_lite0")
    resnet, plain_resnet = both("resnet18")
    batch = torch.cat([photo(name, 224) for name in ("chelsea", "coffee", "rocket", "china")])
    one = batch[:1]
    sigma = 0.15 * float(one.max() - one.min())
    layer3 = captum.LayerGradCam(plain_resnet, plain_resnet.model.layer3)

    def tunnel(size):
        torch.manual_seed(0)  # captum's noise is then ours where it is drawn in chunks of the same size
        return captum.NoiseTunnel(captum.Saliency(plain)).attribute(
            one, nt_samples=SAMPLES, nt_samples_batch_size=size, stdevs=sigma, target=TARGET, abs=False
        )

    def path(size):
        return captum.IntegratedGradients(plain).attribute(
            one, 0.5, TARGET, n_steps=SAMPLES, method="riemann_middle", internal_batch_size=size
        )

    return [
        beside(
            "saliency, 4 pictures",
            lambda: saliency(network, batch, TARGET, colours="all").abs(),
            {"captum": lambda: captum.Saliency(plain).attribute(batch.clone(), target=TARGET)},
            1.4,
            tolerance=0.02,
        ),
        beside(
            f"SmoothGrad, {SAMPLES} samples",
            lambda: smoothgrad(network, one, TARGET, samples=SAMPLES, colours="all"),
            {f"captum, {size} at once": lambda size=size: tunnel(size) for size in AT_ONCE},
            1.4,
            tolerance=0.02,
            same=(
                lambda: smoothgrad(network, one, TARGET, samples=SAMPLES, colours="all", batch=SAMPLES),
                lambda: tunnel(SAMPLES),
            ),
        ),
        beside(
            f"integrated gradients, {SAMPLES} steps",
            lambda: integrated_gradients(network, one, TARGET, steps=SAMPLES, colours="all"),
            {f"captum, {size} at once": lambda size=size: path(size) for size in AT_ONCE},
            1.4,
            tolerance=0.02,
        ),
        beside(
            "guided backprop, ResNet-18, 4 pictures",
            lambda: saliency(resnet, batch, TARGET, rule="guided", colours="all"),
            {"captum": lambda: captum.GuidedBackprop(plain_resnet).attribute(batch.clone(), target=TARGET)},
            1.4,
            tolerance=0.02,
        ),
        beside(
            "Grad-CAM, ResNet-18, 4 pictures",
            lambda: grad_cam(resnet, batch, TARGET, "layer3"),
            {"captum": lambda: layer3.attribute(batch.clone(), TARGET, relu_attributions=True)},
            1.0,
            tolerance=0.02,
        ),
    ]
