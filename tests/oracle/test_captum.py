"""Parity with Captum, which shares our calling convention."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import GradientXInput, IntegratedGradients
from diffig.scores import ScoreFunction
from oracle.models import Deep, pictures

captum = pytest.importorskip("captum.attr")
TARGETS = torch.tensor([0, 3, 1, 4])
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
# Captum rounds its step sizes to float32 whatever the images are; 1 / 64 survives that, 1 / 50 does not.
STEPS = {torch.float64: 64, torch.float32: 50}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("objective", ["logit", "probability"])
def test_integrated_gradients_equals_captum(dtype, objective):
    net = Deep(dtype=dtype)
    images, baselines = pictures(dtype=dtype)
    forward = net if objective == "logit" else lambda x: net(x).softmax(1)
    wanted, gap = captum.IntegratedGradients(forward).attribute(
        images, baselines, TARGETS, n_steps=STEPS[dtype], method="riemann_middle", return_convergence_delta=True
    )
    ours = IntegratedGradients(ScoreFunction(net, objective), steps=STEPS[dtype])
    found, delta = ours.attribute(images, baselines, TARGETS, return_convergence_delta=True)
    assert wanted.abs().max() > 1e-3  # parity of two maps of zeros would say nothing
    assert (found - wanted).abs().max() <= TOLERANCE[dtype]
    torch.testing.assert_close(delta, gap.to(dtype), rtol=0, atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradient_x_input_equals_captum(dtype):
    net = Deep(dtype=dtype)
    images, _ = pictures(dtype=dtype)
    wanted = captum.InputXGradient(net).attribute(images.clone().requires_grad_(), TARGETS).detach()
    found = GradientXInput(ScoreFunction(net, "logit")).attribute(images, 0.0, TARGETS)
    assert (found - wanted).abs().max() <= TOLERANCE[dtype]
    assert wanted.abs().max() > 1e-3


def test_ours_is_what_a_caller_of_captum_asks_for():
    method = IntegratedGradients(Deep())
    assert method.has_convergence_delta()
    assert method.multiplies_by_inputs
    images, _ = pictures()
    whole = method.attribute(images, target=2)
    assert whole.shape == images.shape
    assert whole.dtype == images.dtype
    delta = method.attribute(images, baselines=0, target=TARGETS, return_convergence_delta=True)[1]
    assert delta.shape == (4,)
