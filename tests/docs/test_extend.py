"""The method, the metric and the dataset of the page on extending work together in a run, as it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
from test_docs_pages import TEXTS, blocks


def test_a_method_a_metric_and_a_dataset_of_ones_own(tmp_path: Path) -> None:
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
    script = "import sys; sys.path.insert(0, ''); from diffig.cli.evaluate import main; main()"
    quick = ["classifier.width=4", "trainer=cpu", "metrics=fast", "only_correct=false", "hydra.run.dir=run"]
    call = subprocess.run(
        [sys.executable, "-c", script, *words, *quick], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert call.returncode == 0, call.stdout + call.stderr
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    assert set(rows["method"]) == {"middle_gradient"}
    assert set(rows["dataset"]) == {"stripes"}
    coverage = rows.loc[rows["metric"] == "coverage", "value"]
    assert len(coverage) == 8
    assert coverage.between(0, 1).all()
