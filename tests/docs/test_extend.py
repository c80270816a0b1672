"""The method, the metric and the dataset of the page on extending work together in a run, as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from test_docs_pages import TEXTS, blocks

import forked


def test_a_method_a_metric_and_a_dataset_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = TEXTS["docs/extend.md"]
    python = blocks(page, "python")
    assert len(python) == 3
    assert all(len(block.strip().splitlines()) <= 20 for block in python)
    (tmp_path / "mine.py").write_text("\n".join(python))
    for text in blocks(page, "yaml"):
        name = re.match(r"# (\S+)", text).group(1)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (command,) = blocks(page, "bash")
    program, *words = shlex.split(command)
    assert program == "diffig-evaluate"
    quick = ["classifier.width=4", "trainer=cpu", "metrics=fast", "only_correct=false", "hydra.run.dir=run"]
    monkeypatch.syspath_prepend(tmp_path)  # a program has the folder it is started in on its path
    with forked.program("evaluate", [*words, *quick], tmp_path) as running:
        assert running.wait() == 0, running.said
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    assert set(rows["method"]) == {"middle_gradient"}
    assert set(rows["dataset"]) == {"stripes"}
    coverage = rows.loc[rows["metric"] == "coverage", "value"]
    assert len(coverage) == 8
    assert coverage.between(0, 1).all()
