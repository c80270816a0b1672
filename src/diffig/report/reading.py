"""Rows and curves of many runs -> two tables, every row once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.duplicate_run import TAKEN_OVER
from diffig.evaluation.rows import read_table
from diffig.report.families import family_of
from diffig.report.settings import COMPARISON, GUIDANCE, LATER, SETTING, guidance_columns

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = [name for name in [*COMPARISON, *SETTING, "image_index", "seed", "metric", "value"] if name not in LATER]
ROUNDING = 1e-5  # of a value: float32 sums depend on how many images went together, and the share of a gap shows it
MEASURED = ["label", "prediction", "seconds", "forward_images", "backward_images", "gap", "status"]


def read_rows(files: Sequence[Path], comparison: tuple[str, ...] | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Return all rows of the given Parquet files with a column `run` (their folder), and notices for the reader.

    Guidance strengths that a file does not name are 0. Rows that occur twice with equal values, but for
    the rounding of another batch size, are kept once.

    Args:
        files: of rows.
        comparison: only rows of this data set, classifier and protocol.

    Raises:
        ValueError: if a file lacks columns or is of a later diffig, or if two rows share a key and disagree.
    """
    import pandas as pd

    frames = []
    for file in files:
        frame = read_table(file)
        missing = [column for column in REQUIRED if column not in frame.columns]
        if missing:
            raise ValueError(f"{file} lacks the columns {missing}; write it again with diffig-evaluate.")
        frame["run"] = str(Path(file).parent)
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    del frames  # a second copy of everything
    for column in MEASURED:
        if column not in rows.columns:
            rows[column] = "ok" if column == "status" else np.nan
    rows["status"] = rows["status"].fillna("ok")
    for column in LATER:
        rows[column] = rows[column].fillna("").astype(str) if column in rows.columns else ""
    if comparison is not None:
        elsewhere = rows[COMPARISON[0]] != comparison[0]
        for name, value in zip(COMPARISON[1:], comparison[1:], strict=True):
            elsewhere |= rows[name] != value
        rows = rows[~elsewhere].reset_index(drop=True) if elsewhere.any() else rows
    rows["variant"] = rows["variant"].map({variant: _without_columns(variant) for variant in rows["variant"].unique()})
    rows["value"] = rows["value"].astype("float64").where(np.isfinite(rows["value"].astype("float64")))
    for column in guidance_columns(rows):
        rows[column] = rows[column].astype("float64").fillna(0.0)
    for column in ("n_paths", "steps"):
        rows[column] = rows[column].astype("float64")
    return unique_rows(_without_placeholders(rows))


GAPS = ("gap_abs", "gap_rel")


