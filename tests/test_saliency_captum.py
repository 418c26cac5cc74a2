"""Saliency beside captum where captum is right, and beside a second way of our own where captum is wrong."""

import copy
import warnings

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from bench import Function, close, network_of
from torch import nn

from helpers.core.photos import photo
from helpers.saliency import integrated_gradients, saliency, smoothgrad

WHERE_CAPTUM_IS_RIGHT = ["alexnet", "vgg16", "resnet18", "resnet101"]


def by_captum(explain, network, image, target, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return explain(network).attribute(image.clone().requires_grad_(), target=target, **arguments).detach()


def by_patching(monkeypatch, network, image, target):
    """Guided backprop by other means: F.relu and F.hardtanh replaced by clamps with a hook on their result."""

    def guided(x, low=0.0, high=None, **_):
        y = x.clamp(low, high)
        y.register_hook(lambda gradient: gradient.clamp_min(0))
        return y

    with monkeypatch.context() as patched:
        patched.setattr(F, "relu", lambda x, inplace=False: guided(x))
        patched.setattr(F, "hardtanh", lambda x, low, high, inplace=False: guided(x, low, high))
        pixels = image.clone().requires_grad_()
        return torch.autograd.grad(network(pixels)[:, target].sum(), pixels)[0]


@pytest.fixture
def small_batch():
    return torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])


@pytest.mark.parametrize("name", WHERE_CAPTUM_IS_RIGHT)
def test_captum_agrees(untrained, small_batch, name):
    # in float64: with captum's hooks batch norms stand apart, and rounding turns ReLUs over
    network, small_batch = copy.deepcopy(untrained(name)).double(), small_batch.double()
    ours = saliency(network, small_batch, 7, colours="all")
    assert close(ours.abs(), by_captum(captum.Saliency, network, small_batch, 7))
    for rule, method in (("guided", captum.GuidedBackprop), ("deconvnet", captum.Deconvolution)):
        assert close(
            saliency(network, small_batch, 7, rule=rule, colours="all"), by_captum(method, network, small_batch, 7)
        )


@pytest.mark.parametrize("name", [*WHERE_CAPTUM_IS_RIGHT, "efficientnet_lite0"])
def test_captum_agrees_on_the_remedies(untrained, lite0, name):
    network, image = (lite0 if name == "efficientnet_lite0" else untrained(name)), photo("chelsea", 64)
    ours = integrated_gradients(network, image, 7, "black", steps=3, colours="all")
    theirs = by_captum(captum.IntegratedGradients, network, image, 7, baselines=0.0, n_steps=3, method="riemann_middle")
    assert close(ours, theirs)

    # captum draws from the global generator, all samples at once: the same seed gives it our noise
    ours = smoothgrad(network, image, 7, level=0.2, samples=2, colours="all", seed=3)
    sigma = 0.2 * float(image.max() - image.min())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tunnel = captum.NoiseTunnel(captum.Saliency(network))
        theirs = tunnel.attribute(image, nt_samples=2, stdevs=sigma, target=7, abs=False)
    assert close(ours, theirs)


def test_captum_agrees_on_the_default_network(lite0, small_batch):
    targets = torch.tensor([281, 967])
    ours = saliency(lite0, small_batch, targets, colours="all")
    assert close(ours.abs(), by_captum(captum.Saliency, lite0, small_batch, targets))
    plain = lite0.mean_pixel.view(1, 3, 1, 1)
    shares = saliency(lite0, small_batch, targets, times_input=True, colours="all")
    assert close(shares, by_captum(captum.InputXGradient, lite0.model, lite0.normalise(small_batch), targets))
    assert close(shares, ours * (small_batch - plain))


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "efficientnet_lite0", "resnet18"])
def test_guided_backprop_is_right_where_hooks_on_modules_miss_relus(untrained, lite0, monkeypatch, name):
    network, image = (lite0 if name == "efficientnet_lite0" else untrained(name)), photo("chelsea", 64)
    ours = saliency(network, image, 7, rule="guided", colours="all")
    assert close(ours, by_patching(monkeypatch, network, image, 7))
    theirs = by_captum(captum.GuidedBackprop, network, image, 7)
    assert close(ours, theirs) == (name == "resnet18")
    if name in ("googlenet", "efficientnet_lite0"):  # no nn.ReLU anywhere: captum gives the plain gradient
        assert close(theirs, saliency(network, image, 7, colours="all"))


def test_a_second_reader_of_the_relus_input_keeps_its_gradient():
    h = torch.tensor([1.0, -1.0, 2.0]).view(1, 3, 1, 1)
    network = network_of(nn.Sequential(Function(lambda x: x), ReluMinusTwice(), nn.Flatten(), Summed()))
    assert saliency(network, h, 0, rule="guided", colours="all").flatten().tolist() == [-1.0, -2.0, -1.0]
    assert by_captum(captum.GuidedBackprop, network, h, 0).flatten().tolist() == [0.0, 0.0, 0.0]  # its known fault


class ReluMinusTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, h):
        return self.relu(h) - 2 * h


class Summed(nn.Module):
    def forward(self, x):
        return x.sum(1, keepdim=True)
