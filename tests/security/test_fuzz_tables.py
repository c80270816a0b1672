"""Damaged tables and notes of runs and data sets: what they say, or one error that names the file."""

# ruff: noqa: PT017 (an error is one of two right answers)
from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from hypothesis import example, given
from PIL import Image

from diffig.data.image_folder import ImageFolder
from diffig.report.reading import REQUIRED, read_rows
from diffig.report.runs import class_names, overrides_of
from security.test_fuzz import DAMAGE, Damage, damaged, fuzzed

ROWS = pd.DataFrame(
    {name: ["x", "x"] for name in REQUIRED}
    | {"image_index": [3, 4], "seed": 0, "value": [0.25, 0.5], "n_paths": 1.0, "steps": 32, "gap": 0.1}
)


def content_of(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


PARQUET = content_of(lambda out: ROWS.to_parquet(out, index=False))
PICTURE = content_of(lambda out: Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(out, "PNG"))
LABELS = b"file,label,category\na.png,0,ant\nb.png,1,bee\n"
OVERRIDES = yaml.safe_dump(["method=ig", "dataset=digits", "limit=4"]).encode()


@fuzzed
@given(DAMAGE)
def test_rows(damage: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        file.write_bytes(damaged(PARQUET, damage))
        try:
            rows, _ = read_rows([file])
        except (ValueError, OSError) as error:
            assert "rows.parquet" in str(error)
            assert "\n" not in str(error)
            return
        assert len(rows) <= 2


@fuzzed
@given(DAMAGE)
@example((1.0, []))
def test_tables_of_labels(damage: Damage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.png", "b.png"):
            (Path(folder) / name).write_bytes(PICTURE)
        (Path(folder) / "labels.csv").write_bytes(damaged(LABELS, damage))
        try:
            data = ImageFolder(folder, size=4)
            labels = list(data.test_set.labels)
        except (ValueError, FileNotFoundError) as error:
            assert "labels.csv" in str(error) or folder in str(error), error
            return
        assert len(labels) <= 2
        assert all(0 <= label < len(data.class_names) for label in labels)
        assert damage != (1.0, []) or labels == [0, 1]


@fuzzed
@given(DAMAGE)
@example((1.0, []))
@example((1.0, [(0.0, 255)]))
def test_notes_of_a_run(damage: Damage) -> None:
    """A report is made without them; what is there still has to be text."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / ".hydra"
        place.mkdir()
        (place / "overrides.yaml").write_bytes(damaged(OVERRIDES, damage))
        (Path(folder) / "classes.json").write_bytes(damaged(b'["ant", "bee"]', damage))
        said = overrides_of(Path(folder))
        assert isinstance(said, str)
        assert damage != (1.0, []) or said == "method=ig dataset=digits limit=4"
        assert all(isinstance(name, str) for name in class_names([folder]))