def _without_placeholders(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in which no method is complete by having nothing to complete.

    A gap that is computed is never 0 to the last bit on every image. One that is belongs to a map that sums up to
    nothing, a gradient or a control, or to a method complete by construction: it is unknown, and no setting wins by it.
    """
    settings = [name for name in [*COMPARISON, *SETTING, *guidance_columns(rows), "run"] if name in rows.columns]
    largest = rows["gap"].abs().groupby([rows[name] for name in settings], dropna=False).transform("max")
    placeholder = largest == 0
    rows["gap"] = rows["gap"].mask(placeholder)
    others = rows.loc[~rows["metric"].isin(GAPS), "run"].unique()
    return rows[~(placeholder & rows["metric"].isin(GAPS) & rows["run"].isin(others))].reset_index(drop=True)


def once_each(rows: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows with each result once, and the methods of which more was left out.

    A method that ignores the baseline gives the same attributions with every one. Settings that differ in the baseline
    alone and have the same value everywhere are one, by all metrics that do not themselves read the baseline; the first
    stays. Counted apart they would make the correction for many comparisons too strict.
    """
    judged = [m for m in rows["metric"].unique() if m == metric or not _reads_baseline(m)]
    keys = [name for name in [*SETTING, *guidance_columns(rows)] if name != "baseline"]
    own = rows[rows["metric"].isin(judged)]
    left: list[str] = []
    gone = rows["baseline"] != rows["baseline"]
    for group in _alike(own, keys):
        table = group.pivot_table(
            index=["metric", "seed", "image_index"], columns="baseline", values="value", aggfunc="mean", dropna=False
        )
        if table.shape[1] < 2 or not len(table) or not table.notna().to_numpy().any():
            continue
        first = group["baseline"].iloc[0]
        same = [name for name in table.columns if name != first and table[name].equals(table[first])]
        if same:
            found = (rows[keys].fillna("") == group[keys].fillna("").iloc[0]).all(axis=1) & rows["baseline"].isin(same)
            gone |= found
            left.append(str(group["method"].iloc[0]))
    return rows[~gone], sorted(set(left))


def _alike(rows: pd.DataFrame, keys: list[str]) -> Iterator[pd.DataFrame]:
    """The groups by `keys` in which two baselines may have the same values: smallest and largest are the same."""
    number = rows.groupby(keys, dropna=False, sort=False).ngroup()
    number.name = "group"
    ends = rows["value"].groupby([number, rows["baseline"]], dropna=False, sort=False).agg(["min", "max"]).reset_index()
    alike = number.isin(ends.loc[ends.duplicated(["group", "min", "max"], keep=False), "group"])
    for _, group in rows[alike].groupby(number[alike], sort=False):
        yield group


def _reads_baseline(metric: str) -> bool:
    return family_of(metric) == "axioms and path" or metric.startswith("infidelity")


def _without_columns(variant: str) -> str:
    """The variant without what a column of its own says, such as `n_paths=4`."""
    return " ".join(word for word in variant.split(" ") if word.partition("=")[0] not in SETTING)


def unique_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows with each result once, and a notice of what was there again.

    Raises:
        ValueError: a result is there twice, with two values.
    """
    key = [*COMPARISON, *SETTING, *guidance_columns(rows), "seed", "image_index", "metric"]
    repeated = rows.duplicated(key, keep=False)
    if not repeated.any():
        return rows, []
    groups = rows[repeated].groupby(key, dropna=False, sort=False)
    lowest, highest = groups["value"].transform("min"), groups["value"].transform("max")
    holes = rows.loc[repeated, "value"].isna()
    half_missing = holes != holes.groupby([rows.loc[repeated, k] for k in key], dropna=False).transform("max")
    differs = ((highest - lowest) > ROUNDING * (1 + lowest.abs())) | half_missing
    if differs.any():
        runs = ", ".join(sorted(rows.loc[repeated, "run"].unique())[:4])
        example = rows.loc[differs[differs].index[0]]
        named = ", ".join(f"{name}={example[name]}" for name in ("method", "baseline", "seed", "image_index", "metric"))
        raise ValueError(
            f"{int(differs.sum())} rows share a key but not a value, for example {named} (in {runs}). "
            "The same setting was evaluated twice with different results: pass only one of these runs."
        )
    apart = float((highest - lowest).max())
    unique = rows.drop_duplicates(key, keep="first").reset_index(drop=True)
    # A job of a sweep that has taken over another's rows says so in its folder; that is meant and needs no notice.
    taken = {run for run in rows["run"].unique() if (Path(run) / TAKEN_OVER).is_file()}
    own = rows[~rows["run"].isin(taken)]
    again = own[own.duplicated(key, keep=False)]
    if again.empty:
        return unique, []
    count, runs = int(again.duplicated(key).sum()), ", ".join(sorted(again["run"].unique())[:4])
    equal = f"values within {apart:.1e} of each other" if apart > 0 else "equal values"
    return unique, [f"{count} rows occur more than once with {equal} ({runs}); each counts once."]


def read_curves(row_files: Sequence[Path], rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return all `curves.parquet` beside the rows; keys they do not carry are taken from the rows of the same run."""
    import pandas as pd

    keys = [*COMPARISON, *SETTING, *guidance_columns(rows)]
    frames = []
    told: dict[str, pd.DataFrame] | None = None
    for file in row_files:
        path = file.with_name("curves.parquet")
        if not path.exists():
            continue
        curves = read_table(path)
        if told is None and set(keys) - set(curves.columns):
            named = rows.assign(of=rows["method"]).groupby(["run", "of"])[keys].first().reset_index("of")
            told = {str(run): own.set_index("of") for run, own in named.groupby(level="run")}
        for key in keys:
            if key not in curves.columns:
                fallback = 0.0 if key.startswith(GUIDANCE) else np.nan
                own = (told or {}).get(str(file.parent))
                curves[key] = fallback if own is None else curves["method"].map(own[key]).fillna(fallback)
            elif key.startswith(GUIDANCE):
                curves[key] = curves[key].fillna(0.0)
        frames.append(curves)
    return pd.concat(frames, ignore_index=True) if frames else None


def curves_of(curves: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the curves of this comparison, labelled like the rows."""
    if curves is None:
        return None
    keys = [*COMPARISON, *SETTING, *guidance_columns(rows)]
    settings = rows[[*keys, "setting"]].drop_duplicates()
    typed = curves.astype({key: settings[key].dtype for key in keys})
    matched = typed.merge(settings, on=keys)
    return matched if len(matched) else None
