"""The top nine patches of all channels of a layer beside the bare forward passes of the plain network."""

import torch

from helpers.core import photos
from helpers.patches import strongest
from tests.benchmarks.beside import beside, both

COUNT, LAYER, BATCH = 1000, "blocks.2", 16


class Reached(Exception):
    """Ends a pass at the layer."""


def rows() -> list[dict]:
    network, plain = both("efficientnet_lite0")
    crops = photos.Crops(COUNT)
    collection = [crops[i] for i in range(COUNT)]  # cut out once, for both

    def stop(_, __, output):
        raise Reached(output)

    @torch.inference_mode()
    def passes():
        handle, best = plain.model.get_submodule(LAYER).register_forward_hook(stop), []
        for images in photos.batches(collection, BATCH):
            try:
                plain(images)
            except Reached as reached:
                best.append(reached.args[0].amax(dim=(2, 3)).amax(dim=0))  # so that there is a result to compare
        handle.remove()
        return torch.stack(best).amax(dim=0)

    return [
        beside(
            f"top 9 patches of all channels of {LAYER}, {COUNT} pictures",
            lambda: strongest(network, collection, LAYER, k=9, batch=BATCH).values[:, 0],
            {"bare plain passes and their maxima": passes},
            1.5,
            tolerance=1e-4,
            rounds=1,
            warm=False,  # a run takes many passes
        )
    ]
