"""A page of rows in hand says what the rows say, and is the page that the program makes of a folder."""

from __future__ import annotations

import html
import inspect
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

import diffig
from diffig.metrics import Explained, Measured, Metric, MetricSuite
from diffig.report import build_report
from diffig.report.wording import number
from oracle.models import SoftplusNet

TABLES = {"formats": ["csv"], "n": 200}  # without figures, which take seconds
QUICK = {"formats": ["html", "csv"], "n": 200}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def explain() -> diffig.notebook.explainer.Explainer:
    categories = [f"kind {letter}" for letter in "abcdefghij"]
    net = SoftplusNet(classes=10)
    return diffig.explainer("ig", net, torch.nn.Identity(), steps=4, categories=categories)


@pytest.fixture(scope="module")
def attributions(explain: diffig.notebook.explainer.Explainer, images: Tensor) -> dict[str, object]:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return {"ig": explain, "the image itself": images, "noise/1": noise}


@pytest.fixture(scope="module")
def rows(
    explain: diffig.notebook.explainer.Explainer,
    images: Tensor,
    attributions: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("judged")
    table = diffig.evaluate(explain, images, attributions, 3, "fast", output=folder)
    table.attrs["folder"] = str(folder)  # for these tests
    return table


def cells(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_page_has_the_numbers_of_the_rows(rows: pd.DataFrame, tmp_path: Path) -> None:
    made = diffig.report(rows, tmp_path, **QUICK)
    assert made.html == tmp_path / "report.html"
    text = cells(made.html.read_text())
    means = rows.pivot_table(index="method", columns="metric", values="value")
    for method, mean in means["diffid"].items():
        assert re.search(rf"{re.escape(method)}\b.*?{re.escape(number(mean))} ", text, re.DOTALL), method
    ranked = pd.read_csv(tmp_path / "ranked.csv").query("metric == 'diffid'").set_index("setting")["mean"]
    pd.testing.assert_series_equal(ranked.sort_index(), means["diffid"].sort_index(), check_names=False)
    paired = pd.read_csv(tmp_path / "paired.csv").query("metric == 'diffid'").set_index("setting")["difference"]
    assert set(paired.index) == {"the image itself", "noise/1"}
    for method, difference in paired.items():
        assert difference == pytest.approx(means["diffid"][method] - means["diffid"]["ig"])


def test_a_folder_has_curves_pictures_and_names_as_well(rows: pd.DataFrame, tmp_path: Path) -> None:
    folder = Path(rows.attrs["folder"])
    full = diffig.report(folder, tmp_path / "full", **QUICK)
    bare = diffig.report(rows, tmp_path / "bare", **QUICK)
    assert {figure.name for figure in full.comparisons[0].figures} > {
        figure.name for figure in bare.comparisons[0].figures
    }
    page = full.html.read_text()
    assert "3 kind d" in page
    assert "Attributions side by side" in page
    assert "Attributions side by side" not in bare.html.read_text()
    for kind in ("ranked", "paired"):
        of_rows, of_folder = (pd.read_csv(tmp_path / name / f"{kind}.csv") for name in ("bare", "full"))
        pd.testing.assert_frame_equal(of_rows, of_folder)
    again = build_report(tmp_path / "bare", output=tmp_path / "again", **TABLES)
    assert again.comparisons[0].sentences == bare.comparisons[0].sentences
    assert "noise_1" in {path.parent.name for path in folder.rglob("metrics.json")}


def test_rows_of_an_earlier_call_are_not_shown(rows: pd.DataFrame, tmp_path: Path) -> None:
    diffig.report(rows, tmp_path, **TABLES)
    diffig.report(rows[rows["method"] != "noise/1"], tmp_path, **TABLES)
    assert set(build_report(tmp_path, **TABLES).comparisons[0].ranked["diffid"]["setting"]) == {
        "ig",
        "the image itself",
    }


class Oddness(Metric):
    """How odd a map is, of which a name says nothing."""

    names, direction, value_range, family = ("oddness",), "lower", (0.0, 1.0), "mine"

    def _measure(self, explained: Explained) -> Measured:
        return Measured({"oddness": explained.maps.abs().flatten(1).mean(1)}, {})


def test_runs_of_somebody_else_are_left_alone(rows: pd.DataFrame, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "ig"
    run.mkdir(parents=True)
    (run / "rows.parquet").write_bytes(b"precious")
    (run / "config.yaml").touch()
    with pytest.raises(ValueError, match=r"runs/ig is a run of its own, which this would replace; give another"):
        diffig.report(rows, tmp_path, **TABLES)  # type: ignore[arg-type]
    assert (run / "rows.parquet").read_bytes() == b"precious"


def test_metrics_are_read_as_they_say(images: Tensor, tmp_path: Path) -> None:
    maps = {"small": images / 10, "large": images}
    found = diffig.evaluate(SoftplusNet(), images, maps, 1, MetricSuite({"mine": Oddness()}))
    kept = found[found["image_index"] < 5].copy()
    made = diffig.report(pd.concat([kept, found[found["image_index"] >= 5]]), tmp_path, headline="oddness", **TABLES)
    assert made.comparisons[0].winner == "small"
    assert json.loads((tmp_path / "runs" / "small" / "metrics.json").read_text())["metrics"]["oddness"]


def test_ours_is_known_by_whatever_case(rows: pd.DataFrame, tmp_path: Path) -> None:
    renamed = rows.assign(method=rows["method"].replace({"the image itself": "DiffIG"}))
    sentences = " ".join(diffig.report(renamed, tmp_path, **TABLES).comparisons[0].sentences)
    assert "no DiffIG method was run" not in sentences


def test_what_a_notebook_shows_is_short_and_leads_to_the_page(rows: pd.DataFrame, tmp_path: Path) -> None:
    made = diffig.report(rows, tmp_path, **TABLES)
    shown = made._replace(html=tmp_path / "report.html")._repr_html_()
    assert str(tmp_path / "report.html") in shown
    assert made.comparisons[0].headline in html.unescape(shown)
    assert len(shown) < 4000
    assert len(repr(made)) < 400


def test_mistakes_are_told(rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lack the columns \['metric'\]; give the table that diffig.evaluate returns"):
        diffig.report(rows.drop(columns="metric"), tmp_path)
    with pytest.raises(ValueError, match="the rows are none"):
        diffig.report(rows[:0], tmp_path)
    with pytest.raises(ValueError, match="headline='mas_2' was not measured"):
        diffig.report(rows, tmp_path, headline="mas_2", **TABLES)


def test_the_room_is_called_like_its_function() -> None:
    from diffig.report.of_rows import report

    assert diffig.report is sys.modules["diffig.report"]
    assert inspect.signature(diffig.report) == inspect.signature(report)
    assert diffig.report.build_report is build_report
