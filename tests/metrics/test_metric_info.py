"""A metric says which of its values are the good ones; reports read what it says and not what its name sounds like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from diffig.evaluation.metric_info import read_metric_info, write_metric_info
from diffig.metrics import Explained, Measured, Metric, MetricInfo, MetricSuite
from diffig.report import build_report
from diffig.report.families import family_of
from diffig.report.wording import as_said, direction_of
from oracle.explained import explained_batch

VALUES = {"ig": [0.1 + 0.001 * i for i in range(30)], "worst": [0.9 + 0.001 * i for i in range(30)]}


class CalibrationError(Metric):
    """How far the mass of a map is from the probability of the class. The rest of the docstring is not shown."""

    names = ("calibration_error",)
    direction = "lower"
    value_range = (0.0, float("inf"))
    family = "calibration"
    wording = "the distance between a map's mass and the probability"

    def _measure(self, explained: Explained) -> Measured:
        return Measured({"calibration_error": (explained.maps.sum((1, 2, 3)) - explained.clean_probability).abs()}, {})


class Silent(Metric):
    names = ("calibration_error",)

    def _measure(self, explained: Explained) -> Measured:
        return Measured({"calibration_error": torch.zeros(len(explained))}, {})


def runs(root: Path, said: dict[str, list[MetricInfo]] | None = None, metric: str = "calibration_error") -> Path:
    """A folder for each method, with what its metrics say where `said` has it."""
    for method, values in VALUES.items():
        folder = root / method
        folder.mkdir(parents=True)
        row: dict[str, Any] = {"dataset": "d", "classifier": "c", "objective": "logit", "baseline": "black", "seed": 0}
        row |= {"n_paths": 1, "steps": 8, "method": method, "metric": metric, "backward_images": 8, "gap": 0.0}
        pd.DataFrame([{**row, "image_index": i, "value": v} for i, v in enumerate(values)]).to_parquet(
            folder / "rows.parquet"
        )
        if said:
            write_metric_info(folder, said[method])
    return root


def test_the_old_name_of_metric_info_warns() -> None:
    import diffig.metrics

    with pytest.warns(DeprecationWarning, match="Facts is MetricInfo now"):
        assert diffig.metrics.Facts is MetricInfo
    with pytest.raises(AttributeError, match="no attribute 'Fact'"):
        _ = diffig.metrics.Fact


def said(direction: str, name: str = "calibration_error") -> list[MetricInfo]:
    return [MetricInfo(name, direction, (0.0, float("inf")), "calibration", "how far off")]  # type: ignore[arg-type]


def test_a_report_ranks_by_what_the_metric_says(tmp_path: Path) -> None:
    root = runs(tmp_path, dict.fromkeys(VALUES, CalibrationError().describe()))
    report = build_report(root, headline="calibration_error", n=500)
    comparison = report.comparisons[0]
    assert comparison.winner == "ig", "the name sounds like nothing known, and the worst would win"
    assert comparison.arrows["calibration_error"] == " ↓"
    assert comparison.paired["calibration_error"].loc[0, ["setting", "verdict"]].tolist() == ["worst", "worse"]
    assert report.html is not None
    page = report.html.read_text()
    assert "Lower is better" in page
    assert CalibrationError.wording.replace("'", "&#39;") in page
    assert direction_of("calibration_error") == "higher", "what a report has read does not outlast it"


def test_runs_of_before_are_read_by_name(tmp_path: Path) -> None:
    assert build_report(runs(tmp_path / "a"), headline="calibration_error", n=500).comparisons[0].winner == "worst"
    found = build_report(runs(tmp_path / "b", metric="deletion"), headline="deletion", n=500)
    assert found.comparisons[0].winner == "ig"


def test_what_a_metric_says_outranks_what_its_name_sounds_like(tmp_path: Path) -> None:
    root = runs(tmp_path, dict.fromkeys(VALUES, said("higher", "deletion_kept")), metric="deletion_kept")
    assert build_report(root, headline="deletion_kept", n=500).comparisons[0].winner == "worst"


def test_two_meanings_of_one_name_are_refused(tmp_path: Path) -> None:
    root = runs(tmp_path, {"ig": said("lower"), "worst": said("higher")})
    with pytest.raises(ValueError, match=r"calibration_error.*ig.*lower is better.*worst.*higher is better.*rename"):
        build_report(root, headline="calibration_error", n=500)


def test_what_judges_no_method_is_shown_without_ranking(tmp_path: Path) -> None:
    root = runs(tmp_path, {method: [*said("none"), *said("higher", "diffid")] for method in VALUES})
    for folder in root.iterdir():
        rows = pd.read_parquet(folder / "rows.parquet")
        pd.concat([rows, rows.assign(metric="diffid")]).to_parquet(folder / "rows.parquet")
    report = build_report(root, n=500)
    comparison = report.comparisons[0]
    ranked = comparison.ranked["calibration_error"]
    assert ranked["rank"].isna().all()
    assert ranked["setting"].tolist() == ["ig", "worst"], "in the order of their names"
    assert set(comparison.paired) == {"diffid"}
    assert "nan" not in (root / "ranked.md").read_text()
    with pytest.raises(ValueError, match="ranks no methods"):
        build_report(root, headline="calibration_error", n=500)


def test_a_family_of_ones_own_is_a_family() -> None:
    readings = {"calibration_error": CalibrationError().describe()[0]}
    with as_said(readings):  # type: ignore[arg-type]
        assert family_of("calibration_error") == "calibration"
    assert family_of("calibration_error") == "other"


def test_a_metric_that_says_nothing_is_refused_before_anything_is_explained() -> None:
    with pytest.raises(TypeError, match=r"Silent does not say its direction, value_range, family.*none.*without"):
        MetricSuite({"mine": Silent()})

    class Sideways(CalibrationError):
        direction = "sideways"  # type: ignore[assignment]

    with pytest.raises(TypeError, match="direction='sideways' of calibration_error; choose one of higher, lower, none"):
        MetricSuite({"mine": Sideways()})
    with pytest.raises(TypeError, match=r"metrics.mine is a dict; give a subclass of diffig.metrics.Metric"):
        MetricSuite({"mine": {}})  # type: ignore[dict-item]


def test_facts_come_back_as_they_were_said(tmp_path: Path) -> None:
    suite = MetricSuite({"mine": CalibrationError()})
    write_metric_info(tmp_path, suite.describe())
    found = read_metric_info([tmp_path, tmp_path / "an older run"])
    assert {name: tuple(reading) for name, reading in found.items()} == {
        "calibration_error": ("lower", "calibration", (0.0, float("inf")), CalibrationError.wording)
    }
    assert suite(explained_batch(2))["calibration_error"].shape == (2,)

    class Wordless(CalibrationError):
        """The first line speaks for it.

        And not the second.
        """

        wording = ""

    assert Wordless().describe()[0].wording == "The first line speaks for it."


def test_facts_of_a_later_format_ask_for_a_later_diffig(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"format_version": 2, "metrics": {}}))
    with pytest.raises(ValueError, match=r"has format 2, this diffig knows 1; update diffig"):
        read_metric_info([tmp_path])
