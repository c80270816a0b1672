"""What calls explainers in other libraries calls ours, and gets what it would get of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diffig
from diffig.attribution import IntegratedGradients
from diffig.scores import ScoreFunction
from oracle.models import Deep, pictures

attr = pytest.importorskip("captum.attr")
metrics = pytest.importorskip("captum.metrics")
TARGETS = torch.tensor([0, 3, 1, 4])
STEPS = 16
FORMS = ("attributor", "explainer")


@pytest.fixture
def net() -> nn.Module:
    return Deep(dtype=torch.float32)


@pytest.fixture
def images() -> Tensor:
    """Grey enough for noise to stay inside [0, 1]."""
    return 0.4 + 0.2 * pictures(4, dtype=torch.float32)[0]


@pytest.fixture(params=FORMS)
def ours(request: pytest.FixtureRequest, net: nn.Module) -> Any:
    if request.param == "attributor":
        return IntegratedGradients(ScoreFunction(net, "logit"), steps=STEPS)
    return diffig.explainer("ig", net, torch.nn.Identity(), objective="logit", steps=STEPS)


@pytest.fixture
def theirs(net: nn.Module) -> Any:
    return attr.IntegratedGradients(net)


def alike(found: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_a_noise_tunnel_goes_through(kind: str, ours: Any, theirs: Any, images: Tensor) -> None:
    found = []
    for method, options in ((ours, {}), (theirs, {"n_steps": STEPS, "method": "riemann_middle"})):
        torch.manual_seed(3)
        tunnel = attr.NoiseTunnel(method)
        given = {"nt_type": kind, "nt_samples": 3, "stdevs": 0.02, "target": TARGETS, "return_convergence_delta": True}
        found.append(tunnel.attribute(images, **given, **options))
    (maps, gaps), (expected, their_gaps) = found
    alike(maps * 10, expected * 10)
    torch.testing.assert_close(gaps, their_gaps.float(), rtol=0, atol=1e-4)


def test_captums_metrics_measure_ours(ours: Any, theirs: Any, net: nn.Module, images: Tensor) -> None:
    def changed(images: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.01 * torch.randn_like(images)
        return noise, images - noise

    measured = []
    for method, options in ((ours, {}), (theirs, {"n_steps": STEPS, "method": "riemann_middle"})):
        torch.manual_seed(3)
        sensitivity = metrics.sensitivity_max(method.attribute, images, target=TARGETS, **options)
        maps = method.attribute(images, target=TARGETS, **options)
        measured.append((sensitivity, metrics.infidelity(net, changed, images, maps, target=TARGETS)))
    alike(measured[0][0], measured[1][0].float())
    torch.testing.assert_close(measured[0][1], measured[1][1].float(), rtol=1e-3, atol=1e-9)


def test_batches_alone_in_a_tuple_come_back_in_one(ours: Any, images: Tensor) -> None:
    expected, gap = ours.attribute(images, images.flip(3), TARGETS, True)
    ((found,), told) = ours.attribute((images,), (images.flip(3),), TARGETS, True)
    (named,) = ours.attribute((images,), baselines=(images.flip(3),), target=TARGETS)
    assert torch.equal(found, expected)
    assert torch.equal(named, expected)
    assert torch.equal(told, gap)


@pytest.mark.parametrize("start", [None, 0.5, "flipped"])
def test_the_gap_of_any_attributions(start: Any, ours: Any, theirs: Any, images: Tensor) -> None:
    start = images.flip(3) if start == "flipped" else start
    maps = torch.rand_like(images) / 100
    begin = torch.zeros_like(images) if start is None else torch.zeros_like(images) + start
    expected = theirs.compute_convergence_delta(maps, begin, images, target=TARGETS)
    torch.testing.assert_close(ours.compute_convergence_delta(maps, start, images, target=TARGETS), expected.float())
    given, gap = ours.attribute(images, start, TARGETS, return_convergence_delta=True)
    torch.testing.assert_close(ours.compute_convergence_delta(given, start, images, TARGETS), gap, rtol=0, atol=1e-5)


def test_the_gap_of_one_image_and_of_labels(net: nn.Module, images: Tensor) -> None:
    explain = diffig.explainer("ig", net, torch.nn.Identity(), multi_label=True, steps=STEPS)
    for given, target in ((images, [0, 3, 3, 1]), (images[0].permute(1, 2, 0).numpy(), 2)):
        maps, gap = explain.attribute(given, target=target, return_convergence_delta=True)
        again = explain.compute_convergence_delta(maps, None, given, target=target)
        torch.testing.assert_close(again, gap, rtol=0, atol=1e-5)


def test_noise_that_leaves_the_pixels_is_refused_or_clamped(ours: Any, images: Tensor) -> None:
    outside = images * 8 - 3.5
    assert outside.min() < 0
    with pytest.raises(ValueError, match=r"where noise was added, explain with method\.clamped\(\)$"):
        ours.attribute(outside, target=0)
    clamped = ours.clamped()
    expected = ours.attribute(outside.clamp(0, 1), target=0)
    assert torch.equal(clamped.attribute(outside, target=0), expected)
    assert clamped.compute_convergence_delta(expected, 0.0, outside, target=0).abs().max() < 0.1
    assert attr.NoiseTunnel(clamped).attribute(outside, nt_samples=2, stdevs=0.3, target=0).isfinite().all()
    assert metrics.sensitivity_max(clamped.attribute, outside, perturb_radius=0.3, target=0).isfinite().all()
    with pytest.raises(ValueError, match="pixels must lie in"):
        ours.attribute(outside, target=0)


def test_every_method_knows_what_a_tunnel_asks(net: nn.Module) -> None:
    for name in ("diffig_field", "gradient", "grad_cam"):
        explain = diffig.explainer(name, net, torch.nn.Identity())
        assert explain.has_convergence_delta()
        assert explain.multiplies_by_inputs == explain.attributor.multiplies_by_inputs
        logits = explain.forward_func(torch.zeros(1, 3, 6, 6))
        torch.testing.assert_close(logits, explain.attributor.forward_func(torch.zeros(1, 3, 6, 6)))


def test_quantus_explains_by_ours(net: nn.Module, images: Tensor) -> None:
    quantus = pytest.importorskip("quantus")
    asked = []

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        asked.append(inputs)
        method = diffig.explainer("ig", model, torch.nn.Identity(), steps=4).clamped()
        return method.attribute(inputs, target=targets).numpy()

    metric = quantus.MaxSensitivity(nr_samples=2, lower_bound=0.4, disable_warnings=True)
    white = (images * 2).clamp(0, 1)
    values = metric(net, white.numpy(), TARGETS.numpy(), explain_func=explain, channel_first=True)
    assert np.isfinite(values).all()
    assert max(inputs.max() for inputs in asked) > 1
