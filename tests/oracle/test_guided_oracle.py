"""Guided IG in lock-step against one image at a time, and stick breaking against a loop over pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.attribution import GuidedIntegratedGradients, integrate
from diffig.paths import GuidedPath
from diffig.paths.stick_breaking import truncated_increments
from diffig.scores import ScoreFunction
from oracle import paths_oracle as oracle
from oracle.models import TanhNet, pictures

SHAPE = (3, 6, 5)
TARGETS = torch.tensor([0, 3, 1, 4])
SETTINGS = [(0.25, 0.02), (0.1, 1.0), (0.5, 0.1), (1.0, 1.0)]


def some_equal_pixels():
    images, baselines = pictures(4, *SHAPE, seed=11)
    baselines[:, :, 0, :2] = images[:, :, 0, :2]  # features with nowhere to go must stay, and cost no division by 0
    return images, baselines


@pytest.mark.parametrize(("fraction", "max_distance"), SETTINGS)
def test_batched_guided_ig_equals_one_image_at_a_time(fraction, max_distance):
    images, baselines = some_equal_pixels()
    net = TanhNet(SHAPE)
    method = GuidedIntegratedGradients(net, steps=20, fraction=fraction, max_distance=max_distance)
    found = method.explain(images, baselines, TARGETS)
    path = GuidedPath(20, fraction, max_distance).generate(images, baselines, TARGETS, ScoreFunction(net))
    for row, target in enumerate(TARGETS):
        points, wanted = oracle.guided_ig(
            images[row].numpy(), baselines[row].numpy(), oracle.TanhOracle(net, target), 20, fraction, max_distance
        )
        difference = np.abs(found.attribution[row].numpy() - wanted).max()
        assert difference <= 1e-12 * np.abs(wanted).max()
        np.testing.assert_allclose(path.points(0, 21)[row].numpy(), np.stack(points), rtol=0, atol=1e-13)


def test_the_four_settings_are_four_paths():
    images, baselines = some_equal_pixels()
    maps = [
        GuidedIntegratedGradients(TanhNet(SHAPE), steps=20, fraction=q, max_distance=d).attribute(images, baselines, 0)
        for q, d in SETTINGS
    ]
    for number, one in enumerate(maps):
        for other in maps[number + 1 :]:
            assert (one - other).abs().max() > 1e-4 * one.abs().max()


def test_walking_and_storing_the_path_agree():
    """The left rule on the stored path uses the very gradients that the walk integrates with."""
    images, baselines = some_equal_pixels()
    score = ScoreFunction(TanhNet(SHAPE))
    walked = GuidedIntegratedGradients(score, steps=12).explain(images, baselines, TARGETS)
    stored = integrate(GuidedPath(12).generate(images, baselines, TARGETS, score), score, TARGETS, "left")
    for left, right in zip(walked, stored, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-14)


def test_each_step_reaches_its_distance_from_the_image():
    images, baselines = some_equal_pixels()
    points = GuidedPath(10, 0.1, 1.0).generate(images, baselines, TARGETS, ScoreFunction(TanhNet(SHAPE))).points(0, 11)
    left = (points - images[:, None]).abs().flatten(2).sum(2)
    wanted = (images - baselines).abs().flatten(1).sum(1)[:, None] * (1 - torch.arange(11, dtype=torch.float64) / 10)
    torch.testing.assert_close(left, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("concentration", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("n_breaks", [1, 30])
def test_sticks_equal_the_loop(concentration, n_breaks):
    masses = np.array([0.1, 0.4, 0.2, 0.25, 0.05])
    found = truncated_increments(np.random.default_rng(3), concentration, masses, (40,), n_breaks)
    wanted = oracle.break_sticks(np.random.default_rng(3), concentration, masses, 40, n_breaks)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-12)
