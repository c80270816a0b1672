"""What every path promises: exact ends, order, laziness, and coordinates that sum to the image."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from diffig.attribution import integrate
from diffig.method import FieldPath, Guidance
from diffig.method.field.prior import FieldPrior
from diffig.method.field.space import FieldSpace
from diffig.paths import (
    AlphaPath,
    ChannelBasis,
    CoarseToFinePath,
    GuidedPath,
    LaplacianBasis,
    PixelBasis,
    PointPath,
    Schedule,
    StickBreakingPath,
    StraightPath,
)
from diffig.paths.generator import PathGenerator, candidates
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.models import RowTanhNet, Spy, TanhNet, pictures

TARGETS = torch.tensor([0, 3, 1])
BASES = {"pixel": PixelBasis(), "laplacian": LaplacianBasis(4), "channel": ChannelBasis(3)}
SCHEDULES = {
    "together": Schedule("together"),
    "coarse first": Schedule("coarse_first", 0.3, 0.7),
    "fine first": Schedule("fine_first", 0.0, 2.0),
}


def field_path(guidance=None, basis=None, schedule=None):
    return FieldPath(
        FieldSpace(basis, schedule), FieldPrior.load(), guidance, sample_steps=3, concentration=(1.0, 20.0)
    )


GENERATORS = {
    "straight": lambda: StraightPath(7),
    "stick breaking": lambda: StickBreakingPath(9, 2.0),
    "stick breaking, cells": lambda: StickBreakingPath(9, 2.0, cell_size=3, channels="shared"),
    "guided": lambda: GuidedPath(9),
    "coarse to fine": lambda: CoarseToFinePath(n_segments=13),
    "fine to coarse": lambda: CoarseToFinePath(schedule=SCHEDULES["fine first"], n_segments=13),
    "channels": lambda: CoarseToFinePath(ChannelBasis(), n_segments=13),
    "field": field_path,
    "field, guided": lambda: field_path(Guidance(faithfulness=0.5, absolute_mass=0.5, gradients=2)),
    "field, pixels": lambda: field_path(basis=PixelBasis(), schedule=Schedule("together")),
    "field, fine first": lambda: field_path(schedule=SCHEDULES["fine first"]),
}


def generate(name, dtype=torch.float32, size=(13, 9), n_paths=1):
    images, baselines = pictures(3, 3, *size, dtype=dtype)
    images[0, 0, 0] = baselines[0, 0, 0]
    score = ScoreFunction(TanhNet((3, *size), dtype=dtype))
    return images, baselines, GENERATORS[name]().generate(images, baselines, TARGETS, score, n_paths=n_paths)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GENERATORS)
def test_both_ends_are_exact(name, dtype):
    images, baselines, path = generate(name, dtype, n_paths=2)
    repeated = images.repeat_interleave(2, 0), baselines.repeat_interleave(2, 0)
    assert len(path) == 6
    for given, found in (
        (repeated[1], path.points(0, 1)[:, 0]),
        (repeated[0], path.points(path.n_segments, path.n_segments + 1)[:, 0]),
    ):
        assert torch.equal(given, found)  # bitwise
    whole = path.points(0, path.n_segments + 1)
    assert whole.dtype == dtype
    assert torch.equal(whole[:, 0], repeated[1])
    assert torch.equal(whole[:, -1], repeated[0])
    assert torch.equal(path.endpoints[0], repeated[1])
    assert torch.equal(path.endpoints[1], repeated[0])


@pytest.mark.parametrize("name", GENERATORS)
def test_points_are_what_at_says(name):
    _, _, path = generate(name)
    whole = path.points(0, path.n_segments + 1)
    assert torch.equal(path.points(2, 5), whole[:, 2:5])
    positions = torch.tensor([[0.0, 2.0, 2.5], [1.0, 1.25, 4.0], [3.0, float(path.n_segments), 0.0]])
    found = path.at(positions)
    for row in range(3):
        for column in range(3):
            low = min(int(positions[row, column]), path.n_segments - 1)
            part = positions[row, column] - low
            wanted = (1 - part) * whole[row, low] + part * whole[row, low + 1]
            torch.testing.assert_close(found[row, column], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["straight", "stick breaking", "stick breaking, cells", "guided", "channels", "field, pixels"]
)
def test_pixels_move_one_way_only(name):
    images, baselines, path = generate(name, torch.float64)
    direction = (images - baselines).sign()[:, None]
    steps = path.points(0, path.n_segments + 1).diff(dim=1) * direction
    assert steps.min() > -1e-14
    assert (steps * (direction == 0)).abs().max() == 0  # what has nowhere to go stays


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "guided"])
def test_progress_never_falls(name):
    _, _, path = generate(name)
    assert (path.alpha.diff(dim=1) >= 0).all()
    assert (path.alpha[:, 0] == 0).all()
    assert (path.alpha[:, -1] == 1).all()


def test_alpha_path_refuses_what_is_no_path():
    images, baselines = pictures(2)
    rising = torch.linspace(0, 1, 5, dtype=torch.float64).view(1, -1, 1, 1, 1).repeat(2, 1, 1, 1, 1)
    AlphaPath(images, baselines, rising)
    for spoil in ((2, 0.9), (0, 0.1), (4, 0.99), (4, 1.01)):
        spoilt = rising.clone()
        spoilt[1, spoil[0]] = spoil[1]
        with pytest.raises(ValueError, match="rise from exactly 0 to exactly 1"):
            AlphaPath(images, baselines, spoilt)
    with pytest.raises(ValueError, match="K in"):
        AlphaPath(images, baselines, rising.repeat(1, 1, 2, 1, 1))
    with pytest.raises(ValueError, match="components has shape"):
        AlphaPath(images, baselines, rising, torch.zeros(2, 1, 3, 4, 8))
    with pytest.raises(ValueError, match="T >= 1"):
        PointPath(images[:, None])
    with pytest.raises(ValueError, match="points 0 to 4"):
        AlphaPath(images, baselines, rising).points(3, 7)


class Peak(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_iter(result) if isinstance(leaf, torch.Tensor)]
        self.largest = max([self.largest, *sizes])
        return result


class Living(Spy):
    """Numbers held by all tensors alive at the last call."""

    def forward(self, images):
        if self.largest_call and self.forward_images in (2 + 8 * 4, 2 + 8 * 120):
            storages = {
                t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in gc.get_objects()
                if type(t) is torch.Tensor
            }
            self.held = sum(storages.values())
        return super().forward(images)


@pytest.mark.parametrize("rule", ["midpoint", "idgi"])
def test_memory_follows_the_chunk_and_not_the_steps(rule):
    images, baselines = pictures(1, 3, 16, 16)
    found = []
    for steps in (50, 2000):
        net = Living(TanhNet((3, 16, 16)))
        with Peak() as peak:
            score = ScoreFunction(net, chunk_size=8)
            path = StraightPath().generate(images, baselines, TARGETS[:1], score)
            integrate(path, score, TARGETS[:1], rule, steps=steps)
        assert net.largest_call <= 8
        found.append((peak.largest, net.held))
    assert found[0][0] == found[1][0]
    assert abs(found[1][1] - found[0][1]) < 1000 * 64  # 1000 images would be 6 MB


def test_random_paths_hold_no_field():
    """What NumPy holds at most, and the largest tensor, are the same for sixteen times the steps."""
    images, baselines = pictures(2, 3, 32, 32)
    score = ScoreFunction(TanhNet((3, 32, 32)), chunk_size=8)
    held, largest = [], []
    for steps in (50, 800):
        tracemalloc.start()
        with Peak() as peak:
            path = StickBreakingPath(steps).generate(images, baselines, TARGETS[:2], score)
            integrate(path, score, TARGETS[:2], steps=steps)
        held.append(tracemalloc.get_traced_memory()[1])
        largest.append(peak.largest)
        tracemalloc.stop()
    assert largest[0] == largest[1]
    assert held[1] - held[0] < 800 * 3 * 32 * 32  # a byte for each number of one field


@pytest.mark.parametrize("size", [(13, 9), (8, 8), (1, 7), (2, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "basis",
    [PixelBasis(), *(LaplacianBasis(n) for n in (1, 2, 4, 6)), ChannelBasis()],
    ids=lambda b: f"{b.name}{b.n_bands}",
)
def test_components_sum_to_the_difference(basis, dtype, size):
    images, baselines = pictures(2, 3, *size, dtype=dtype)
    difference = images - baselines
    parts = basis.components(difference)
    assert parts.shape == (2, basis.n_bands, *difference.shape[1:])
    assert (parts.sum(1) - difference).abs().max() <= 8 * torch.finfo(dtype).eps


def test_bands_come_coarse_first():
    images, baselines = pictures(2, 3, 16, 16)
    parts = LaplacianBasis(4).components(images - baselines)
    flat = parts[:, 0].mean((2, 3))
    torch.testing.assert_close(flat, (images - baselines).mean((2, 3)), rtol=0, atol=0.05)
    roughness = [(band.diff(dim=-1).square().mean() / band.square().mean()).item() for band in parts.unbind(1)]
    assert roughness == sorted(roughness)
    assert roughness[-1] > 3 * roughness[0]


def test_channel_basis_wants_its_channels():
    with pytest.raises(ValueError, match="3 bands, the images 1 channels"):
        ChannelBasis(3).components(torch.zeros(1, 1, 4, 4))


def test_schedule_windows():
    starts, ends = Schedule("coarse_first", 1.0).windows(5)
    assert torch.equal(starts, torch.zeros(5))
    assert torch.equal(ends, torch.ones(5))
    starts, ends = Schedule("coarse_first", 0.0).windows(5)
    torch.testing.assert_close(ends[:-1], starts[1:])  # one after another
    torch.testing.assert_close(ends - starts, torch.full((5,), 0.2))
    for overlap in (0.0, 0.4, 0.9):
        starts, ends = Schedule("coarse_first", overlap).windows(4)
        assert starts[0] == 0
        torch.testing.assert_close(ends[-1], torch.tensor(1.0))
        torch.testing.assert_close((ends[0] - starts[1]) / (ends[0] - starts[0]), torch.tensor(overlap))
    even = Schedule("coarse_first", 0.4).windows(4)[0]
    assert torch.equal(Schedule("fine_first", 0.4).windows(4)[0], even.flip(0))
    crowded_early, crowded_late = (Schedule("coarse_first", 0.4, power).windows(4)[0] for power in (2.0, 0.5))
    for moved in (crowded_early, crowded_late):
        torch.testing.assert_close(moved[[0, -1]], even[[0, -1]])
    assert (crowded_early[1:-1] < even[1:-1]).all()
    assert (crowded_late[1:-1] > even[1:-1]).all()
    assert torch.equal(Schedule("together", 0.0).windows(3)[1], torch.ones(3))


@pytest.mark.parametrize("order", ["together", "coarse_first", "fine_first"])
def test_the_clock_runs_from_zero_to_one(order):
    clock = Schedule(order, 0.3, 1.7).clock(torch.linspace(0, 1, 101, dtype=torch.float64), 6)
    assert clock.shape == (101, 6)
    assert (clock[0] == 0).all()
    assert (clock[-1] - 1).abs().max() < 1e-6
    assert (clock.diff(dim=0) >= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "sideways"}, "choose one of .*coarse_first"),
        ({"overlap": 1.2}, "overlap=1.2 must lie in"),
        ({"power": 0}, "power=0 must be positive"),
    ],
)
def test_schedule_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**options)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("basis", BASES)
def test_any_field_is_a_path(basis, schedule):
    """Even wild numbers decode to progress that rises from 0 to 1 and to a path with exact ends."""
    space = FieldSpace(BASES[basis], SCHEDULES[schedule], n_segments=5, grid=(3, 4))
    images, baselines = pictures(3, 3, 13, 9)
    wild = 10 * torch.randn((3, *space.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    progress = space.decode(wild, torch.tensor([0.1, 1.0, 50.0]))
    assert progress.shape == (3, space.basis.n_bands, 6, 3, 4)
    assert (progress.diff(dim=2) >= 0).all()
    assert (progress[:, :, 0] == 0).all()
    assert (progress[:, :, -1] == 1).all()
    path = space.path(images, baselines, progress)
    assert torch.equal(path.points(0, 1)[:, 0], baselines)
    assert torch.equal(path.points(path.n_segments, path.n_segments + 1)[:, 0], images)


def test_fields_survive_the_round_trip():
    space = FieldSpace(LaplacianBasis(2), n_segments=8, grid=(4, 4))
    distribution = StickBreakingPath(8, 3.0, channels="separate")
    import numpy as np

    progress = torch.from_numpy(distribution.progress(np.random.default_rng(0), 6, 4, 4)).double().transpose(0, 1)
    progress = progress.unflatten(0, (3, 2))  # (images, bands, T + 1, h, w)
    given = torch.tensor([1.0, 3.0, 30.0], dtype=torch.float64)
    torch.testing.assert_close(space.decode(space.encode(progress, given), given), progress, rtol=0, atol=1e-12)


def test_gradients_flow_through_decode():
    space = FieldSpace(LaplacianBasis(2), n_segments=4, grid=(2, 2))
    field = 0.3 * torch.randn((2, *space.shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = torch.tensor([2.0, 5.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: space.decode(z, given), field.requires_grad_())
    times = torch.linspace(0, 1, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: space.alpha(space.decode(z, given), times), field)
    (gradient,) = torch.autograd.grad(space.alpha(space.decode(field, given), times).sum(), field)
    assert (gradient != 0).any()


def test_field_time_is_the_schedule():
    """A band on its mean path stands where its own clock says."""
    space = FieldSpace(LaplacianBasis(3), Schedule("coarse_first", 0.25), n_segments=16, grid=(2, 2))
    progress = space.decode(torch.zeros((1, *space.shape), dtype=torch.float64), torch.tensor(10.0))
    times = torch.linspace(0, 1, 37, dtype=torch.float64)
    clock = space.schedule.clock(times, 3)
    torch.testing.assert_close(space.alpha(progress, times)[0, :, :, 0, 0], clock, rtol=0, atol=1e-12)


def test_candidates_stand_image_major():
    images, baselines = pictures(3, 3, 6, 5)
    score = ScoreFunction(RowTanhNet((3, 6, 5)))
    from diffig.randomness import Streams

    path = StickBreakingPath(5)
    together = path.generate(images, baselines, TARGETS, score, n_paths=2, streams=Streams(4, torch.tensor([7, 8, 9])))
    alone = path.generate(
        images[1:2], baselines[1:2], TARGETS[1:2], score, n_paths=2, streams=Streams(4, torch.tensor([8]))
    )
    assert torch.equal(together.points(0, 6)[2:4], alone.points(0, 6))
    assert not torch.equal(alone.alpha[0], alone.alpha[1])


def test_streams_by_their_old_name_and_an_option_that_a_generator_does_not_take():
    images, streams = torch.rand(2, 3, 6, 6), Streams(3, torch.tensor([4, 9]))
    given = images, torch.zeros_like(images), TARGETS[:2], ScoreFunction(TanhNet((3, 6, 6)))
    found = StickBreakingPath(4).generate(*given, streams=streams)
    with pytest.warns(DeprecationWarning, match="argument generator of generate is streams now"):
        again = StickBreakingPath(4).generate(*given, generator=streams)
    assert torch.equal(found.points(0, 5), again.points(0, 5))
    with pytest.raises(TypeError, match="region"):
        StraightPath().generate(*given, region=images[:, :1])


def test_a_generator_of_ones_own_writes_one_method():
    class There(PathGenerator):
        def _generate(self, batch, n_paths, streams):
            points = torch.stack([batch.baselines, batch.images], 1)
            return PointPath(candidates(points + 0 * streams.uniform((1, 1, 1, 1)).to(points), n_paths))

    images = torch.rand(2, 3, 6, 6)
    path = There().generate(images, torch.zeros_like(images), TARGETS[:2], ScoreFunction(TanhNet((3, 6, 6))), n_paths=2)
    assert torch.equal(path.points(1, 2)[:, 0], candidates(images, 2))
