"""Paths whose bands follow another path one after another."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import PathAttributor
from diffig.credit import Agreeing, Proportional
from diffig.paths import (
    CoarseToFinePath,
    HaarBasis,
    LaplacianBasis,
    PointPath,
    Schedule,
    Scheduled,
    ScheduledPath,
    StickBreakingPath,
    StraightPath,
)
from diffig.scores import ScoreFunction
from oracle.models import TanhNet

SHAPE = (3, 9, 7)
TARGETS = torch.tensor([0, 1])


def some(seed: int, *lead: int) -> torch.Tensor:
    return torch.rand(*lead, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bent(count: int = 2, points: int = 6) -> PointPath:
    return PointPath(some(1, count, points))


def test_of_the_straight_line_it_is_coarse_to_fine() -> None:
    images, baselines = some(2, 2), some(3, 2)
    score = ScoreFunction(TanhNet(SHAPE))
    scheduled = Scheduled(StraightPath()).generate(images, baselines, TARGETS, score)
    drawn = CoarseToFinePath(n_segments=64).generate(images, baselines, TARGETS, score)
    times = torch.arange(65, dtype=torch.float64).expand(2, -1) / 64
    torch.testing.assert_close(
        scheduled.at(times * scheduled.n_segments), drawn.at(times * drawn.n_segments), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("basis", [LaplacianBasis(4), HaarBasis(3)], ids=["laplacian", "haar"])
@pytest.mark.parametrize(
    "schedule",
    [Schedule(), Schedule(overlap=0, power=2), Schedule("fine_first", 0.7)],
    ids=["default", "apart", "fine"],
)
def test_every_band_goes_its_part_of_the_way_at_its_own_time(basis, schedule) -> None:
    path = bent()
    scheduled = ScheduledPath(path, basis, schedule)
    starts, ends = schedule.windows(basis.n_bands)
    for position in (0.0, 0.3, 1.7, scheduled.n_segments / 2, scheduled.n_segments - 0.1, scheduled.n_segments):
        found = scheduled.at(torch.full((2, 1), position, dtype=torch.float64))[:, 0]
        for image in range(2):
            wanted = path.baselines[image].clone()
            for band in range(basis.n_bands):
                clock = (position / scheduled.n_segments - float(starts[band])) / float(ends[band] - starts[band])
                knot = min(max(clock, 0.0), 1.0) * path.n_segments
                below = min(int(knot), path.n_segments - 1)
                points = path.points(below, below + 2)[image]
                point = points[0] + (knot - below) * (points[1] - points[0])
                wanted += basis.components((point - path.baselines[image])[None])[0, band]
            torch.testing.assert_close(found[image], wanted, rtol=0, atol=1e-6)


def test_bands_that_move_together_follow_the_path_itself() -> None:
    path = bent()
    scheduled = ScheduledPath(path, LaplacianBasis(4), Schedule("together"))
    assert scheduled.n_segments == path.n_segments
    positions = torch.linspace(0, path.n_segments, 23, dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(scheduled.at(positions), path.at(positions), rtol=0, atol=1e-12)


def test_ends_are_exact_in_single_precision() -> None:
    path = PointPath(some(4, 2, 5).float())
    scheduled = ScheduledPath(path, LaplacianBasis(), Schedule())
    ends = scheduled.at(torch.tensor([[0.0, scheduled.n_segments]] * 2))
    assert torch.equal(ends[:, 0], path.baselines)
    assert torch.equal(ends[:, 1], path.images)


@pytest.mark.parametrize("credit", [Agreeing(p=2), Proportional(p=2)], ids=["agreeing", "proportional"])
@pytest.mark.parametrize("steps", [1, 7])
def test_credit_along_it_is_complete_for_every_candidate(credit, steps) -> None:
    images, baselines = some(5, 2), some(6, 2)
    generator = Scheduled(StickBreakingPath(16, 2.0), LaplacianBasis(3))
    assert generator.is_random
    method = PathAttributor(
        ScoreFunction(TanhNet(SHAPE), "logit"), generator, credit=credit, steps=steps, n_paths=3, aggregation="mean"
    )
    integral = method.explain(images, baselines, TARGETS)
    assert integral.gap.abs().max() <= 1e-10


def test_a_batch_draws_what_each_image_draws_alone() -> None:
    images, baselines = some(7, 2), some(8, 2)
    method = PathAttributor(
        ScoreFunction(TanhNet(SHAPE), "logit"),
        Scheduled(StickBreakingPath(16, 2.0)),
        credit="agreeing",
        steps=4,
        n_paths=2,
    )
    together = method.explain(images, baselines, TARGETS).attribution
    for image in range(2):
        own = slice(image, image + 1)
        alone = method.explain(images[own], baselines[own], TARGETS[own], indices=torch.tensor([image])).attribution
        torch.testing.assert_close(alone, together[own], rtol=0, atol=1e-10)
