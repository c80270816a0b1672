"""The distribution of stick-breaking paths in its own moments, and its two limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from diffig.attribution import IntegratedGradients, StickBreakingIntegration, integrate
from diffig.paths import AlphaPath, StickBreakingPath
from diffig.paths.replayed import Progress, ReplayedIncrements
from diffig.paths.stick_breaking import dirichlet_increments, draw_concentration, spread_cells, truncated_increments
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.models import FourFeatures
from oracle.paths_oracle import shapley

N = 8_000
EVEN = np.full(8, 1 / 8)
SKEWED = np.array([0.05, 0.3, 0.0, 0.25, 0.1, 0.0, 0.2, 0.1])
DRAWS = {"exact": dirichlet_increments, "truncated": truncated_increments}
IMAGE = torch.tensor([[[[0.9, 0.7], [0.8, 0.6]]]], dtype=torch.float64)
START = torch.tensor([[[[0.1, 0.3], [0.2, 0.05]]]], dtype=torch.float64)


def draws(construction, concentration, masses, seed=0):
    return DRAWS[construction](np.random.default_rng(seed), concentration, masses, (N,))


def within_error(sample, expected, sigmas=5.0):
    """Whether the mean of independent samples (last axis) is `expected` up to Monte Carlo error."""
    error = sample.std(-1, ddof=1) / math.sqrt(sample.shape[-1])
    return (np.abs(sample.mean(-1) - expected) <= sigmas * error + 1e-12).all()


@pytest.mark.parametrize("masses", [EVEN, SKEWED], ids=["even", "skewed"])
@pytest.mark.parametrize("concentration", [0.3, 10.0])
@pytest.mark.parametrize("construction", DRAWS)
def test_moments(construction, concentration, masses):
    """E dF_i = H_i, Var F = H (1 - H) / (1 + a), Cov(dF_i, dF_j) = -H_i H_j / (1 + a)."""
    increments = draws(construction, concentration, masses)
    assert within_error(increments, masses)
    line = np.cumsum(masses)[:-1]
    progress = increments.cumsum(0)[:-1]
    assert within_error((progress - line[:, None]) ** 2, line * (1 - line) / (1 + concentration))
    centred = increments - masses[:, None]
    expected = (np.diag(masses) - np.outer(masses, masses)) / (1 + concentration)
    assert within_error(centred[:, None] * centred[None], expected)


@pytest.mark.parametrize("masses", [EVEN, SKEWED], ids=["even", "skewed"])
@pytest.mark.parametrize("concentration", [1e-4, 0.5, 10.0])
def test_replayed_increments_are_the_drawn_ones(concentration, masses):
    drawn = dirichlet_increments(np.random.default_rng(0), concentration, masses, (3, 500))
    replayed = ReplayedIncrements(np.random.default_rng(0), concentration, masses, (3, 500))
    assert np.array_equal(np.stack(list(replayed)), drawn)
    assert np.array_equal(np.stack(list(replayed)), drawn), "again"


def test_progress_is_the_same_wherever_one_looks_first():
    increments = dirichlet_increments(np.random.default_rng(0), 2.0, EVEN, (1, 5))
    whole = Progress(increments, 8).rows(0, 8)
    looked_at = Progress(increments, 8)
    for first, last in ((2, 4), (3, 6), (6, 6), (8, 8), (0, 1), (5, 8), (5, 6), (6, 8), (0, 8)):
        assert np.array_equal(looked_at.rows(first, last), whole[first : last + 1])


@pytest.mark.parametrize("concentration", [1.0, 40.0])
@pytest.mark.parametrize("construction", DRAWS)
def test_a_replayed_path_is_the_one_that_holds_its_field(construction, concentration):
    """Two candidates of two images, at positions in any order, and for each image at others."""
    images, baselines = torch.rand(2, 2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    distribution = StickBreakingPath(16, concentration, cell_size=[1, 3], construction=construction)
    streams = Streams(5, torch.tensor([3, 9]))
    path = distribution.generate(images, baselines, torch.tensor([0, 1]), None, n_paths=2, streams=streams)
    drawn = [
        distribution.progress(streams.numpy(image, n, "stick_breaking"), 3, 7, 6) for image in (0, 1) for n in (0, 1)
    ]
    held = AlphaPath(*(ends.repeat_interleave(2, 0) for ends in (images, baselines)), torch.from_numpy(np.stack(drawn)))
    assert torch.equal(path.alpha, held.alpha)
    positions = 16 * torch.rand(3, 4, 9, generator=torch.Generator().manual_seed(1))
    for some in (positions[0], positions[1].sort(1).values, positions[2].round()):
        assert torch.equal(path.at(some), held.at(some))


@pytest.mark.parametrize("construction", DRAWS)
def test_intervals_without_mass_get_exactly_nothing(construction):
    increments = draws(construction, 2.0, SKEWED)
    assert (increments[SKEWED == 0] == 0).all()
    assert (increments >= 0).all()
    np.testing.assert_allclose(increments.sum(0), 1, rtol=1e-12)


@pytest.mark.parametrize("concentration", [0.02, 1.0, 20.0])
def test_exact_progress_is_a_beta_variable(concentration):
    progress = draws("exact", concentration, EVEN)[:3].sum(0)
    distribution = stats.beta(concentration * 3 / 8, concentration * 5 / 8)
    # What underflows to 0 or rounds to 1 in float64 is an atom of the sample that the continuous distribution has not.
    inside = np.clip(progress, 1e-15, 1 - 1e-15)
    distance = stats.kstest(inside, distribution.cdf).statistic
    blur = max(distribution.cdf(1e-14), distribution.sf(1 - 1e-14))
    assert distance < 2.0 / math.sqrt(N) + blur


@pytest.mark.parametrize("concentration", [1.0, 10.0])
def test_both_constructions_are_one_law(concentration):
    exact = draws("exact", concentration, SKEWED, seed=1)
    broken = draws("truncated", concentration, SKEWED, seed=2)
    for upto in (1, 4, 7):
        assert stats.ks_2samp(exact[:upto].sum(0), broken[:upto].sum(0)).pvalue > 1e-4
    assert stats.ks_2samp(exact.max(0), broken.max(0)).pvalue > 1e-4  # jointly too, not only its marginals


def test_a_stick_cut_early_keeps_its_mean():
    """At a = 1000 two thirds of the stick are left after 400 breaks; putting them at the end would bend the path."""
    increments = truncated_increments(np.random.default_rng(0), 1000.0, EVEN, (4000,), n_breaks=400)
    assert within_error(increments, EVEN)


@pytest.mark.parametrize("concentration", [1e-4, 1e-3, 1e-2])
def test_tiny_concentrations_are_single_jumps(concentration):
    alpha = StickBreakingPath(64, concentration).progress(np.random.default_rng(0), 3, 16, 16)
    assert alpha.dtype == np.float32
    assert np.isfinite(alpha).all()
    steps = np.diff(alpha, axis=0)
    assert (steps >= 0).all()
    assert (alpha[0] == 0).all()
    assert (alpha[-1] == 1).all()
    assert (steps.max(0) > 0.99).mean() > 1 - 20 * concentration - 0.01
    places = steps.argmax(0).ravel()  # the jump is anywhere, with equal chances
    assert stats.chisquare(np.bincount(places, minlength=64)).pvalue > 1e-4


@pytest.mark.parametrize("construction", DRAWS)
def test_paths_rise_from_zero_to_one(construction):
    path = StickBreakingPath(16, 5.0, construction=construction)
    alpha = path.progress(np.random.default_rng(0), 3, 6, 5)
    assert alpha.shape == (17, 3, 6, 5)
    assert (np.diff(alpha, axis=0) >= 0).all()
    assert (alpha[0] == 0).all()
    assert (alpha[-1] == 1).all()


def test_features_draw_on_their_own_unless_they_share():
    own = StickBreakingPath(8, 1.0).progress(np.random.default_rng(0), 3, 8, 8)
    assert len(np.unique(own.reshape(9, -1), axis=1).T) == 3 * 64
    shared = StickBreakingPath(8, 1.0, channels="shared").progress(np.random.default_rng(0), 1, 8, 8)
    assert shared.shape == (9, 1, 8, 8)
    cells = StickBreakingPath(8, 1.0, cell_size=4).progress(np.random.default_rng(0), 3, 8, 8)
    for channel in range(3):
        assert len(np.unique(cells[:, channel].reshape(9, -1), axis=1).T) <= 9
    assert len(np.unique(cells.reshape(9, -1), axis=1).T) > 9  # channels still draw on their own


def test_cells_are_squares_shifted_at_random():
    rng = np.random.default_rng(0)
    together = np.zeros(11)
    for _ in range(2000):
        rows, columns, cells = spread_cells(rng, 4, 12, 10)
        assert cells.shape == (12, 10)
        assert cells.max() < rows * columns
        sizes = np.bincount(cells.ravel(), minlength=rows * columns)
        assert sizes.max() <= 16
        assert (cells[:, 1:] - cells[:, :-1] >= 0).all()
        together += cells[1:, 0] == cells[:-1, 0]
    # Neighbours share a cell with chance (c - 1) / c, wherever they are.
    assert np.abs(together / 2000 - 3 / 4).max() < 5 * math.sqrt(3 / 16 / 2000)


def test_concentration_ranges_are_log_uniform():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_concentration(rng, (1.0, 100.0)) for _ in range(4000)])
    assert stats.kstest(np.log(drawn) / math.log(100), "uniform").pvalue > 1e-4
    assert {draw_concentration(rng, 7.0), draw_concentration(rng, (7.0, 7.0)), draw_concentration(rng, 7)} == {7.0}


def test_a_range_changes_the_path_of_each_image():
    variances = [
        StickBreakingPath(8, (0.1, 1000.0)).progress(np.random.default_rng(seed), 1, 32, 32)[4].var()
        for seed in range(8)
    ]
    assert max(variances) > 20 * min(variances)


def test_small_concentrations_give_shapley_values():
    """a -> 0: features switch on one by one in a random order, which is permutation Shapley."""
    score = ScoreFunction(FourFeatures(), "logit", chunk_size=4096)
    target = torch.tensor([0])

    def worth(present):
        point = START.clone().flatten()
        for player in present:
            point[player] = IMAGE.flatten()[player]
        return score.score(point.view(1, 1, 2, 2), target).item()

    wanted = np.array(shapley(worth, 4))
    path = StickBreakingPath(64, 1e-6).generate(IMAGE, START, target, score, n_paths=2000)
    maps = integrate(path, score, target.expand(2000)).attribution.flatten(1).T.numpy()
    assert within_error(maps, wanted, sigmas=4.5)
    straight = IntegratedGradients(score, steps=64).attribute(IMAGE, START, 0).flatten().numpy()
    assert np.abs(straight - wanted).max() > 10 * maps.std(1).max() / math.sqrt(2000)  # the test can tell them apart


@pytest.mark.parametrize("concentration", [1e7, 1e9])
def test_large_concentrations_give_integrated_gradients(concentration):
    score = ScoreFunction(FourFeatures(), "logit")
    random = StickBreakingIntegration(score, steps=32, concentration=concentration).attribute(IMAGE, START, 0)
    straight = IntegratedGradients(score, steps=32).attribute(IMAGE, START, 0)
    assert (random - straight).abs().max() < 5 / math.sqrt(concentration)
    wild = StickBreakingIntegration(score, steps=32, concentration=1.0).attribute(IMAGE, START, 0)
    assert (wild - straight).abs().max() > 0.01
