"""The verdict names whoever is clearly better; nothing is counted twice, and nobody wins by a placeholder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffig.report import build_report

RNG = np.random.default_rng(0)
BASE = RNG.normal(0, 0.3, 40)


def run(root: Path, method: str, values: Any, baseline: str = "black", **columns: Any) -> None:
    """A run's rows of diffid, or of several metrics where `values` names them."""
    folder = root / f"{method}-{baseline}"
    folder.mkdir(parents=True)
    row = {"dataset": "d", "classifier": "c", "objective": "logit", "baseline": baseline, "method": method, "seed": 0}
    row |= {"n_paths": 1, "steps": 8, "label": 0, "prediction": 0, "seconds": 0.1, "status": "ok"}
    row |= {"forward_images": 1, "backward_images": 8, "gap": 0.01} | columns
    tables = [
        pd.DataFrame([{**row, "metric": metric, "image_index": i, "value": v} for i, v in enumerate(of_images)])
        for metric, of_images in (values if isinstance(values, dict) else {"diffid": values}).items()
    ]
    pd.concat(tables).to_parquet(folder / "rows.parquet")


def test_whoever_is_clearly_better_is_named_though_another_has_the_best_mean(tmp_path: Path) -> None:
    run(tmp_path, "ig", BASE)
    run(tmp_path, "wild", BASE + 0.15 + RNG.normal(0, 2.0, 40) - 0)
    run(tmp_path, "steady", BASE + 0.05 + RNG.normal(0, 0.01, 40))
    rows = pd.read_parquet(tmp_path / "wild-black" / "rows.parquet")
    rows["value"] += BASE.mean() + 0.15 - rows["value"].mean()
    rows.to_parquet(tmp_path / "wild-black" / "rows.parquet")
    comparison = build_report(tmp_path, n=2000, formats=[]).comparisons[0]
    verdicts = comparison.paired["diffid"].set_index("setting")["verdict"]
    assert (comparison.winner, verdicts["wild"], verdicts["steady"]) == ("wild", "unclear", "better")
    assert comparison.headline == "steady beats ig in diffid"
    text = " ".join(comparison.sentences)
    assert "1 of 2 settings is clearly better than `ig`: `steady`." in text
    assert "The best mean alone cannot be told from `ig`" in text
    assert "`steady` is above `ig` by .0" in text


def test_a_method_that_ignores_the_baseline_counts_once(tmp_path: Path) -> None:
    for baseline, shift in (("black", 0.0), ("blur", 0.1)):
        run(tmp_path, "ig", {"diffid": BASE + shift, "gap_abs": np.abs(BASE)}, baseline)
        run(tmp_path, "gradient", {"diffid": BASE - 0.2, "gap_abs": np.abs(BASE) + shift}, baseline)
    report = build_report(tmp_path, n=500, formats=[], output=tmp_path)
    comparison = report.comparisons[0]
    assert sorted(comparison.ranked["diffid"]["setting"]) == ["gradient", "ig black", "ig blur"]
    assert len(comparison.paired["diffid"]) == 2, "Holm corrects for two comparisons and not three"
    assert any("gradient gave the same with several baselines" in notice for notice in report.notices)


def test_a_gap_that_is_a_placeholder_wins_nothing(tmp_path: Path) -> None:
    run(tmp_path, "ig", {"diffid": BASE, "gap_abs": np.full(40, 0.01)})
    run(tmp_path, "gig", {"diffid": BASE, "gap_abs": np.full(40, 0.02)}, gap=0.02)
    run(tmp_path, "random", {"diffid": BASE - 1, "gap_abs": np.zeros(40)}, gap=0.0)
    comparison = build_report(tmp_path, n=500, formats=["html"]).comparisons[0]
    assert list(comparison.ranked["gap_abs"]["setting"]) == ["ig", "gig"]
    assert comparison.overview is not None
    assert np.isnan(comparison.overview.loc["random", "gap_abs"])
    assert np.isnan(comparison.ranked["diffid"].set_index("setting").loc["random", "gap"])
