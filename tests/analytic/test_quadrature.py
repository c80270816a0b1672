"""Where the nodes go: exact ends, no segment forgotten, many where there is much."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import integrate
from diffig.integration.quadrature import breaks, place
from diffig.paths import CoarseToFinePath, LaplacianBasis, StickBreakingPath, StraightPath
from diffig.scores import ScoreFunction
from oracle.models import Cliff, Linear, Spy, TanhNet, pictures


def masses(batch, cells, seed=0, dtype=torch.float64):
    """Heavy-tailed numbers: most cells hold little and a few nearly all."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, cells), generator=generator, dtype=dtype).pow(12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("segments", "per_segment", "steps"),
    [(1, 16, 16), (8, 4, 8), (8, 4, 16), (8, 4, 31), (64, 2, 128), (64, 1, 70), (64, 1, 12), (5, 1, 1)],
)
def test_breaks_rise_from_end_to_end(segments, per_segment, steps, dtype):
    for seed in range(5):
        cuts = place(masses(6, segments * per_segment, seed, dtype), steps, segments)
        assert cuts.shape == (6, steps + 1)
        assert (cuts[:, 0] == 0).all()
        assert (cuts[:, -1] == segments).all()
        assert (cuts.diff(dim=1) > 0).all()
        if steps >= 2 * segments:  # every knot of the path is a break: no piece crosses one, none goes without a piece
            for row in cuts:
                assert torch.isin(torch.arange(segments + 1, dtype=dtype), row).all()


def test_pieces_follow_the_mass():
    mass = torch.zeros(1, 8, dtype=torch.float64)
    mass[0, 5] = 1.0
    cuts = place(mass, 88, 8)
    per_segment = torch.bincount(cuts[0, :-1].long(), minlength=8)
    # 8 go to one a segment; of the other 80 nine tenths follow the mass and one tenth is spread evenly.
    assert per_segment.tolist() == [2, 2, 2, 2, 2, 74, 2, 2]


def test_pieces_of_a_segment_hold_equal_mass():
    mass = masses(1, 64)
    cuts = place(mass, 10, 1, floor=0.0)[0]
    cumulative = torch.cat([torch.zeros(1, dtype=torch.float64), (mass[0] / mass.sum()).cumsum(0)])
    reached = torch.tensor(
        [
            cumulative[min(int(64 * c), 63)] + (64 * c - min(int(64 * c), 63)) * cumulative.diff()[min(int(64 * c), 63)]
            for c in cuts
        ]
    )
    torch.testing.assert_close(reached, torch.linspace(0, 1, 11, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("mass", [torch.zeros(2, 12), torch.full((2, 12), float("nan")), torch.full((2, 12), 3.0)])
def test_no_news_is_even_spacing(mass):
    torch.testing.assert_close(place(mass.double(), 24, 6), torch.linspace(0, 6, 25, dtype=torch.float64).expand(2, -1))


def test_one_bad_row_leaves_the_others_alone():
    mass = masses(3, 12)
    spoilt = mass.clone()
    spoilt[1, 4] = torch.inf
    good, mixed = place(mass, 24, 6), place(spoilt, 24, 6)
    assert torch.equal(good[[0, 2]], mixed[[0, 2]])
    assert mixed.isfinite().all()


@pytest.mark.parametrize("place_of_cliff", [0.2, 0.31, 0.437])
@pytest.mark.parametrize(("segments", "steps"), [(1, 32), (16, 64), (64, 128)])
def test_nodes_by_score_close_the_gap(segments, steps, place_of_cliff):
    """Where the score jumps, looking before placing leaves at most a third of the gap for the same gradients."""
    images = torch.full((1, 3, 8, 8), 0.6, dtype=torch.float64)
    score = ScoreFunction(Cliff(place_of_cliff, 500.0), "logit")
    target = torch.tensor([0])
    path = CoarseToFinePath(n_segments=segments).generate(images, torch.zeros_like(images), target, score)
    uniform, placed = (
        integrate(path, score, target, steps=steps, nodes=nodes).gap.abs() for nodes in ("uniform", "score")
    )
    assert uniform > 0.05
    assert placed <= uniform / 3


def test_nodes_by_arc_length_are_even_in_length():
    images, baselines = pictures(2)
    score = ScoreFunction(TanhNet())
    path = StickBreakingPath(6, 0.5).generate(images, baselines, torch.tensor([0, 1]), score)
    cuts = breaks(path, score, torch.tensor([0, 1]), 600, "arc_length")
    lengths = path.at(cuts).diff(dim=1).abs().flatten(2).sum(2)
    even = path.at(breaks(path, score, torch.tensor([0, 1]), 600)).diff(dim=1).abs().flatten(2).sum(2)
    assert (lengths.std(1) < 0.5 * even.std(1)).all()


@pytest.mark.parametrize(("segments", "steps"), [(1, 16), (10, 25), (64, 20)])
def test_looking_is_counted(segments, steps):
    images, baselines = pictures(3)
    spy = Spy(TanhNet())
    score = ScoreFunction(spy, chunk_size=5)
    path = StraightPath(segments).generate(images, baselines, torch.tensor([0, 1, 2]), score)
    integrate(path, score, torch.tensor([0, 1, 2]), steps=steps, nodes="score")
    cells = steps if steps < 2 * segments else segments * -(-steps // segments)
    assert score.cost == (3 * (cells + 1 + 2 + steps), 3 * steps)
    assert score.cost == (spy.forward_images, spy.backward_images)


@pytest.mark.parametrize("steps", [1, 3, 17])
@pytest.mark.parametrize("nodes", ["uniform", "score", "arc_length"])
@pytest.mark.parametrize("rule", ["left", "right", "midpoint", "trapezoid"])
def test_every_rule_is_exact_on_a_linear_score(rule, nodes, steps):
    """The weights of a rule sum to the whole way, wherever its nodes are."""
    images, baselines = pictures(2)
    targets = torch.tensor([3, 1])
    net = Linear()
    score = ScoreFunction(net, "logit")
    path = CoarseToFinePath(LaplacianBasis(3), n_segments=7).generate(images, baselines, targets, score)
    found = integrate(path, score, targets, rule, steps=steps, nodes=nodes)
    torch.testing.assert_close(found.attribution, net.contributions(images, baselines, targets), rtol=1e-11, atol=1e-13)
    assert found.gap.abs().max() < 1e-12
