"""Intervals, paired tests and Holm against exact values, simulations and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from diffig.evaluation import statistics
from diffig.evaluation.statistics import bootstrap_interval, holm, paired_difference, per_image, sign_flip_p


def test_seeds_are_averaged_inside_the_image_before_anything_else() -> None:
    values = np.array([[1.0, 3.0], [5.0, np.nan], [np.nan, np.inf]])
    np.testing.assert_array_equal(per_image(values), [2.0, 5.0, np.nan])


def test_more_seeds_do_not_make_the_interval_narrower() -> None:
    images = np.random.default_rng(0).normal(size=40)
    assert bootstrap_interval(np.repeat(images[:, None], 10, axis=1)) == pytest.approx(bootstrap_interval(images))


def test_interval_of_two_images_is_exact() -> None:
    # the resampled mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4: the 95 % quantiles are the two ends
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)


def test_interval_needs_two_finite_images() -> None:
    assert np.isnan(bootstrap_interval([1.0, np.nan])).all()
    assert bootstrap_interval([1.0, np.nan, 3.0]) == bootstrap_interval([1.0, 3.0])


def test_interval_is_seeded_and_chunking_only_bounds_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=50)
    whole = bootstrap_interval(values, seed=3)
    assert whole != bootstrap_interval(values, seed=4)
    monkeypatch.setattr(statistics, "CHUNK_NUMBERS", 50 * 1000)
    assert bootstrap_interval(values, seed=3) == whole


def test_interval_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).exponential(size=60)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=0).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(3).normal(0.3, 1.0, size=(400, 50))
    intervals = np.array([bootstrap_interval(sample, n=500, seed=i) for i, sample in enumerate(samples)])
    coverage = np.mean((intervals[:, 0] <= 0.3) & (intervals[:, 1] >= 0.3))
    assert 0.90 <= coverage <= 0.98  # 95 % less the percentile method's small-sample loss, +-3 standard errors


def test_sign_flips_are_enumerated_for_few_images() -> None:
    assert sign_flip_p([1.0, 2.0, 3.0]) == 2 / 8  # only +++ and --- reach the observed sum
    values = np.array([0.4, -0.1, 0.9, 0.3, 0.2])
    sums = [abs(np.dot(signs, values)) for signs in itertools.product([-1, 1], repeat=5)]
    assert sign_flip_p(values) == np.mean(np.array(sums) >= abs(values.sum()) - 1e-9)


def test_sampled_sign_flips_agree_with_enumeration_and_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(4).normal(0.35, 1.0, size=12)
    exact = sign_flip_p(values, n=2**12)
    assert sign_flip_p(values, n=4000, seed=1) == pytest.approx(exact, abs=0.03)
    theirs = stats.permutation_test((values, np.zeros(12)), lambda a, b: np.mean(a - b), permutation_type="samples")
    assert exact == pytest.approx(theirs.pvalue, abs=1e-9)


def test_p_is_uniform_under_a_symmetric_null_and_never_zero() -> None:
    null = np.random.default_rng(5).standard_t(3, size=(300, 30))
    p = np.array([sign_flip_p(sample, n=400, seed=i) for i, sample in enumerate(null)])
    assert 0.44 < p.mean() < 0.56
    assert 0.02 < np.mean(p < 0.05) < 0.09
    assert sign_flip_p(np.ones(100), n=999) == 1 / 1000
    assert sign_flip_p(np.zeros(100)) == 1.0


def test_paired_difference_drops_and_counts_images_missing_in_either() -> None:
    a = [1.0, 2.0, np.nan, 4.0, 5.0]
    b = [0.0, 2.0, 1.0, np.nan, 7.0]
    result = paired_difference(a, b)
    assert result.mean == pytest.approx(-1 / 3)
    assert (result.n_images, result.n_dropped) == (3, 2)
    assert result.win_rate == pytest.approx(0.5)  # one win, one tie, one loss
    assert result.p_value == 1.0


def test_win_rate_follows_the_direction_and_the_difference_does_not() -> None:
    a, b = [1.0, 2.0, 9.0], [2.0, 3.0, 4.0]
    assert paired_difference(a, b).win_rate == pytest.approx(1 / 3)
    assert paired_difference(a, b, lower_is_better=True).win_rate == pytest.approx(2 / 3)
    assert paired_difference(a, b, lower_is_better=True).mean == pytest.approx(1.0)


def test_pairing_sees_what_two_separate_intervals_hide() -> None:
    rng = np.random.default_rng(6)
    image_difficulty = rng.normal(0, 1, 100)
    a, b = image_difficulty + 0.1 + rng.normal(0, 0.05, 100), image_difficulty
    assert bootstrap_interval(a).low < bootstrap_interval(b).high
    assert paired_difference(a, b).low > 0.05
    assert paired_difference(a, b).p_value < 0.001


def test_order_of_images_matters_to_neither_mean_nor_win_rate() -> None:
    rng = np.random.default_rng(7)
    a, b, order = rng.normal(size=30), rng.normal(size=30), rng.permutation(30)
    one, two = paired_difference(a, b), paired_difference(a[order], b[order])
    assert one.mean == pytest.approx(two.mean)
    assert one.win_rate == two.win_rate
    assert one[1:4] == pytest.approx(two[1:4], abs=0.02)


def test_holm_against_a_hand_example() -> None:
    # sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, then never decreasing
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    assert holm([]).shape == (0,)


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="align them by image index"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"pass \(images,\) or \(images, seeds\)"):
        bootstrap_interval(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap_interval([1.0, 2.0], n=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="one difference per image"):
        sign_flip_p(np.zeros((2, 2)))
