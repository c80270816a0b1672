"""Rows of results: one for each image and metric, written part by part so that a killed run loses one batch.

Parts lie in `<output>/rows/` as `rows-<first image>-<last image>-<rank>.parquet`; finished runs have `rows.parquet`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffig.io import KEY as VERSION, check_version, whole, write_tensors, write_text
from diffig.renamed import current_results

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

ROWS_VERSION = 1
COLUMNS = (
    "dataset",
    "image_index",
    "label",
    "prediction",
    "classifier",
    "objective",
    "baseline",
    "method",
    "n_paths",
    "steps",
    "seed",
    "metric",
    "value",
    "seconds",
    "forward_images",
    "backward_images",
    "gap",
    "status",
)
KEY = ("dataset", "image_index", "classifier", "objective", "baseline", "method", "n_paths", "steps", "seed", "metric")


class RowStore:
    """The parts of one run's rows, in a folder that says what they are rows of.

    Args:
        output: the run's folder.
        fingerprint: what the rows depend on; parts of another fingerprint are thrown away.
    """

    def __init__(self, output: str | Path, fingerprint: str) -> None:
        self.output, self.folder = Path(output), Path(output) / "rows"
        self.fingerprint = fingerprint

    def prepare(self) -> None:
        """Make the folder; drop parts that another configuration has left there."""
        mark = self.folder / "fingerprint"
        if self.folder.exists() and (not mark.is_file() or mark.read_text() != self.fingerprint):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(mark, self.fingerprint)

    def write(self, kind: str, table: list[dict[str, Any]], rank: int = 0) -> None:
        """Write a part, whole or not at all; `kind` is `rows` or `curves`."""
        if not table:
            return
        import pandas as pd

        first, last = table[0]["image_index"], table[-1]["image_index"]
        file = self.folder / f"{kind}-{first}-{last}-{rank}.parquet"
        write_table(pd.DataFrame(table), file)

    def read(self, kind: str = "rows") -> pd.DataFrame:
        """Return all parts so far as one table; empty where there are none."""
        import pandas as pd

        parts = [read_table(file) for file in sorted(self.folder.glob(f"{kind}-*.parquet"))]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"image_index": []})

    def keep(self, index: int, attribution: Tensor, maps: Mapping[str, Tensor] | None = None) -> None:
        """Keep an attribution `(C, H, W)` for the picture, and a metric's maps `(H, W)` by title, in one file."""
        # Names keep the order of the titles, which a dictionary of tensors in a file does not.
        named = {f"map {place:03d} {title}": shown for place, (title, shown) in enumerate((maps or {}).items())}
        write_tensors(self.folder / f"shown-{index}.safetensors", {"attribution": attribution, **named})

    def attributions(self) -> dict[int, Tensor]:
        """Return the kept attributions by dataset index."""
        return {index: kept["attribution"] for index, kept in self._shown().items()}

    def maps(self) -> dict[int, dict[str, Tensor]]:
        """Return the kept `(H, W)` maps by dataset index and title, in the order of the titles."""
        return {
            index: {name[8:]: kept[name] for name in sorted(kept) if name.startswith("map ")}
            for index, kept in self._shown().items()
        }

    def _shown(self) -> dict[int, dict[str, Tensor]]:
        from safetensors.torch import load_file

        files = sorted(self.folder.glob("shown-*.safetensors"), key=lambda file: int(file.stem.split("-")[1]))
        return {int(file.stem.split("-")[1]): load_file(file) for file in files}

    def done(self) -> set[int]:
        """Return the dataset indices of the images that have their rows."""
        return {int(index) for index in self.read()["image_index"].unique()}

    def merge(self, wanted: set[int]) -> pd.DataFrame:
        """Write `rows.parquet` (and `curves.parquet`) and return the rows.

        Raises:
            RuntimeError: an image is missing or has a row twice.
        """
        rows = self.read()
        rows = rows[rows["image_index"].isin(wanted)].sort_values(["image_index", "metric"], ignore_index=True)
        twice = rows.duplicated(list(KEY))
        missing = wanted - {int(index) for index in rows["image_index"]}
        if twice.any() or missing:
            raise RuntimeError(
                f"rows of {self.output} are not one for each image and metric: {int(twice.sum())} twice, "
                f"{len(missing)} images missing (first: {sorted(missing)[:5]}); run the same command again"
            )
        rows = rows[[*COLUMNS, *(column for column in rows.columns if column not in COLUMNS)]]
        curves = self.read("curves")
        if len(curves):  # a batch that was killed between its curves and its rows has left its curves twice
            curves = curves[curves["image_index"].isin(wanted)].drop_duplicates(["image_index", "curve", "x"])
            curves = curves.sort_values(["image_index", "curve", "x"], ignore_index=True)
        for kind, table in (("rows", rows), ("curves", curves)):
            file = self.output / f"{kind}.parquet"
            if len(table):
                write_table(table, file)
            else:  # of another configuration that has run here before
                file.unlink(missing_ok=True)
        return rows


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write rows or curves, whole or not at all.

    Their version stands in the file's metadata, where no column is in its way.
    """
    stated = table.copy(deep=False)
    stated.attrs = {VERSION: ROWS_VERSION}
    with whole(file) as partial:
        stated.to_parquet(partial, index=False)


def read_table(file: str | Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows or curves of a file, by the names of today where it is older.

    Args:
        file: Parquet.
        columns: only these, as far as there are any; by default all.

    Raises:
        NewerFormat: it is of a later diffig.
        ValueError: it is damaged, or no table at all.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        known = None if columns is None else [name for name in pq.read_schema(file).names if name in columns]
        table = pd.read_parquet(file, columns=known)
    except FileNotFoundError:
        raise
    except Exception as error:  # of whatever kind a broken byte leads the reader to
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{file} is no readable table ({said}); remove it and run that evaluation again") from error
    check_version(table.attrs, file, "a table of results", ROWS_VERSION)
    table.attrs = {}
    return current_results(table)
