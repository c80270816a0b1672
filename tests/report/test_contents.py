"""A report reads one comparison at a time: which files hold which, and only these rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from diffig.report import build_report, page
from diffig.report.contents import contents_of
from diffig.report.reading import read_rows


def job(folder: Path, *datasets: str, protocol: str | None = None, **columns: object) -> Path:
    """The rows of a run, two images of each data set."""
    about = {"classifier": "net", "objective": "logit", "baseline": "black", "method": "ig", "n_paths": 1, "steps": 8}
    rows = pd.DataFrame(
        [{"dataset": name, "image_index": i, "value": i + 0.5, "metric": "diffid"} for name in datasets for i in (0, 1)]
    ).assign(**about, seed=0, gap=0.1, **columns)
    if protocol is not None:
        rows["protocol"] = protocol
    folder.mkdir()
    rows.to_parquet(folder / "rows.parquet", index=False)
    return folder / "rows.parquet"


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    both, one = job(tmp_path / "both", "b", "a", sweep="s2"), job(tmp_path / "one", "b", protocol="p", sweep="s1")
    found = contents_of([both, one])
    assert found.files == {("a", "net", ""): [both], ("b", "net", ""): [both], ("b", "net", "p"): [one]}
    assert list(found.files) == sorted(found.files)
    assert (found.metrics, found.sweeps, found.protocols) == (["diffid"], ["s1", "s2"], ["", "p"])


def test_only_the_rows_of_a_comparison_are_kept(tmp_path: Path) -> None:
    files = [job(tmp_path / "both", "b", "a"), job(tmp_path / "more", "a")]
    rows, notices = read_rows(files, ("b", "net", ""))
    assert list(rows["dataset"]) == ["b", "b"]
    assert list(rows.index) == [0, 1]
    assert notices == []
    rows, notices = read_rows(files, ("a", "net", ""))
    assert len(rows) == 2  # the same values twice
    assert "2 rows occur more than once" in notices[0]


def test_a_file_that_lacks_columns_is_named(tmp_path: Path) -> None:
    file = job(tmp_path / "run", "a")
    pd.read_parquet(file).drop(columns="dataset").to_parquet(file)
    with pytest.raises(ValueError, match=r"rows\.parquet lacks the columns \['dataset'\]"):
        contents_of([file])


def test_a_page_of_thousands_of_runs_holds_some_of_their_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        job(tmp_path / name, "a", variant=f"key={name}")
        (tmp_path / name / "config.yaml").write_text(f"name: {name}\n")
    monkeypatch.setattr(page, "MOST_CONFIGS", 1)
    text = build_report(tmp_path, formats=["html"], n=50).html.read_text()
    assert text.count("<summary>Configuration") == 1
    assert "2 more configurations lie in the folders" in text
