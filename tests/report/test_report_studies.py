"""Grids of guidance, numbers of paths and studies of one factor, on rows whose findings are planted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffig.evaluation.summary import summarise
from diffig.report import Comparison, build_report
from diffig.report.figures.canvas import Figure
from diffig.report.figures.lambda_grid import UNGUIDED, cells, lambda_grids
from diffig.report.reading import read_rows
from diffig.report.settings import label_settings

N_IMAGES = 40
FAITH, COMP = (0.0, 10.0, 100.0), (-10.0, 0.0, 10.0, 100.0)
DIFFICULTY = np.random.default_rng(0).normal(0.1, 0.2, N_IMAGES)


def measure(root: Path, means: dict[str, float], noise: int = 0, **columns: Any) -> None:
    """One run: each metric is the images' difficulty, shifted to the mean asked for, and a little noise of its own."""
    folder = root / str(len(list(root.iterdir())) if root.exists() else 0)
    folder.mkdir(parents=True)
    row = {"dataset": "photos", "classifier": "net", "objective": "probability", "baseline": "black", "n_paths": 1}
    row |= {"steps": 64, "seed": 0, "label": 0, "prediction": 0, "seconds": 0.1, "forward_images": 2, "gap": 0.01}
    row |= {"status": "ok", "aggregation": "mean", "rule": "midpoint", "nodes": "uniform", "variant": "", **columns}
    row |= {"backward_images": row["n_paths"] * row["steps"]}
    own = np.random.default_rng(noise + 1).normal(0, 0.02, N_IMAGES)
    values = DIFFICULTY - DIFFICULTY.mean() + own - own.mean()
    rows = [
        {**row, "metric": m, "image_index": i, "value": mean + v}
        for m, mean in means.items()
        for i, v in enumerate(values)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")


def grid_runs(root: Path, missing: tuple[tuple[float, float], ...] = ()) -> Path:
    """A grid of three by four whose diffid rises with lambda_faith, and falls in one cell; blur-fill says nothing."""
    for i, (faith, comp) in enumerate((f, c) for f in FAITH for c in COMP):
        gain = {0.0: 0.0, 10.0: 0.02, 100.0: 0.05}[faith] + (-0.04 if (faith, comp) == (0.0, 100.0) else 0.0)
        means = {"diffid": 0.1 + gain, "diffid_blur": 0.2, "entropy": 9 + 0.02 * comp}
        strengths = {"guidance.lambda_faith": faith, "guidance.lambda_comp": comp, "guidance.omega": 1.0}
        if (faith, comp) not in missing:
            measure(root, means, noise=i, method="diffig_latent", **strengths)
    measure(root, {"diffid": 0.05, "diffid_blur": 0.15, "entropy": 10.0}, noise=99, method="ig")
    return root


def path_runs(root: Path) -> Path:
    """`spi` gains .06 from 1 to 10 paths, its median nothing; `diffig_latent` starts where `spi` ends and stays."""
    for i, n_paths in enumerate((1, 3, 10)):
        measure(root, {"diffid": (0.1, 0.13, 0.16)[i]}, noise=i, method="spi", n_paths=n_paths)
        median = {"aggregation": "median", "n_paths": n_paths}
        measure(root, {"diffid": 0.1}, noise=10 + i, method="spi", **median)
        strengths = {"guidance.lambda_faith": 10.0, "guidance.lambda_comp": 0.0, "guidance.omega": 1.0}
        measure(root, {"diffid": 0.18}, noise=20 + i, method="diffig_latent", n_paths=n_paths, **strengths)
    measure(root, {"diffid": 0.05}, noise=99, method="ig")
    return root


def figures_of(root: Path) -> tuple[Comparison, dict[str, Figure]]:
    (comparison,) = build_report(root, n=300, output=root / "report", formats=["html"]).comparisons
    return comparison, {figure.name: figure for figure in comparison.figures}


def texts(svg: str) -> list[str]:
    return [" ".join(text.split()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def test_heatmap_shows_means_differences_marks_and_its_finding(tmp_path: Path) -> None:
    comparison, figures = figures_of(grid_runs(tmp_path))
    maps = [name for name in figures if name.startswith("heatmap")]
    assert maps == ["heatmap-1-diffid", "heatmap-1-diffid_blur", "heatmap-1-entropy"]
    assert "guidance" not in figures  # the heat-map shows those strengths
    figure = figures["heatmap-1-diffid"]
    shown = texts(figure.svg)
    # nine guided cells beside the first row, all with a mark; the first row's two others have none
    assert sum(text == "+.050 *" for text in shown) == 4
    assert sum(text == "+.020 *" for text in shown) == 4
    assert sum(text == "\N{MINUS SIGN}.040 *" for text in shown) == 1
    assert shown.count(".150") == 4
    assert shown.count("unguided") == 1
    columns, rows = shown.index("\N{MINUS SIGN}10"), shown.index("λ_faith")
    assert shown[columns : columns + 4] == ["\N{MINUS SIGN}10", "0", "10", "100"]
    assert shown[rows - 3 : rows] == ["0", "10", "100"]
    assert "hatch" not in figure.svg
    caption = figure.caption
    assert caption.startswith("diffig_latent: the best diffid is .150, at λ_faith = 100, λ_comp = ")
    assert re.search(r": \+\.050 \[\+\.0\d\d, \+\.0\d\d\] from unguided, image by image\.", caption)
    assert "Of 11 guided cells, 8 clearly better than unguided, 1 clearly worse (marked *)." in caption
    assert "Unguided is not the worst cell, which the paper reports it always is: it is number " in caption
    assert "λ_faith = 0, λ_comp = 100 is last (.060)" in caption
    assert "Intervals: 99.55 % each, so 95 % for the 11 cells together." in caption
    assert "No guidance optimises this metric." in figures["heatmap-1-diffid_blur"].caption
    assert "None of 11 guided cells separates from unguided." in figures["heatmap-1-diffid_blur"].caption
    assert "paper" not in figures["heatmap-1-diffid_blur"].caption
    entropy = figures["heatmap-1-entropy"].caption
    assert "the best entropy is 8.80, at λ_faith = " in entropy
    assert "λ_comp = \N{MINUS SIGN}10: \N{MINUS SIGN}.200 [" in entropy
    assert "diffig_latent unguided" in set(comparison.ranked["diffid"]["setting"])


def test_missing_cells_are_hatched_and_the_claim_can_hold(tmp_path: Path) -> None:
    _, figures = figures_of(grid_runs(tmp_path, missing=((0.0, 100.0), (0.0, -10.0), (0.0, 10.0), (10.0, 10.0))))
    figure = figures["heatmap-1-diffid"]
    assert figure.svg.count('fill="url(#') + figure.svg.count("fill: url(#") >= 1
    assert "Hatched: no value." in figure.caption
    assert "Of 7 guided cells, 7 clearly better than unguided, 0 clearly worse" in figure.caption
    assert "Unguided is the worst of 8 cells, as the paper reports it always is." in figure.caption


def test_a_grid_without_its_unguided_cell_gives_no_differences(tmp_path: Path) -> None:
    _, figures = figures_of(grid_runs(tmp_path, missing=(UNGUIDED,)))
    figure = figures["heatmap-1-diffid"]
    assert "The unguided cell (0, 0) was not measured" in figure.caption
    assert not any(text.startswith("+") for text in texts(figure.svg))


def test_unguided_serves_grids_of_every_omega(tmp_path: Path) -> None:
    grid_runs(tmp_path, missing=())
    for i, (faith, comp) in enumerate(((10.0, 10.0), (10.0, 100.0), (100.0, 10.0), (100.0, 100.0))):
        strengths = {"guidance.lambda_faith": faith, "guidance.lambda_comp": comp, "guidance.omega": 2.0}
        measure(tmp_path, {"diffid": 0.3}, noise=50 + i, method="diffig_latent", **strengths)
    rows, _ = read_rows(sorted(tmp_path.rglob("rows.parquet")))
    rows = rows.assign(setting=label_settings(rows))
    large, small = lambda_grids(rows)
    assert (len(large.settings), large.name) == (12, "diffig_latent omega=1")
    assert small.settings[UNGUIDED] == large.settings[UNGUIDED] == "diffig_latent unguided"
    found = cells(small, rows, "diffid", 200, 0)
    assert found[100.0, 100.0].gain is not None
    assert found[100.0, 100.0].gain.mean == pytest.approx(0.2)
    assert found[UNGUIDED].gain is None


def test_number_of_paths_is_compared_at_equal_number_and_equal_price(tmp_path: Path) -> None:
    _, figures = figures_of(path_runs(tmp_path))
    figure = figures["paths"]
    caption = figure.caption
    assert re.search(r"spi aggregation=mean: \+\.060 \[.*?\] \(better\) from 1 to 10 paths", caption)
    assert re.search(r"spi aggregation=median: .*? \(unclear\) from 1 to 10 paths", caption)
    assert re.search(r"diffig_latent: .*? \(unclear\) from 1 to 10 paths", caption)
    assert "With 10 paths each, diffig_latent n=10 leads spi n=10 aggregation=mean (+.020 [" in caption
    assert "With at most 640 backward images each, diffig_latent n=10 leads" in caption
    shown = texts(figure.svg)
    assert {"1", "3", "10"} <= set(shown)
    assert "candidate paths N" in shown
    assert "backward images per explained image, all paths together" in shown


def test_two_numbers_of_paths_are_no_ablation(tmp_path: Path) -> None:
    for n_paths in (1, 3):
        measure(tmp_path, {"diffid": 0.1}, method="spi", n_paths=n_paths)
    assert "paths" not in figures_of(tmp_path)[1]


def test_one_factor_is_compared_with_its_default(tmp_path: Path) -> None:
    for i, (variant, mean) in enumerate((("", 0.1), ("concentration=2.0", 0.2), ("concentration=20.0", 0.1))):
        measure(tmp_path, {"diffid": mean}, noise=i, method="spi", variant=variant)
    for i, (aggregation, mean) in enumerate((("median", 0.05), ("mean", 0.1), ("spi_p", 0.1))):
        measure(tmp_path, {"diffid": mean}, noise=i, method="diffig_field", aggregation=aggregation)
    _, figures = figures_of(tmp_path)
    studies = {name for name in figures if name.startswith("factor")}
    assert studies == {"factor-aggregation", "factor-concentration"}
    caption = figures["factor-concentration"].caption
    assert caption.startswith("spi: 2.0 instead of default +.100 [")
    assert "(better). 1 of 2 differences exclude 0." in caption
    names = [text for text in texts(figures["factor-concentration"].svg) if text.startswith("spi")]
    assert names == ["spi, default", "spi, 2.0", "spi, 20.0"]
    aggregation = figures["factor-aggregation"]
    assert "diffig_field: median instead of mean \N{MINUS SIGN}.050 [" in aggregation.caption
    assert "(worse)" in aggregation.caption
    assert {"\N{MINUS SIGN}.050 *", "compared with"} <= set(texts(aggregation.svg))


def test_what_has_a_column_is_no_variant(tmp_path: Path) -> None:
    for n_paths in (1, 3):
        measure(tmp_path, {"diffid": 0.1}, method="spi", n_paths=n_paths, variant=f"n_paths={n_paths} cell_size=2")
    rows, _ = read_rows(sorted(tmp_path.rglob("rows.parquet")))
    assert sorted(set(label_settings(rows))) == ["spi n=1", "spi n=3"]


def test_a_report_of_older_rows_needs_none_of_the_newer_columns(tmp_path: Path) -> None:
    for i, method in enumerate(("ig", "diffig_field")):
        measure(tmp_path, {"diffid": 0.1 + 0.1 * i}, noise=i, method=method)
    for file in tmp_path.rglob("rows.parquet"):
        pd.read_parquet(file).drop(columns=["aggregation", "rule", "nodes", "variant"]).to_parquet(file)
    comparison, figures = figures_of(tmp_path)
    assert comparison.winner == "diffig_field"
    assert set(figures) == {"ranked", "cost", "gap"}


def test_a_summary_counts_images_and_not_seeds() -> None:
    values = {0: [1.0, 2.0, 3.0], 1: [3.0, 4.0, np.nan]}
    rows = pd.DataFrame(
        [
            {"image_index": i, "seed": seed, "metric": "diffid", "value": value, "seconds": 0.1}
            for seed, own in values.items()
            for i, value in enumerate(own)
        ]
    ).assign(status=lambda r: np.where(r["value"].isna(), "nonfinite", "ok"), backward_images=8, forward_images=2)
    (line,) = summarise(rows).to_dict("records")
    assert (line["images"], line["seeds"], line["failures"]) == (3, 2, 1)
    assert line["mean"] == pytest.approx((2.0 + 3.0 + 3.0) / 3)
    assert line["seed_spread"] == pytest.approx(np.std([2.0, 3.5], ddof=1))
    (single,) = summarise(rows[rows["seed"] == 0]).to_dict("records")
    assert (single["images"], single["seeds"]) == (3, 1)
    assert np.isnan(single["seed_spread"])
    more = pd.concat([rows[rows["seed"] == 0].assign(seed=seed) for seed in range(20)])
    (same,) = summarise(more).to_dict("records")
    assert (same["low"], same["high"]) == (single["low"], single["high"])  # repeats make nothing surer
