"""A classifier with one logit: a sigmoid in place of the softmax, which would always be 1."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from diffig.attribution import IntegratedGradients
from diffig.metrics import InsertionDeletion, Road
from diffig.scores import ScoreFunction
from invariance.methods import METHODS
from oracle.explained import explained_batch
from oracle.models import ReLUNet, pictures

pytestmark = pytest.mark.filterwarnings("ignore:the classifier returns 1 logit")


class Padded(nn.Module):
    """The same network with a second logit of 0."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images):
        logit = self.net(images)
        return torch.cat([logit, torch.zeros_like(logit)], 1)


def single():
    return ReLUNet(classes=1)


OBJECTIVES = {
    "probability": torch.sigmoid,
    "log_probability": nn.functional.logsigmoid,
    "logit": lambda logit: logit,
    "margin": lambda logit: logit,
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_scores_and_gradients_are_those_of_the_sigmoid(objective):
    images, _ = pictures(4)
    leaf = images.clone().requires_grad_()
    wanted = OBJECTIVES[objective](single()(leaf)[:, 0])
    (slope,) = torch.autograd.grad(wanted.sum(), leaf)
    found, gradient = ScoreFunction(single(), objective).value_and_grad(images, torch.zeros(4, dtype=torch.long))
    assert slope.abs().max() > 1e-3
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-14)


def test_integrated_gradients_adds_up_to_the_change_of_the_sigmoid():
    images, baselines = pictures(4)
    found = IntegratedGradients(single(), steps=256).explain(images, baselines, 0)
    change = (torch.sigmoid(single()(images)) - torch.sigmoid(single()(baselines)))[:, 0].detach()
    assert change.abs().min() > 1e-3
    torch.testing.assert_close(found.attribution.flatten(1).sum(1), change, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_one_logit_as_two_of_which_one_is_0(name):
    images, _ = pictures(2)
    found, wanted = (METHODS[name](ScoreFunction(net)) for net in (single(), Padded(single())))
    options = {}
    if getattr(found, "guidance_strengths", {}).get("region"):
        options["region"] = torch.arange(8).lt(4).double().expand(2, 1, 8, 8)
    one, two = (method.explain(images, target=0, **options) for method in (found, wanted))
    assert two.attribution.abs().max() > 1e-6
    torch.testing.assert_close(one.attribution, two.attribution, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", [InsertionDeletion(n_steps=4, deletion_fill="black"), Road()], ids=["idc", "road"])
def test_metrics_see_the_probability_of_one_logit_change(metric):
    found = []
    for net in (single(), Padded(single())):
        explained = explained_batch(4)
        nets = {"score": ScoreFunction(net), "targets": torch.zeros(4, dtype=torch.long)}
        found.append(metric.measure(dataclasses.replace(explained, **nets)))
    for key, value in found[1].curves.items():
        torch.testing.assert_close(found[0].curves[key], value)
    assert any(curve.std(1).min() > 1e-3 for curve in found[0].curves.values())


@pytest.mark.filterwarnings("error")
def test_one_logit_is_spoken_of_in_one_line():
    images, _ = pictures(2)
    with pytest.warns(UserWarning, match=r"returns 1 logit: .* class 0, with the probability sigmoid\(logit\)"):
        assert ScoreFunction(single()).logits(images).shape == (2, 2)
    with pytest.warns(UserWarning, match="1 logit"), pytest.raises(ValueError, match="knows the classes 0 to 1"):
        ScoreFunction(single()).score(images, torch.tensor([0, 2]))
