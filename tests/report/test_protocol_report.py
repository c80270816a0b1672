"""A report names the protocol of every table and never pools two of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from diffig.report import build_report
from diffig.report.reading import read_rows
from diffig.report.settings import label_settings


def run(folder: Path, values: list[float], metric: str, seed: int = 0, **columns: Any) -> None:
    folder.mkdir(parents=True)
    row = {"dataset": "pets", "classifier": "net", "objective": "probability", "baseline": "black", "n_paths": 1}
    row |= {"steps": 199, "label": 0, "prediction": 0, "seconds": 0.1, "forward_images": 1, "backward_images": 8}
    row |= {
        "gap": 0.01,
        "seed": seed,
        "metric": metric,
        "status": "ok",
        "aggregation": "mean",
        "variant": "",
        **columns,
    }
    frame = pd.DataFrame([{**row, "image_index": i, "value": value} for i, value in enumerate(values)])
    frame.to_parquet(folder / "rows.parquet")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    for number, (method, shift) in enumerate((("ig", 0.0), ("gig", 0.1))):
        low, high = [shift + 0.1 * i for i in range(6)], [shift + 1 + 0.1 * i for i in range(6)]
        run(tmp_path / f"a{number}", low, "diffid", method=method, protocol="diffig")
        # Another seed, so that pooling would average the two instead of being refused.
        run(tmp_path / f"b{number}", high, "diffid_normalised", seed=1, method=method, protocol="authors")
    return tmp_path


def test_two_protocols_are_two_comparisons(both: Path) -> None:
    report = build_report(both, n=100, formats=("html", "md", "tex", "csv"))
    names = ["pets · net · protocol authors", "pets · net · protocol diffig"]
    assert [comparison.name for comparison in report.comparisons] == names
    assert [comparison.metric for comparison in report.comparisons] == ["diffid_normalised", "diffid"]
    for comparison, mean in zip(report.comparisons, (1.35, 0.35), strict=True):
        assert comparison.ranked[comparison.metric]["mean"].iloc[0] == pytest.approx(mean)
        assert all(f"Protocol: {comparison.protocol}." in figure.caption for figure in comparison.figures)
        assert comparison.figures
    assert any("follow 2 protocols (authors, diffig)" in notice for notice in report.notices)
    for file in ("ranked.md", "paired.md", "ranked.tex", "paired.tex", "ranked.csv", "paired.csv"):
        text = (both / file).read_text()
        assert "protocol authors" in text
        assert "protocol diffig" in text
    page = (both / "report.html").read_text()
    assert page.count(" Protocol: authors.") == page.count(" Protocol: diffig.") >= 4


def test_the_terminal_names_the_protocol(both: Path) -> None:
    from rich.console import Console

    from diffig.cli.report import terminal_table

    for comparison in build_report(both, n=100, formats=("md",)).comparisons:
        console = Console(file=io.StringIO(), width=120)
        console.print(terminal_table(comparison))
        assert f"protocol {comparison.protocol}" in console.file.getvalue()  # type: ignore[attr-defined]


def test_one_protocol_needs_no_warning(both: Path) -> None:
    report = build_report([both / "b0", both / "b1"], n=100, formats=("md",), output=both / "out")
    assert report.notices == []
    with pytest.raises(ValueError, match="headline='diffid' was not measured in these runs"):
        build_report([both / "b0"], headline="diffid", n=100)
    run(both / "c", [0.1, 0.2], "insertion", method="ig", protocol="diffig")
    with pytest.raises(ValueError, match=r"diffid was not measured; set headline=\.\.\. to one of: insertion"):
        build_report(both / "c", n=100)


def test_two_quadratures_are_two_settings(tmp_path: Path) -> None:
    for number, rule in enumerate(("left", "midpoint")):
        run(tmp_path / rule, [0.1 + number] * 4, "diffid", seed=number, method="ig", rule=rule, nodes="uniform")
    rows, _ = read_rows([tmp_path / rule / "rows.parquet" for rule in ("left", "midpoint")])
    assert sorted(set(label_settings(rows))) == ["ig rule=left", "ig rule=midpoint"]
    run(tmp_path / "old", [0.1] * 4, "diffid", method="ig")  # rows from before these columns
    older, _ = read_rows([tmp_path / "old" / "rows.parquet"])
    assert set(label_settings(older)) == {"ig"}
