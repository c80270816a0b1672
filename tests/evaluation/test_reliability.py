"""Krippendorff's alpha against published numbers, numbers made by hand and a dull implementation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from diffig.evaluation.reliability import krippendorff_alpha, rank_reliability

NAN = float("nan")
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C: four observers, twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def dull(ratings: np.ndarray, ordinal: bool) -> float:
    """Alpha from its definition, pair by pair."""
    units = [[x for x in unit if np.isfinite(x)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) >= 2]
    every = [x for unit in units for x in unit]

    def distance(a: float, b: float) -> float:
        if not ordinal:
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(1 for x in every if low <= x <= high)
        return float((between - (every.count(a) + every.count(b)) / 2) ** 2)

    n = len(every)
    observed = sum(sum(distance(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / n
    expected = sum(distance(a, b) for a, b in permutations(every, 2)) / (n * (n - 1))
    return 1 - observed / expected


def test_published_numbers() -> None:
    assert krippendorff_alpha(OBSERVERS, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(OBSERVERS, "interval") == pytest.approx(0.849, abs=5e-4)


def test_numbers_made_by_hand() -> None:
    # Three images rank three methods; the third swaps the last two. Every rank occurs three times, n = 9.
    # Observed: item 1 has 0, items 2 and 3 have ranks (2, 2, 3) and (3, 3, 2): 4 / 2 each, so D_o = 4 / 9.
    # Expected: 9 ordered pairs of each two ranks, squared distances 1, 1 and 4, twice: 108 / 72.
    ranks = np.array([[1, 2, 3], [1, 2, 3], [1, 3, 2]])
    assert krippendorff_alpha(ranks, "interval") == pytest.approx(1 - (4 / 9) / (108 / 72))
    assert krippendorff_alpha(ranks, "ordinal") == pytest.approx(krippendorff_alpha(ranks, "interval"))
    found = rank_reliability([[0.9, 0.5, 0.1], [0.8, 0.3, 0.2], [5.0, -1.0, 2.0]])
    alpha = 1 - 8 / 27
    assert found.alpha == pytest.approx(alpha)
    assert found.of_mean == pytest.approx(3 * alpha / (1 + 2 * alpha))
    assert (found.n_images, found.n_settings) == (3, 3)


@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_a_dull_implementation(level: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        ratings = rng.integers(0, 5, (rng.integers(2, 6), rng.integers(2, 7))).astype(float)
        ratings[rng.random(ratings.shape) < 0.2] = NAN
        if (np.isfinite(ratings).sum(axis=0) >= 2).sum() < 2:
            continue
        assert krippendorff_alpha(ratings, level) == pytest.approx(dull(ratings, level == "ordinal"))  # type: ignore[arg-type]


def test_agreement_and_chance() -> None:
    rng = np.random.default_rng(0)
    same = np.tile(np.arange(6.0), (40, 1))
    assert rank_reliability(same * rng.uniform(1, 9, (40, 1))).alpha == pytest.approx(1)  # an image's scale is its own
    assert rank_reliability(-same).alpha == pytest.approx(1)
    assert abs(rank_reliability(rng.random((400, 6))).alpha) < 0.02
    turned = rank_reliability(np.array([[1.0, 2, 3], [3.0, 2, 1]]))
    assert turned.alpha < 0
    assert turned.of_mean == 0
    noisy = rank_reliability(same + rng.normal(0, 4, same.shape))
    assert 0.1 < noisy.alpha < 0.7 < noisy.of_mean < 1, "one image says little, forty say much"


def test_holes_are_left_out() -> None:
    table = np.array([[1.0, 2, 3, NAN], [1, 2, 3, NAN], [1, NAN, 3, NAN], [1, 3, 2, NAN]])
    found = rank_reliability(table)
    assert (found.n_images, found.n_settings) == (3, 3)
    assert found.alpha == pytest.approx(rank_reliability(table[[0, 1, 3], :3]).alpha)
    for nothing in (np.full((4, 3), 2.0), np.full((4, 3), NAN), np.zeros((1, 3)), np.zeros((4, 1))):
        assert np.isnan(rank_reliability(nothing).alpha)
    with pytest.raises(ValueError, match=r"\(images, settings\)"):
        rank_reliability([1.0, 2.0])
    with pytest.raises(ValueError, match="level='nominal'"):
        krippendorff_alpha(OBSERVERS, "nominal")  # type: ignore[arg-type]
