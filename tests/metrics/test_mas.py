"""Magnitude aligned scoring: against a loop, on the forwards of insertion and deletion, and where it degenerates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.metrics import InsertionDeletion
from diffig.metrics.mas import aligned_curve, mass_shown
from oracle import perturbation_oracle as oracle
from oracle.explained import close, explained_batch, with_maps


@pytest.mark.parametrize("rising", [True, False])
def test_aligned_curves_equal_the_loop(rising: bool) -> None:
    draw = torch.Generator().manual_seed(int(rising))
    response = torch.rand(40, 9, generator=draw, dtype=torch.float64)
    steps = torch.rand(40, 9, generator=draw, dtype=torch.float64)
    mass = steps.cumsum(1) / steps.sum(1, keepdim=True)
    mass = mass if rising else mass.flip(1)
    found = aligned_curve(response, mass, rising)
    expected = [oracle.aligned(r, m, rising) for r, m in zip(response.tolist(), mass.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_map_whose_mass_is_the_response_has_the_area_of_the_response() -> None:
    response = torch.tensor([[0.1, 0.2, 0.5, 0.9]], dtype=torch.float64)
    share = (response - 0.1) / 0.8
    close(aligned_curve(response, share, rising=True), share)
    close(aligned_curve(response.flip(1), share.flip(1), rising=False), share.flip(1))


def test_a_response_that_does_not_rise_is_the_diagonal() -> None:
    flat, falling = torch.full((1, 5), 0.3), torch.tensor([[0.9, 0.5, 0.4, 0.2, 0.1]])
    share = torch.linspace(0, 1, 5)[None] ** 2
    for response in (flat, falling):
        close(aligned_curve(response, share, rising=True), torch.linspace(0, 1, 5)[None])
        close(aligned_curve(response.flip(1), share.flip(1), rising=False), torch.linspace(1, 0, 5)[None])


def test_mass_is_the_share_of_the_first_ranks_and_even_for_a_zero_map() -> None:
    values = torch.tensor([[1.0, -6.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    order = torch.tensor([[1, 2, 0, 3], [3, 2, 1, 0]])
    close(
        mass_shown(values, order, [0, 1, 2, 4]),
        torch.tensor([[0, 0.6, 0.9, 1.0], [0, 0.25, 0.5, 1.0]], dtype=torch.float64),
    )


def test_mas_costs_no_forward_and_leaves_the_rise_scores_alone() -> None:
    explained = explained_batch(3)
    plain = InsertionDeletion(n_steps=6)(explained)
    paid = explained.score.cost.forward_images
    metric = InsertionDeletion(n_steps=6, mas=True)
    values, curves, _ = metric.measure(explained)
    assert explained.score.cost.forward_images == 2 * paid
    for name, value in plain.items():
        assert torch.equal(value, values[name])
    close(values["mas"], values["mas_insertion"] - values["mas_deletion"])
    for side in ("insertion", "deletion"):
        close(values[f"mas_{side}"], torch.trapezoid(curves[f"mas_{side}"], dx=1 / 6, dim=1))
    assert [line.direction for line in metric.describe()] == ["higher", "lower", "higher"] * 2


def test_the_whole_of_mas_equals_the_loop() -> None:
    explained = explained_batch(3)
    values, curves, _ = InsertionDeletion(n_steps=6, mas=True).measure(explained)
    maps = explained.attributions.sum(1).abs().flatten(1)
    for row in range(3):
        ranked = maps[row].sort(descending=True).values
        shown = [float(ranked[: step * 6].sum() / ranked.sum()) for step in range(7)]
        for side, mass in (("insertion", shown), ("deletion", [1 - share for share in shown])):
            curve = oracle.aligned(curves[side][row].tolist(), mass, side == "insertion")
            area = (sum(curve) - curve[0] / 2 - curve[-1] / 2) / 6
            assert values[f"mas_{side}"][row] == pytest.approx(area, abs=1e-12)


def test_magnitudes_count_where_the_order_is_the_same() -> None:
    explained = explained_batch(4)
    maps = explained.attributions.sum(1, keepdim=True).abs().expand_as(explained.images).clone()
    metric = InsertionDeletion(n_steps=6, mas=True)
    even, steep = metric(with_maps(explained, maps)), metric(with_maps(explained, maps**9))
    close(even["insertion_minus_deletion"], steep["insertion_minus_deletion"])
    assert (even["mas"] - steep["mas"]).abs().max() > 0.01
