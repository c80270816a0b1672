"""The page of rows in hand, or of folders: `diffig.report(rows)` in a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffig.evaluation.metric_info import FILE as METRICS
from diffig.evaluation.rows import write_table
from diffig.io import write_json
from diffig.report.build import FORMATS, Report, build_report
from diffig.report.reading import REQUIRED

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "outputs/report"
ROWS = "rows.parquet"
UNSAID = {"n_paths": None, "steps": None, "seed": 0}  # of maps that somebody else has made


def report(
    rows: pd.DataFrame | str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    reference: str | None = None,
    headline: str | None = None,
    compare: Sequence[str] | None = None,
    formats: Sequence[str] = FORMATS[:4],
    n: int = 10_000,
    seed: int = 0,
) -> Report:
    """Return what was written: `report.html` with its tables, the page that `diffig-report` makes.

    A table alone has no curves and no pictures; a folder that `diffig.evaluate(..., output=...)` or `diffig-evaluate`
    has left has both.

    Args:
        rows: of `diffig.evaluate`, or folders of runs. Tables that `pandas.concat` has put together are one.
        output: folder to write into, for a table `outputs/report`; its rows go to `runs` below it, where
            `diffig-report` finds them.
        reference: method that everything is compared with; `ig` or the first where none is named.
        headline: the metric that decides the ranking; `diffid` where none is named.
        compare: two methods to compare in every metric.
        formats: any of `md csv tex html pdf`.
        n: resamples of intervals and tests.
        seed: of both.

    Raises:
        FileNotFoundError: there are no rows in the folders.
        ValueError: the table lacks columns or rows, or runs of somebody else lie where its rows would go; otherwise as
            `build_report`.
    """
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        output = Path(FOLDER if output is None else output)
        rows = _left_in(output / "runs", rows)
    return build_report(rows, reference, headline, output, formats, n, seed, compare)


def method_folders(names: Iterable[str], root: Path) -> dict[str, Path]:
    """Return a folder below `root` for each name, all different and of plain letters."""
    found: dict[str, Path] = {}
    for name in names:
        folder = re.sub(r"[^\w.-]+", "_", name).strip("._") or "method"
        while root / folder in found.values():
            folder += "_"
        found[name] = root / folder
    return found


def _left_in(root: Path, rows: pd.DataFrame) -> list[Path]:
    """The folders that now hold the rows of a method each, as the program leaves them; rows of an earlier call go."""
    said = rows.attrs.get("metrics")
    whole = rows.assign(**{name: value for name, value in UNSAID.items() if name not in rows})
    missing = [name for name in REQUIRED if name not in whole]
    if missing or not len(rows):
        what = f"lack the columns {missing}" if missing else "are none"
        raise ValueError(f"the rows {what}; give the table that diffig.evaluate returns, or a folder of runs")
    whole["seed"] = whole["seed"].fillna(UNSAID["seed"])
    folders = method_folders((str(name) for name in whole["method"].unique()), root)
    earlier = list(root.glob(f"*/{ROWS}"))
    for run in (file.parent for file in earlier):
        if {file.name for file in run.iterdir()} - {ROWS, METRICS}:
            raise ValueError(f"output={root.parent}: {run} is a run of its own, which this would replace; give another")
    for file in earlier:
        file.unlink()
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_table(_of(whole, name), folder / ROWS)
        if said:
            write_json(folder / METRICS, said)
    return list(folders.values())


def _of(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    own: Any = rows[rows["method"].astype(str) == method]
    return own.reset_index(drop=True)
