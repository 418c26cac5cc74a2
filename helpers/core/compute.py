"""Where the work is done, and how exactly: the device, the seed, the precision and the order of sums."""

import os

import torch


def device() -> torch.device:
    """Where networks and pictures go unless told otherwise: CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def repeatable(seed: int = 0) -> None:
    """The same numbers on every run: PyTorch's seed, full float32, and sums in a fixed order.

    A GPU, left to itself, rounds what a convolution multiplies to ten bits (TF32) and adds in whatever order is
    quickest: identities then hold to one in a hundred, and a picture that grew in a hundred steps is another one each
    time. For the networks of the course the exact way is as fast.
    """
    torch.manual_seed(seed)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what repeatable matrix products ask for
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
