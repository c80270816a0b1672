"""Aggregators against their formulas in numpy, one feature at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from diffig.attribution import StickBreakingIntegration, aggregate
from diffig.integration.aggregate import FLOOR
from diffig.integration.combine import combine
from diffig.integration.integrate import Integral
from diffig.paths.generator import ExplainBatch
from diffig.scores import ScoreFunction
from oracle.models import TanhNet, fixed, pictures

TARGETS = torch.tensor([0, 3, 1, 4])


def candidates(n, batch=3, shape=(2, 5, 6)):
    return fixed((batch, n, *shape), n)


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_mean_and_median(n):
    given = candidates(n)
    np.testing.assert_allclose(aggregate(given, "mean").numpy(), np.mean(given.numpy(), 1), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(aggregate(given, "median").numpy(), np.median(given.numpy(), 1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", [2, 5])
def test_variance_weighted(n):
    given = candidates(n)
    given[0, :, 0, 0, 0] = 2.5  # all candidates agree: kept as it is
    given[0, :, 0, 0, 1] = 0.0
    centre, spread = given.numpy().mean(1), given.numpy().var(1, ddof=1)
    with np.errstate(invalid="ignore"):
        wanted = np.where(spread > 0, centre**2 / (centre**2 + spread), 1) * centre
    found = aggregate(given, "variance_weighted").numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert found[0, 0, 0, 0] == 2.5
    assert found[0, 0, 0, 1] == 0
    assert (np.abs(found) <= np.abs(centre) + 1e-15).all()


@pytest.mark.parametrize("n", [2, 5])
def test_consensus(n):
    given = candidates(n) + 0.3
    given[1] *= -1  # its score falls from the baseline to the image
    given[0, :, 0, 0, 0] = 2.5  # all agree
    given[0, :, 0, 0, 1] = -1.0  # all agree that it argues against
    given[0, :, 0, 0, 2] = torch.arange(n) - 0.5  # one of them argues against
    found = aggregate(given, "consensus").numpy()
    for row in range(3):
        total = given[row].numpy().mean(0).sum()
        parts = np.maximum(np.sign(total) * given[row].numpy(), 0)
        pooled = np.zeros(given.shape[2:])
        for place in np.ndindex(pooled.shape):
            each = [part[place] for part in parts]
            if max(each) > 0:
                pooled[place] = np.prod([value + FLOOR * parts.max() for value in each]) ** (1 / n)
        np.testing.assert_allclose(found[row], pooled * total / pooled.sum(), rtol=1e-9)
        np.testing.assert_allclose(found[row].sum(), total, rtol=1e-12)
    assert found[0, 0, 0, 1] == 0
    assert 0 < found[0, 0, 0, 2] < 0.02 * found[0, 0, 0, 0]
    assert (found[1] <= 0).all()


def test_consensus_about_nothing_is_the_mean_and_nan_stays_with_its_image():
    given = candidates(3).abs()
    given[1], given[2, 1, 0, 0, 0] = 0, float("nan")
    found = aggregate(given.float(), "consensus")
    torch.testing.assert_close(found[0].sum(), given[0].mean(0).sum().float())
    assert (found[1] == 0).all()
    assert found[2].isnan().any()


@pytest.mark.parametrize("n", [2, 9])
def test_spi_p(n):
    given = candidates(n, shape=(2, 10, 10))
    found = aggregate(given, "spi_p").numpy()
    for row in range(3):
        centre = given[row].numpy().mean(0)
        spread = given[row].numpy().std(0, ddof=1)
        threshold = np.sort(centre.ravel())[-11]  # the top 5 % of 200 features, 10 of them, lie above
        np.testing.assert_allclose(found[row], stats.norm.sf((threshold - centre) / spread), rtol=1e-9, atol=1e-300)
        assert (found[row] > 0.5).sum() == 10


def test_spi_p_of_one_candidate_is_yes_or_no():
    found = aggregate(candidates(1, shape=(2, 10, 10)), "spi_p")
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (found.flatten(1).sum(1) == 10).all()


def test_best_of_takes_the_best_candidate():
    given = candidates(4)
    quality = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 3.0, 1.0, 2.0], [float("nan"), -3.0, -1.0, -2.0]])
    found = aggregate(given, "best_of", quality)
    for row, best in enumerate((1, 0, 2)):
        assert torch.equal(found[row], given[row, best])


@pytest.mark.parametrize("how", ["mean", "median", "variance_weighted", "consensus"])
def test_one_candidate_is_its_own_aggregate(how):
    given = candidates(1)
    assert torch.equal(aggregate(given, how), given[:, 0])


@pytest.mark.parametrize("how", ["mean", "median", "variance_weighted", "spi_p", "consensus"])
def test_order_of_candidates_does_not_matter(how):
    given = candidates(5)
    shuffled = given[:, [3, 0, 4, 1, 2]]
    torch.testing.assert_close(aggregate(given, how), aggregate(shuffled, how), rtol=1e-12, atol=1e-14)


def test_combine_reads_the_change_of_the_score_from_its_parts():
    attribution = candidates(4, batch=3).flatten(0, 1)
    change = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    total = attribution.flatten(1).sum(1)
    integral = Integral(attribution, total - change.repeat_interleave(4), total.abs())
    images = torch.rand(3, 2, 5, 6, dtype=torch.float64)
    judged = ExplainBatch(images, torch.zeros_like(images), torch.tensor([0, 1, 2]), ScoreFunction(TanhNet((2, 5, 6))))
    for how in ("mean", "median", "consensus", "best_of", "best_mixture"):
        found = combine(integral, how, judged)
        torch.testing.assert_close(found.gap, found.attribution.flatten(1).sum(1) - change)
        torch.testing.assert_close(found.absolute_mass, total.abs().view(3, 4).mean(1))


def test_the_mean_and_the_consensus_keep_completeness_and_the_gap_of_a_median_says_that_it_does_not():
    images, baselines = pictures()
    score = ScoreFunction(TanhNet())
    found = {
        how: StickBreakingIntegration(score, steps=64, n_paths=5, concentration=1.0, aggregation=how).explain(
            images, baselines, TARGETS
        )
        for how in ("mean", "consensus", "median", "variance_weighted")
    }
    change = score.score(images, TARGETS) - score.score(baselines, TARGETS)
    for integral in found.values():
        torch.testing.assert_close(integral.gap, integral.attribution.flatten(1).sum(1) - change, rtol=1e-9, atol=1e-12)
    assert found["mean"].gap.abs().max() < 2e-3
    torch.testing.assert_close(found["consensus"].gap, found["mean"].gap, rtol=0, atol=1e-12)
    for how in ("median", "variance_weighted"):
        assert found[how].gap.abs().max() > 5 * found["mean"].gap.abs().max()
