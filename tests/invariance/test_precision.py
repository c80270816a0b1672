"""Half precision is the classifier's alone: everything else is computed, added up and released in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diffig.attribution import LRP, FRInGe, IntegratedGradients
from diffig.classifiers import cifar_resnet
from diffig.metrics import DiffID, Explained
from diffig.scores import ScoreFunction
from invariance.methods import METHODS
from invariance.test_attributors import explain, net_of
from oracle.models import Deep, pictures

EVERY = pytest.mark.parametrize("name", METHODS)
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
FULL = ("lrp", "deep_taylor", "fringe")
# What rounding decides: which pixels move first, which class or ReLU is nearest, where a search ends.
CHOICES = ["agi", "ig2", "samp", "guided_", "rectgrad", "grad_cam", "ma_gig", "geodesic_ig", "field", "idg", "free_mcg"]


def distances(found, wanted):
    """How far each map is from the other, as a share of its size; of maps that are 0, 0."""
    size = wanted.flatten(1).norm(dim=1)
    return ((found - wanted).flatten(1).norm(dim=1) / size).where(size > 0, 0)


@EVERY
def test_under_autocast_maps_are_float32_and_those_of_full_precision_up_to_rounding(name):
    images = pictures(6)[0].float()
    wanted = explain(METHODS[name](ScoreFunction(net_of(name, torch.float32))), images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = explain(METHODS[name](ScoreFunction(net_of(name, torch.float32))), images)
    assert {value.dtype for value in found} == {torch.float32}
    away = distances(found.attribution, wanted.attribution)
    if name.startswith(FULL):
        assert away.max() < 1e-6
    elif name.startswith(tuple(CHOICES)):
        assert away.median() < 0.2
    else:
        assert away.max() < 0.1, "bfloat16 keeps 8 bits"


class Noting(nn.Module):
    """A linear network that notes the type it computes in."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(3 * 8 * 8, 5), set()

    def forward(self, images):
        logits = self.layer(images.flatten(1))
        self.seen.add((images.dtype, logits.dtype))
        return logits


class Watching(DiffID):
    """A metric that notes whether autocast is on while it measures."""

    def _measure(self, explained):
        self.was_on = torch.is_autocast_enabled("cpu")
        return super()._measure(explained)


def test_autocast_reaches_the_classifier_and_nothing_else():
    net, images, metric = Noting(), pictures(2)[0].float(), Watching()
    score, classes = ScoreFunction(net), torch.tensor([0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps, gap, _ = IntegratedGradients(score, steps=4).explain(images, target=classes)
        metric(Explained(images, maps, classes, classes, images * 0, score, classes, gap))
        assert torch.is_autocast_enabled("cpu")
    assert net.seen == {(torch.float32, torch.bfloat16)}
    assert not metric.was_on


@HALVES
def test_images_and_classifier_in_half_precision_are_added_up_in_float32(dtype):
    images, net = pictures(3)[0].to(dtype), Noting().to(dtype)
    found = IntegratedGradients(net, steps=100).explain(images, target=1)
    assert net.seen == {(dtype, dtype)}
    assert {value.dtype for value in found} == {torch.float32}
    wanted = IntegratedGradients(net.float(), steps=100).explain(images.float(), target=1)
    assert distances(found.attribution, wanted.attribution).max() < 0.02
    exact = found.attribution.flatten(1).sum(1) - found.gap  # the change of the score
    torch.testing.assert_close(exact, wanted.attribution.flatten(1).sum(1) - wanted.gap, rtol=0, atol=0.01)


@pytest.mark.parametrize("method", [LRP, FRInGe])
@HALVES
def test_methods_that_half_precision_would_ruin_ask_for_float32(method, dtype):
    with pytest.raises(TypeError, match=f"method={method.name} needs a classifier in float32.*{dtype}.*float"):
        method(Deep(dtype=dtype)).explain(pictures(2)[0].to(dtype), target=0)


def test_fringe_under_autocast_is_fringe_on_a_confident_network():
    """Steps are chosen by divergences that bfloat16 cannot write down; it would use up all of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = cifar_resnet(depth=20)
        net.net.linear.weight.data *= 8
    images = pictures(1, height=32, width=32, dtype=torch.float32)[0]
    method = FRInGe(net, divergence=0.3, max_steps=2, radius=0.05, cg_iterations=3)
    wanted, paid = method.explain(images, target=1), method.score.cost
    method.score.reset_cost()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method.explain(images, target=1)
    torch.testing.assert_close(found.attribution, wanted.attribution)
    assert method.score.cost == paid
