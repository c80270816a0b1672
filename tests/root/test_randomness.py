"""Streams: keyed by seed, image, path and purpose, and by nothing else."""

from __future__ import annotations

import itertools
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from scipy import stats

from diffig.baselines import Average, Blur, Constant, Dataset, Gaussian, Mean, Uniform
from diffig.randomness import Streams


def test_a_generator_goes_to_another_process_by_value() -> None:
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    sent = bytes(ForkingPickler.dumps(generator))
    assert b"rebuild_storage" not in sent, "memory that is shared may be freed before it is read"
    again = ForkingPickler.loads(sent)
    assert torch.equal(torch.rand(7, generator=again), torch.rand(7, generator=generator))


def first(seed, index, path=0, purpose=""):
    return Streams(seed, torch.tensor([index])).numpy(0, path, purpose).random(4).tolist()


def test_every_part_of_the_key_matters():
    keys = list(itertools.product((0, 1), (0, 1, 70_000), (0, 1), ("", "noise", "field")))
    drawn = [tuple(first(*key)) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert drawn == [tuple(first(*key)) for key in keys]


def test_key_parts_do_not_trade_places():
    assert first(1, 2) != first(2, 1)
    assert first(0, 1, 2) != first(0, 2, 1)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_tensors_are_image_major_and_know_no_batch(kind):
    streams = Streams(3, torch.tensor([8, 2, 5]))
    drawn = getattr(streams, kind)((2, 4), n_paths=3, purpose="x")
    assert drawn.shape == (9, 2, 4)
    assert drawn.dtype == torch.float32
    alone = getattr(Streams(3, torch.tensor([2])), kind)((2, 4), n_paths=3, purpose="x")
    assert torch.equal(drawn[3:6], alone)
    fewer = getattr(Streams(3, torch.tensor([2])), kind)((2, 4), n_paths=2, purpose="x")
    assert torch.equal(alone[:2], fewer)  # more candidates leave the first ones as they are


def test_distributions():
    streams = Streams(0, torch.arange(50))
    assert stats.kstest(streams.normal((400,)).flatten().numpy(), "norm").pvalue > 1e-4
    assert stats.kstest(streams.uniform((400,)).flatten().numpy(), "uniform").pvalue > 1e-4
    each = streams.normal((400,)).numpy()
    assert np.abs(np.corrcoef(each) - np.eye(50)).max() < 0.25


def test_torch_and_numpy_seeds_are_left_alone():
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (the state of others)
    Streams(0, torch.arange(3)).normal((5,))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_default_streams_are_positions():
    assert torch.equal(Streams.default(3, 4).normal((2,)), Streams(4, torch.tensor([0, 1, 2])).normal((2,)))


@pytest.mark.parametrize("indices", [torch.zeros(2, 2, dtype=torch.long), torch.tensor([0.0, 1.0])])
def test_indices_are_whole_numbers_one_for_each_image(indices):
    with pytest.raises(ValueError, match="one whole number for each image"):
        Streams(0, indices)


IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
STREAMS = Streams(0, torch.tensor([4, 9, 2]))
BANK = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
BASELINES = {
    "black": (Constant(0.0), 1),
    "white": (Constant(1.0), 1),
    "mean": (Mean(), 1),
    "blur": (Blur(), 1),
    "uniform": (Uniform(2), 2),
    "gaussian": (Gaussian(0.7, 3), 3),
    "dataset": (Dataset(BANK, 5), 5),
    "black_white": (Average([Constant(0.0), Constant(1.0)]), 2),
}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_images(name):
    baseline, count = BASELINES[name]
    assert baseline.name == name
    references = baseline.references(IMAGES, STREAMS)
    assert len(references) == count
    for reference in references:
        assert reference.shape == IMAGES.shape
        assert reference.dtype == IMAGES.dtype
        assert reference.min() >= 0
        assert reference.max() <= 1
    for one, other in itertools.combinations(references, 2):
        assert not torch.equal(one, other) or name == "dataset"
    alone = baseline.references(IMAGES[1:2], Streams(0, torch.tensor([9])))
    for together, single in zip(references, alone, strict=True):
        torch.testing.assert_close(together[1:2], single, rtol=0, atol=1e-6)


def test_blur_leaves_grey_grey_and_shrinks_to_fit():
    grey = torch.full((1, 3, 4, 4), 0.3)
    torch.testing.assert_close(Blur(11).references(grey, STREAMS)[0], grey)
    blurred = Blur().references(IMAGES, STREAMS)[0]
    assert blurred.var() < 0.2 * IMAGES.var()


def test_mean_is_the_colour():
    assert Mean().references(IMAGES, STREAMS)[0][0, :, 3, 3].tolist() == pytest.approx([0.485, 0.456, 0.406])
    grey = Mean().references(IMAGES[:, :1], STREAMS)[0]
    assert grey.unique().tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(1.5), "baseline value 1.5 lies outside"),
        (lambda: Blur(4), "kernel_size=4 must be odd"),
        (lambda: Uniform(0), "baseline.draws=0 must be a whole number of at least 1"),
        (lambda: Average([]), "at least one baseline"),
        (lambda: Dataset().references(IMAGES, STREAMS), "has no bank"),
        (lambda: Dataset(BANK[..., :4]).references(IMAGES, STREAMS), r"bank holds images \(3, 8, 4\)"),
        (lambda: Mean((0.1, 0.2)).references(IMAGES, STREAMS), "2 channels, the images 3"),
    ],
)
def test_baselines_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
