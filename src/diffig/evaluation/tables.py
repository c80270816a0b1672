"""Rows of results -> ranked and paired tables.

A *setting* is one way of explaining (method, baseline, paths, steps, guidance strengths); seeds are repeats inside it.
Settings are compared inside a *comparison*: one dataset and one classifier, because the values of different
classifiers or images do not share a scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.statistics import bootstrap_interval, holm, paired_difference, per_image

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = ["dataset", "classifier"]
SETTING = ["objective", "baseline", "method", "n_paths", "steps", "aggregation", "variant"]
GUIDANCE = "guidance."
PROPOSALS = "guidance.proposals"
REQUIRED = [*COMPARISON, *SETTING[:-2], "image_index", "seed", "metric", "value"]
MEASURED = ["label", "prediction", "seconds", "forward_images", "backward_images", "gap", "status", "protocol"]

# Of everything else more is better. A pattern of `fnmatch`; the first group that matches decides.
HIGHER_IS_BETTER = ("*insertion_minus_deletion*", "*gini*")
LOWER_IS_BETTER = (
    *("*deletion*", "*waste*", "*gap*", "*entropy*", "*complexity*", "*infidelity*", "*sensitivity*", "*morf*"),
    *("*effective*", "*variation*", "*roughness*", "*seconds*"),
)

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

RANKED_TITLES = {
    "rank": "#",
    "setting": "Setting",
    "mean": "Mean",
    "low": "95 % from",
    "high": "to",
    "images": "Images",
    "seeds": "Seeds",
    "backward_images": "Backward",
    "forward_images": "Forward",
    "seconds": "Seconds",
    "gap": "Median |gap|",
    "failures": "Failed",
}
PAIRED_TITLES = {
    "setting": "Setting",
    "reference": "Reference",
    "difference": "Difference",
    "low": "95 % from",
    "high": "to",
    "p": "p",
    "p_holm": "p (Holm)",
    "win_rate": "Wins",
    "images": "Common images",
    "dropped": "Left out",
    "verdict": "Verdict",
}


def lower_is_better(metric: str) -> bool:
    """True for a metric whose small values are the good ones, judged by its name."""
    if any(fnmatch(metric, pattern) for pattern in HIGHER_IS_BETTER):
        return False
    return any(fnmatch(metric, pattern) for pattern in LOWER_IS_BETTER)


def guidance_columns(rows: pd.DataFrame) -> list[str]:
    """Names of the columns that hold guidance strengths, in alphabetical order."""
    return sorted(column for column in rows.columns if column.startswith(GUIDANCE))


def read_rows(files: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """All rows of the given Parquet files with a column ``run`` (their folder), and notices for the reader.

    Guidance strengths that a file does not name are 0. Rows that occur twice with equal values are kept once.

    Raises:
        ValueError: if a file lacks columns, or if two rows share a key and disagree.
    """
    import pandas as pd

    frames = []
    for file in files:
        frame = pd.read_parquet(file)
        missing = [column for column in REQUIRED if column not in frame.columns]
        if missing:
            raise ValueError(f"{file} lacks the columns {missing}; write it again with diffig-evaluate.")
        frame["run"] = str(Path(file).parent)
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    for column in MEASURED:
        if column not in rows.columns:
            rows[column] = "ok" if column == "status" else np.nan
    rows["status"] = rows["status"].fillna("ok")
    for column in ("aggregation", "variant"):
        rows[column] = rows[column].fillna("").astype(str) if column in rows.columns else ""
    rows["value"] = rows["value"].astype("float64").where(np.isfinite(rows["value"].astype("float64")))
    for column in guidance_columns(rows):
        rows[column] = rows[column].astype("float64").fillna(0.0)
    for column in ("n_paths", "steps"):
        rows[column] = rows[column].astype("float64")
    return _unique(rows)


def _unique(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    key = [*COMPARISON, *SETTING, *guidance_columns(rows), "seed", "image_index", "metric"]
    repeated = rows.duplicated(key, keep=False)
    if not repeated.any():
        return rows, []
    groups = rows[repeated].groupby(key, dropna=False, sort=False)
    lowest, highest = groups["value"].transform("min"), groups["value"].transform("max")
    holes = rows.loc[repeated, "value"].isna()
    half_missing = holes != holes.groupby([rows.loc[repeated, k] for k in key], dropna=False).transform("max")
    differs = ((highest - lowest) > 1e-6 * (1 + lowest.abs())) | half_missing
    runs = ", ".join(sorted(rows.loc[repeated, "run"].unique())[:4])
    if differs.any():
        example = rows.loc[differs[differs].index[0]]
        named = ", ".join(f"{name}={example[name]}" for name in ("method", "baseline", "seed", "image_index", "metric"))
        raise ValueError(
            f"{int(differs.sum())} rows share a key but not a value, for example {named} (in {runs}). "
            "The same setting was evaluated twice with different results: pass only one of these runs."
        )
    unique = rows.drop_duplicates(key, keep="first").reset_index(drop=True)
    return unique, [
        f"{len(rows) - len(unique)} rows occur more than once with equal values ({runs}); each counts once."
    ]


def label_settings(rows: pd.DataFrame) -> pd.Series:
    """Short label per row: the method plus only the keys that tell its settings apart.

    Baseline and objective are shown as soon as they vary anywhere; paths, steps and strengths when they vary inside
    the method. Strengths of 0 are left out; if all are 0 the label says ``unguided``.
    """
    strengths = guidance_columns(rows)
    keys = [*SETTING, *strengths]
    unique = rows[keys].drop_duplicates().reset_index(drop=True)
    labels = []
    for _, setting in unique.iterrows():
        siblings = unique[unique["method"] == setting["method"]]
        steering = [name for name in strengths if siblings[name].nunique() > 1]
        parts = [f"{name.removeprefix(GUIDANCE)}={setting[name]:g}" for name in steering if setting[name] != 0]
        if steering and not parts:
            bare = all(setting[name] == 0 or (name == PROPOSALS and setting[name] <= 1) for name in strengths)
            parts = ["unguided"] if bare else [f"{name.removeprefix(GUIDANCE)}=0" for name in steering]
        parts += [
            f"{name}={setting[name]}" for name in ("baseline", "objective") if unique[name].nunique(dropna=False) > 1
        ]
        parts += [
            f"{short}={setting[name]:g}"
            for name, short in (("n_paths", "n"), ("steps", "steps"))
            if siblings[name].nunique(dropna=False) > 1
        ]
        if siblings["aggregation"].nunique() > 1 and setting["aggregation"]:
            parts.append(f"aggregation={setting['aggregation']}")
        if siblings["variant"].nunique() > 1 and setting["variant"]:
            parts.append(setting["variant"])
        labels.append(" ".join([str(setting["method"]), *parts]))
    unique["setting"] = labels
    merged = rows[keys].merge(unique, on=keys, how="left")["setting"]
    merged.index = rows.index
    return merged


def image_table(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Values of one metric, images x settings, seeds averaged; NaN where no finite value exists.

    Raises:
        ValueError: if no row carries the metric.
    """
    chosen = rows[rows["metric"] == metric]
    if chosen.empty:
        raise ValueError(
            f"no rows of the metric {metric!r}; these exist: {', '.join(sorted(rows['metric'].unique()))}."
        )
    return chosen.pivot_table(index="image_index", columns="setting", values="value", aggfunc="mean", dropna=False)


