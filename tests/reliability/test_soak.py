"""A short form of `soak.py`: a few cycles in one process leave no file, thread or tensor behind."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import soak
from soak import ALLOWED, growth

from forked import Forked


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "evaluate", "--cycles", "2"),
        pytest.param(("--cycles", "4"), marks=pytest.mark.slow),
    ],
)
def test_nothing_is_left_behind(words: tuple[str, ...], tmp_path: Path) -> None:
    with Forked(soak.main, tmp_path, ["soak.py", "--folder", str(tmp_path), *words]) as running:
        assert running.wait(timeout=590) == 0, running.said
    lines = pd.read_csv(tmp_path / "soak.csv")[1:]
    assert len(lines) == int(words[-1])
    for column in ("open_files", "threads", "tensors"):
        assert lines[column].nunique() == 1, lines
    assert lines["memory_mb"].max() - lines["memory_mb"].min() < 50, lines


def test_growth_is_told_from_breathing() -> None:
    steady = {"open_files": [9] * 8, "threads": [1] * 8, "tensors": [5] * 8, "objects": [7] * 8}
    breathing = pd.DataFrame({"memory_mb": [100, 103, 99, 102, 101, 102, 100, 103], **steady})
    assert growth(breathing)["memory_mb"] < ALLOWED["memory_mb"]
    leaking = breathing.assign(memory_mb=range(100, 108), open_files=range(8))
    assert growth(leaking) == pytest.approx({"memory_mb": 1, "open_files": 1, "threads": 0, "tensors": 0, "objects": 0})
