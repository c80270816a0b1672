"""MuFidelity and sensitivity-n: against loops over sets and cells, exact for a linear model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from diffig.metrics import MuFidelity, SensitivityN
from diffig.metrics.subsets import expected_and_lost
from diffig.scores import ScoreFunction
from oracle import similarity_oracle as oracle
from oracle.explained import classify, close, explained_batch, with_maps
from oracle.models import Linear


def test_sums_and_losses_equal_the_loop_on_cells_of_unequal_size() -> None:
    explained = explained_batch(2, size=7)
    sets = torch.rand(2, 5, 9, generator=torch.Generator().manual_seed(0)) < 0.4
    expected, lost = expected_and_lost(explained, sets, 3)
    run = classify(explained.score.classifier)
    for row in range(2):
        image, target = explained.images[row].numpy(), int(explained.targets[row])
        for k in range(5):
            changed, total = image.copy(), 0.0
            for y in range(7):
                for x in range(7):
                    if sets[row, k, (y * 3 // 7) * 3 + x * 3 // 7]:
                        changed[:, y, x] = explained.baselines[row, :, y, x]
                        total += float(explained.attributions[row, :, y, x].sum())
            assert expected[row, k] == pytest.approx(total, abs=1e-12)
            assert lost[row, k] == pytest.approx(run(image)[target] - run(changed)[target], abs=1e-12)


def recorded(metric, explained, monkeypatch):
    """The value and what it was computed from."""
    seen = {}

    def spy(explained, sets, grid):
        seen["sets"], seen["both"] = sets, expected_and_lost(explained, sets, grid)
        return seen["both"]

    monkeypatch.setattr("diffig.metrics.subsets.expected_and_lost", spy)
    return metric.measure(explained), seen["sets"], seen["both"]


def test_mufidelity_is_the_rank_correlation_over_sets(monkeypatch) -> None:
    explained = explained_batch(3)
    metric = MuFidelity(grid=3, share=0.4, n_sets=300)
    measured, sets, (expected, lost) = recorded(metric, explained, monkeypatch)
    assert sets.shape == (3, 300, 9)
    assert abs(float(sets.double().mean()) - 0.4) < 0.03
    assert not torch.equal(sets[0], sets[1])
    for row in range(3):
        found = oracle.spearman(expected[row].numpy(), lost[row].numpy())
        assert measured.values["mufidelity"][row] == pytest.approx(found, abs=1e-12)


def test_sensitivity_n_is_the_mean_correlation_over_sizes(monkeypatch) -> None:
    explained = explained_batch(3)
    metric = SensitivityN(grid=3, shares=(0.2, 0.6), n_sets=30)
    measured, sets, both = recorded(metric, explained, monkeypatch)
    assert sets.sum(2).view(3, 2, 30).unique(dim=2).flatten().tolist() == [2, 5] * 3
    curve = measured.curves["sensitivity_n_by_share"]
    for row in range(3):
        for place in range(2):
            expected, lost = (side[row].view(2, 30)[place].tolist() for side in both)
            assert curve[row, place] == pytest.approx(oracle.correlation(expected, lost), abs=1e-9)
    close(measured.values["sensitivity_n"], curve.mean(1))


def test_contributions_of_a_linear_model_are_perfect_and_their_negative_is_the_worst() -> None:
    net = Linear()
    explained = dataclasses.replace(explained_batch(3, size=8), score=ScoreFunction(net))
    exact = net.contributions(explained.images, explained.baselines, explained.targets)
    for metric in (MuFidelity(n_sets=50), SensitivityN(grid=4, shares=(0.1, 0.5), n_sets=40)):
        (name,) = metric.names
        close(metric(with_maps(explained, exact))[name], torch.ones(3, dtype=torch.float64))
        close(metric(with_maps(explained, -exact))[name], -torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("metric", [MuFidelity(n_sets=20), SensitivityN(n_sets=20)])
def test_no_cell_is_without_pixels(metric, monkeypatch) -> None:
    _, sets, _ = recorded(metric, explained_batch(2, size=6), monkeypatch)
    assert sets.shape[2] == 36  # and not the 81 or 196 of a large image


def test_equal_sums_correlate_with_nothing() -> None:
    explained = explained_batch(3)
    constant = with_maps(explained, torch.ones_like(explained.images))
    values = SensitivityN(grid=3, shares=(0.3,), n_sets=10)(constant)["sensitivity_n"]
    np.testing.assert_array_equal(values, [0, 0, 0])


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="share=1 must lie strictly"):
        MuFidelity(share=1)
    with pytest.raises(ValueError, match="n_sets=1 must be"):
        MuFidelity(n_sets=1)
    with pytest.raises(ValueError, match=r"shares=\[\] must lie strictly"):
        SensitivityN(shares=())
    with pytest.raises(ValueError, match="grid=1 must be"):
        SensitivityN(grid=1)
