"""Mean ranks, critical differences, agreement of metrics, comparing two, and the table of every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffig.evaluation.ranks import agreement, mean_ranks
from diffig.metrics import DiffID, InsertionDeletion, Metric, Randomization
from diffig.report import build_report
from diffig.report.families import family_of, family_table
from diffig.report.figures.ranks import agreement_figure
from diffig.report.wording import lower_is_better

RNG = np.random.default_rng(0)


def dull_ranks(values: np.ndarray) -> np.ndarray:
    """Rank 1 for the largest; ties share the mean of the places they take."""
    ranks = np.zeros_like(values)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            ranks[i, j] = 1 + sum(other > value for other in row) + 0.5 * (sum(other == value for other in row) - 1)
    return ranks


def test_mean_ranks_with_ties() -> None:
    values = RNG.integers(0, 4, (30, 5)).astype(float)
    ranks = dull_ranks(values)
    found = mean_ranks(values)
    np.testing.assert_allclose(found.mean, ranks.mean(0))
    np.testing.assert_allclose(mean_ranks(-values, lower_is_better=True).mean, ranks.mean(0))
    # Friedman's statistic with the correction for ties, by hand.
    n, k = values.shape
    between = 12 * n / (k * (k + 1)) * ((ranks.mean(0) - (k + 1) / 2) ** 2).sum()
    ties = sum((count**3 - count) for row in values for count in np.unique(row, return_counts=True)[1])
    from scipy.stats import chi2

    assert found.friedman_p == pytest.approx(chi2.sf(between / (1 - ties / (n * k * (k * k - 1))), k - 1))


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_difference_is_that_of_the_published_table(k: int, q: float) -> None:
    """Demsar 2006, table 5 (a)."""
    found = mean_ranks(RNG.normal(size=(25, k)))
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 25)), rel=5e-4)


def test_images_that_a_method_lacks_are_left_out() -> None:
    values = RNG.normal(size=(20, 3))
    holes = values.copy()
    holes[[2, 7], [0, 1]] = np.nan
    found = mean_ranks(holes)
    assert found.n_images == 18
    np.testing.assert_allclose(found.mean, mean_ranks(np.delete(values, [2, 7], 0)).mean)
    assert np.isnan(mean_ranks(np.full((3, 2), np.nan)).mean).all()
    assert mean_ranks(np.ones((4, 3))).friedman_p == 1
    with pytest.raises(ValueError, match="at least two settings"):
        mean_ranks(values[:, :1])


def test_agreement_counts_pairs() -> None:
    a, b = RNG.normal(size=9), RNG.normal(size=9)
    pairs = [np.sign((a[i] - a[j]) * (b[i] - b[j])) for i in range(9) for j in range(i)]
    assert agreement(a, b) == pytest.approx(np.mean(pairs))
    assert agreement(a, -a) == pytest.approx(-1)
    assert np.isnan(agreement(a, np.ones(9)))


@pytest.mark.parametrize(
    ("metric", "family"),
    [
        ("diffid_pixel", "faithfulness by removal"),
        ("insertion_minus_deletion", "faithfulness by removal"),
        ("sensitivity_n", "faithfulness by perturbation"),
        ("sensitivity_max", "robustness"),
        ("pointing_game", "localisation"),
        ("mask_share", "localisation"),
        ("mas_deletion", "faithfulness by removal"),
        ("mas", "faithfulness by removal"),
        ("emprt", "sanity"),
        ("entropy", "complexity"),
        ("gap_abs", "axioms and path"),
        ("beauty", "other"),
    ],
)
def test_family(metric: str, family: str) -> None:
    assert family_of(metric) == family


@pytest.mark.parametrize(
    "metric",
    [
        *(InsertionDeletion(reduce=reduce, deletion_fill="black", mas=True) for reduce in ("abs_sum", "signed")),
        DiffID(signed=True, fill="blur", readouts=("hard", "soft", "soft_diff")),
        DiffID(space="normalised", readouts=("hard", "soft", "soft_diff")),
        Randomization(orders=("independent",)),
    ],
    ids=lambda metric: metric.names[0],
)
def test_variants_of_a_metric_are_read_as_they_say(metric: Metric) -> None:
    for line in metric.describe():
        assert lower_is_better(line.name) == (line.direction == "lower"), line.name


def table(**means: float) -> pd.DataFrame:
    return pd.DataFrame({"setting": list(means), "mean": list(means.values())})


def test_family_table_turns_round_what_is_better_when_low() -> None:
    ranked = {
        "diffid": table(a=0.3, b=0.2, c=0.1),
        "deletion": table(a=0.1, b=0.2, c=0.3),
        "entropy": table(a=5.0, b=4.0, c=3.0),
    }
    lines = family_table(ranked, ["a", "b", "c"], "diffid")
    assert lines is not None
    assert dict(zip(lines["family"], lines["winner"], strict=True)) == {
        "faithfulness by removal": "a",
        "complexity": "c",
    }
    assert lines["tau"].tolist() == pytest.approx([1, -1])
    assert lines["second"].tolist() == ["b", "b"]
    assert family_table({"diffid": ranked["diffid"]}, ["a", "b", "c"], "diffid") is None


def test_references_are_no_judges() -> None:
    ranked = {
        "diffid": table(a=0.3, b=0.2, c=0.1),
        "diffid_ceiling": table(a=0.9, b=0.9, c=0.9),
        "entropy": table(a=5.0, b=4.0, c=3.0),
    }
    lines = family_table(ranked, ["a", "b", "c"], "diffid")
    assert lines is not None
    assert lines["metrics"].tolist() == ["diffid", "entropy"]
    assert lines["mean_rank"].tolist() == [1, 1]


def test_a_headline_that_shares_no_setting_with_another_metric_has_no_figure() -> None:
    names = list("abcdefgh")
    ranked = {
        "diffid": table(**{name: place / 8 for place, name in enumerate(names[:4])}),
        "entropy": table(**{name: place / 8 for place, name in enumerate(names[4:])}),
        "gini": table(**{name: -place / 8 for place, name in enumerate(names[4:])}),
    }
    assert agreement_figure(ranked, table(**dict.fromkeys(names, 0.0)), "diffid") is None


def runs(root: Path, seeds: int = 3) -> Path:
    n = 30
    base = np.random.default_rng(1).normal(0, 0.1, n)
    for method, lift in {"ig": 0.0, "spi": 0.1, "gig": 0.3, "diffig_field": 0.32}.items():
        rows = []
        for seed in range(seeds):
            for metric, sign in (("diffid", 1), ("deletion", -1), ("entropy", 1), ("gap_abs", -1)):
                noise = np.random.default_rng([seed, len(method)]).normal(0, 0.05, n)
                rows += [
                    {
                        **{"dataset": "d", "classifier": "c", "objective": "logit", "baseline": "black", "n_paths": 1},
                        **{
                            "steps": 8,
                            "label": i % 3,
                            "prediction": 0,
                            "seconds": 0.1,
                            "forward_images": 1,
                            "seed": seed,
                        },
                        **{"backward_images": 8, "gap": 0.01, "status": "ok", "method": method, "metric": metric},
                        **{"image_index": i, "value": 1 + sign * (lift + base[i] + noise[i]) + 0.01 * seed},
                    }
                    for i in range(n)
                ]
        (root / method).mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(root / method / "rows.parquet")
    return root


def test_the_page_shows_ranks_families_and_every_image(tmp_path: Path) -> None:
    report = build_report(runs(tmp_path), n=400, pair=("diffig_field", "ig"))
    comparison = report.comparisons[0]
    names = [figure.name for figure in comparison.figures]
    assert {"mean-ranks", "agreement"} <= set(names)
    caption = comparison.figures[names.index("mean-ranks")].caption
    assert "diffig_field has the best mean rank" in caption
    assert "cannot be told from gig" in caption
    assert "spi" not in caption.split("Two methods")[0]
    assert report.html is not None
    page = report.html.read_text()
    assert "Do the kinds of metrics agree?" in page
    assert comparison.images is not None
    assert len(comparison.images) == 30
    assert page.count("<tr data-label=") == 30
    assert page.count('data-odd="1"') == 20  # label 1 or 2, prediction 0
    assert comparison.duel[0].startswith("diffid: diffig_field is better than ig, difference +.3")
    assert comparison.duel[1].startswith(
        "deletion (lower is better): diffig_field is better than ig, difference \N{MINUS SIGN}.3"
    )
    assert "Holm, 4 metrics" in comparison.duel[2]


def test_seeds_are_a_source_of_variance_of_their_own(tmp_path: Path) -> None:
    report = build_report(runs(tmp_path), n=200, formats=["csv"])
    ranked = report.comparisons[0].ranked["diffid"].set_index("setting")
    raw = pd.read_parquet(tmp_path / "spi" / "rows.parquet").query("metric == 'diffid'")
    assert ranked.loc["spi", "seed_sd"] == pytest.approx(raw.groupby("seed")["value"].mean().std(ddof=1))
    assert np.isnan(
        build_report(runs(tmp_path / "one", 1), n=200, formats=["csv"]).comparisons[0].ranked["diffid"]["seed_sd"]
    ).all()


def test_comparing_refuses(tmp_path: Path) -> None:
    root = runs(tmp_path, 1)
    with pytest.raises(ValueError, match="names 'ig' twice"):
        build_report(root, n=100, pair=("ig", "ig"))
    with pytest.raises(ValueError, match="must name two"):
        build_report(root, n=100, pair=("ig",))
    with pytest.raises(ValueError, match="neither a method nor a setting"):
        build_report(root, n=100, pair=("ig", "agi"))


def test_a_duel_counts_only_metrics_that_depend_on_the_method(tmp_path: Path) -> None:
    root = runs(tmp_path, 1)
    for file in root.glob("*/rows.parquet"):
        rows = pd.read_parquet(file)
        reference = rows[rows["metric"] == "diffid"].assign(metric="diffid_ceiling", value=1.0)
        pd.concat([rows, reference]).to_parquet(file)
    found = build_report(root, n=100, pair=("diffig_field", "ig")).html
    assert found is not None
    assert "(Holm, 4 metrics)" in found.read_text()


def test_a_metric_that_one_of_the_two_lacks_is_left_out(tmp_path: Path) -> None:
    root = runs(tmp_path, 1)
    file = root / "ig" / "rows.parquet"
    rows = pd.read_parquet(file)
    rows.loc[rows["metric"] == "gap_abs", "value"] = np.nan
    rows.to_parquet(file)
    said = build_report(root, n=100, formats=["csv"], pair=("diffig_field", "ig")).comparisons[0].duel
    assert not any(sentence.startswith("gap_abs") for sentence in said)
    assert "Holm, 3 metrics" in said[0]
