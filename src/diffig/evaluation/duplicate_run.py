"""A job of a sweep with the fingerprint of a finished one copies its results instead of computing them again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from diffig.evaluation.rows import read_table
from diffig.io import whole, write_json

if TYPE_CHECKING:
    import pandas as pd

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


def find_duplicate(output: Path, mark: str) -> Path | None:
    """Return a finished sibling folder of `output` with the fingerprint `mark`."""
    for folder in sorted(file.parent for file in output.parent.glob("*/fingerprint")):
        if folder != output and marked(folder, mark) and (folder / "rows.parquet").is_file():
            return folder
    return None


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
