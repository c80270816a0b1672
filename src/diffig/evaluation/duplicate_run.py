"""A job of a sweep with the fingerprint of a finished one copies its results instead of computing them again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from diffig.evaluation.rows import read_table
from diffig.io import whole, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

FINISHED = ".finished"
"""In a sweep's folder: a file for each fingerprint that has finished, which holds the name of the job's folder."""

TAKEN_OVER = "taken_over.json"
RESULTS = (
    *("rows.parquet", "curves.parquet", "summary.csv", "classes.json", "metrics.json"),
    *("attributions.png", "randomization.png", "thumbnails.safetensors"),
)


def in_sweep() -> bool:
    """Return whether this is a job of a sweep; a single run is asked for its own sake and measures anew."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def announce(output: Path, mark: str) -> None:
    """Let the other jobs of the sweep know that `output` has the finished rows of the fingerprint `mark`."""
    write_text(output.parent / FINISHED / mark, output.name, durable=False)


def find_duplicate(output: Path, mark: str) -> Path | None:
    """Return a finished sibling folder of `output` with the fingerprint `mark`; one file is read, of however many jobs.

    What was announced is believed only while the folder still has these rows.
    """
    try:
        folder = output.parent / (output.parent / FINISHED / mark).read_text()
    except OSError:
        return None
    found = folder != output and marked(folder, mark) and (folder / "rows.parquet").is_file()
    return folder if found else None


def marked(folder: Path, mark: str) -> bool:
    """Return whether the finished rows of a folder have the fingerprint `mark`."""
    try:
        return (folder / "fingerprint").read_text() == mark
    except OSError:
        return False


def reuse_rows(duplicate: Path, output: Path) -> pd.DataFrame:
    """Copy the results of `duplicate` to `output`, with a `taken_over.json` that names it, and return its rows."""
    for name in RESULTS:
        if (duplicate / name).is_file():
            with whole(output / name) as partial:
                shutil.copy2(duplicate / name, partial)
    write_json(output / TAKEN_OVER, {"from": duplicate.name})
    return read_table(output / "rows.parquet")
