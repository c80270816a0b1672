"""Infidelity: against a loop and captum, exact for a linear model, zero for a constant map."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from diffig.metrics import Infidelity
from diffig.metrics.infidelity import _covers, patches
from diffig.scores import ScoreFunction
from oracle import perturbation_oracle as oracle
from oracle.explained import classify, close, explained_batch, with_maps
from oracle.models import Linear


def test_infidelity_equals_the_loop() -> None:
    explained = explained_batch(3, size=7)
    values = Infidelity(share=0.3, grid=4)(explained)
    run = classify(explained.score.classifier)
    for row in range(3):
        target = int(explained.targets[row])
        tensors = (explained.images, explained.baselines, explained.attributions)
        arrays = [tensor[row].numpy() for tensor in tensors]
        residual, r2 = oracle.infidelity(lambda image, t=target: run(image)[t], *arrays, 0.3, 4)
        assert values["infidelity"][row] == pytest.approx(residual, rel=1e-9)
        assert values["infidelity_r2"][row] == pytest.approx(r2, rel=1e-9)


def test_infidelity_equals_captum() -> None:
    captum = pytest.importorskip("captum.metrics")
    explained = explained_batch(4, size=8)
    corners = patches(8, 8, 0.25, 5)
    covers = _covers(corners, 8, 8).double()[:, None].expand(-1, 3, -1, -1)

    def perturb(images, baselines):
        """Captum hands over every image 25 times in a row."""
        gone = covers.repeat(len(images) // 25, 1, 1, 1)
        return gone, torch.where(gone > 0, baselines, images)

    expected = captum.infidelity(
        explained.score.classifier,
        perturb,
        explained.images,
        explained.attributions,
        baselines=explained.baselines,
        target=explained.targets,
        n_perturb_samples=25,
        normalize=True,
    )
    close(Infidelity(share=0.25, grid=5)(explained)["infidelity"], expected.detach())


def test_contributions_of_a_linear_model_are_faithful_in_any_unit() -> None:
    net = Linear()
    explained = explained_batch(4, size=8)
    explained = dataclasses.replace(explained, score=ScoreFunction(net))
    exact = net.contributions(explained.images, explained.baselines, explained.targets)
    for scale in (1.0, -3e-4, 1e-200):
        values = Infidelity()(with_maps(explained, exact * scale))
        close(values["infidelity"], torch.zeros(4, dtype=torch.float64))
        close(values["infidelity_r2"], torch.ones(4, dtype=torch.float64))


def test_a_constant_map_explains_nothing_and_a_zero_map_no_more() -> None:
    explained = explained_batch(4)
    constant = Infidelity()(with_maps(explained, torch.ones_like(explained.images)))
    close(constant["infidelity_r2"], torch.zeros(4, dtype=torch.float64), atol=1e-9)
    zero = Infidelity()(with_maps(explained, torch.zeros_like(explained.images)))
    assert (zero["infidelity_r2"] <= 0).all()
    assert (zero["infidelity"] >= constant["infidelity"]).all()


def test_a_classifier_that_does_not_look_has_no_r2() -> None:
    class Blind(torch.nn.Module):
        def forward(self, images):
            return images.new_tensor([0.0, 1.0]).expand(len(images), 2)

    explained = dataclasses.replace(explained_batch(2), score=ScoreFunction(Blind()), targets=torch.tensor([0, 1]))
    values = Infidelity()(explained)
    assert values["infidelity_r2"].isnan().all()
    assert (values["infidelity"] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 9), (3, 224)])
def test_patches_are_of_one_size_and_reach_every_border(height: int, width: int) -> None:
    corners = patches(height, width, 0.25, 8)
    top, left, bottom, right = corners.T
    assert corners.shape == (64, 4)
    assert (bottom - top).unique().numel() == (right - left).unique().numel() == 1
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, height, width)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"share=1.0 must lie strictly between 0 and 1"):
        Infidelity(share=1.0)
    with pytest.raises(ValueError, match="grid=0 must be"):
        Infidelity(grid=0)
    explained = dataclasses.replace(explained_batch(2), targets=torch.tensor([0, 9]))
    with pytest.raises(ValueError, match="knows the classes 0 to 3"):
        Infidelity()(explained)