def ranked(rows: pd.DataFrame, metric: str, n: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """One line per setting, best first: mean, 95 % interval, images, seeds, cost, median |gap|, failures."""
    import pandas as pd

    values = image_table(rows, metric)
    lines = []
    for setting, own in rows[rows["metric"] == metric].groupby("setting", sort=False):
        images = per_image(values[setting])
        finite = images[np.isfinite(images)]
        low, high = bootstrap_interval(images, n, seed)
        lines.append(
            {
                "setting": setting,
                "method": own["method"].iloc[0],
                "mean": finite.mean() if len(finite) else np.nan,
                "low": low,
                "high": high,
                "images": len(finite),
                "seeds": own["seed"].nunique(dropna=False),
                "backward_images": own["backward_images"].mean(),
                "forward_images": own["forward_images"].mean(),
                "seconds": own["seconds"].mean(),
                "gap": own["gap"].abs().median(),
                "failures": int((own["value"].isna() | (own["status"] != "ok")).sum()),
            }
        )
    table = pd.DataFrame(lines).sort_values(
        "mean", ascending=lower_is_better(metric), kind="stable", na_position="last"
    )
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def find_reference(table: pd.DataFrame, wanted: str | None) -> str:
    """Label of the reference setting in a ranked table; a method name means its best setting, the strictest choice.

    Raises:
        ValueError: if neither a label nor a method is called so; lists what there is.
    """
    if wanted is None:
        by_name = table[table["method"] == "ig"]
        return str(by_name["setting"].iloc[0] if len(by_name) else table["setting"].sort_values().iloc[0])
    if wanted in set(table["setting"]):
        return wanted
    by_name = table[table["method"] == wanted]
    if by_name.empty:
        labels = ", ".join(sorted(table["setting"]))
        raise ValueError(f"reference={wanted!r} is neither a method nor a setting; choose one of: {labels}.")
    return str(by_name["setting"].iloc[0])


def paired(rows: pd.DataFrame, metric: str, reference: str, n: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """One line per other setting: mean difference to the reference over common images, Holm over all lines.

    ``verdict`` is ``better`` or ``worse`` if the interval excludes 0 and the corrected p is below .05,
    else ``unclear``.
    """
    import pandas as pd

    values = image_table(rows, metric)
    lower = lower_is_better(metric)
    lines = []
    for setting in values.columns.drop(reference):
        result = paired_difference(values[setting], values[reference], n, seed, lower_is_better=lower)
        lines.append(
            {
                "setting": setting,
                "reference": reference,
                "difference": result.mean,
                "low": result.low,
                "high": result.high,
                "p": result.p_value,
                "win_rate": result.win_rate,
                "images": result.n_images,
                "dropped": result.n_dropped,
            }
        )
    table = pd.DataFrame(lines, columns=[name for name in PAIRED_TITLES if name not in ("p_holm", "verdict")])
    table.insert(6, "p_holm", holm(table["p"].astype(float)))
    table["verdict"] = [_verdict(row, lower) for row in table.itertuples()]
    return table.sort_values("difference", ascending=lower, kind="stable", na_position="last").reset_index(drop=True)


def _verdict(row: object, lower: bool) -> str:
    low, high, p = (getattr(row, name) for name in ("low", "high", "p_holm"))
    if not (p < 0.05 and (low > 0 or high < 0)):
        return "unclear"
    return "better" if (high < 0) == lower else "worse"


def number(value: float, signed: bool = False) -> str:
    """About three significant digits, without the zero before the point: ``.134``, ``-.06``, ``1,240``, ``3.1e-05``."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size == 0:
        text = "0"
    elif size < 0.0005:
        text = f"{size:.1e}"
    else:
        text = f"{size:,.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"
        text = text.removeprefix("0") if size < 1 and text != "1.000" else text
    return (MINUS if value < 0 else "+" if signed and value > 0 else "") + text


def count(value: float) -> str:
    """A mean number of things: whole when it is whole or large, else like `number`."""
    if math.isfinite(value) and (value >= 100 or value == round(value)):
        return f"{value:,.0f}"
    return number(value)


def estimate(mean: float, low: float, high: float, signed: bool = False) -> str:
    """A mean with its interval: ``.134 [.101, .167]``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(mean, signed)
    return f"{number(mean, signed)} [{number(low, signed)}, {number(high, signed)}]"


def p_text(p: float) -> str:
    """p with three decimals, ``< .001`` below that."""
    return DASH if not math.isfinite(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def cell(column: str, value: object) -> str:
    """The text of one table cell, by the name of its column."""
    if isinstance(value, str):
        return value
    real = float(value)  # type: ignore[arg-type]
    if column in ("p", "p_holm"):
        return p_text(real)
    if column == "win_rate":
        return DASH if not math.isfinite(real) else f"{100 * real:.0f} %"
    if column in ("rank", "images", "seeds", "failures", "dropped"):
        return f"{real:.0f}"
    if column in ("backward_images", "forward_images"):
        return count(real)
    return number(real, signed=column == "difference")


def to_markdown(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """A GitHub table; numbers right-aligned."""
    lines = [_markdown_line(titles.values())]
    lines.append("|" + "|".join("---" if _is_text(table, name) else "---:" for name in titles) + "|")
    lines += [_markdown_line(cell(name, row[name]) for name in titles) for _, row in table.iterrows()]
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame, titles: dict[str, str], caption: str) -> str:
    """A ``booktabs`` table float."""
    columns = "".join("l" if _is_text(table, name) else "r" for name in titles)
    body = [_latex_line(cell(name, row[name]) for name in titles) for _, row in table.iterrows()]
    parts = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    parts += [r"\toprule", _latex_line(titles.values()), r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*parts, r"\end{tabular}", r"\end{table}", ""])


def _is_text(table: pd.DataFrame, column: str) -> bool:
    return bool(len(table)) and isinstance(table[column].iloc[0], str)


def _markdown_line(cells: Iterable[str]) -> str:
    return _line(cells, "| ", " | ", " |", lambda text: text.replace("|", "\\|"))


def _latex_line(cells: Iterable[str]) -> str:
    return _line(cells, "", " & ", r" \\", _latex)


def _line(cells: Iterable[str], start: str, between: str, end: str, escape: Callable[[str], str]) -> str:
    return start + between.join(escape(text) for text in cells) + end


def _latex(text: str) -> str:
    special = {c: "\\" + c for c in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {MINUS: "$-$", DASH: "--", "<": "$<$", ">": "$>$", "|": "$|$", "±": r"$\pm$"}
    return "".join(special.get(character, character) for character in text)
