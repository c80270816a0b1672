"""What tells two results apart.

A *setting* is one way of explaining (method, baseline, paths, steps, guidance strengths); seeds are repeats inside it.
Settings are compared inside a *comparison*: one dataset, one classifier and one protocol, because the values of
different classifiers, images or ways to measure do not share a scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = ["dataset", "classifier", "protocol"]
SETTING = ["objective", "baseline", "method", "n_paths", "steps", "aggregation", "credit", "rule", "nodes", "variant"]
LATER = ["protocol", "aggregation", "credit", "rule", "nodes", "variant"]  # columns that older rows may lack
GUIDANCE = "guidance."
PROPOSALS = "guidance.proposals"
FAITH, COMP, OMEGA = "guidance.lambda_faith", "guidance.lambda_comp", "guidance.omega"
SCALES = (PROPOSALS, OMEGA)  # columns of the guidance that steer nothing by themselves


def guidance_columns(rows: pd.DataFrame) -> list[str]:
    """Names of the columns that hold guidance strengths, in alphabetical order."""
    return sorted(column for column in rows.columns if column.startswith(GUIDANCE))


def label_settings(rows: pd.DataFrame) -> pd.Series:
    """Short label per row: the method plus only the keys that tell its settings apart.

    Baseline and objective are shown as soon as they vary anywhere; paths, steps, quadrature and strengths when they
    vary inside the method. Strengths of 0 are left out; if all are 0 the label says ``unguided``,
    whatever the scale omega that multiplies them.
    """
    strengths = guidance_columns(rows)
    keys = [*(name for name in SETTING if name in rows.columns), *strengths]
    unique = rows[keys].drop_duplicates().reset_index(drop=True)
    labels = []
    for _, setting in unique.iterrows():
        siblings = unique[unique["method"] == setting["method"]]
        steering = [name for name in strengths if siblings[name].nunique() > 1]
        bare = all(setting[s] == 0 or s == OMEGA or (s == PROPOSALS and setting[s] <= 1) for s in strengths)
        steered = [name for name in steering if setting[name] != 0 and not (bare and name == OMEGA)]
        parts = [f"{name.removeprefix(GUIDANCE)}={setting[name]:g}" for name in steered]
        if steering and not parts:
            parts = ["unguided"] if bare else [f"{name.removeprefix(GUIDANCE)}=0" for name in steering]
        parts += [
            f"{name}={setting[name]}" for name in ("baseline", "objective") if unique[name].nunique(dropna=False) > 1
        ]
        parts += [
            f"{short}={setting[name]:g}"
            for name, short in (("n_paths", "n"), ("steps", "steps"))
            if siblings[name].nunique(dropna=False) > 1
        ]
        parts += [
            setting[name] if name == "credit" else f"{name}={setting[name]}"
            for name in ("aggregation", "credit", "rule", "nodes")
            if name in keys and setting[name] and siblings.loc[siblings[name] != "", name].nunique() > 1
        ]
        if siblings["variant"].nunique() > 1 and setting["variant"]:
            parts.append(setting["variant"])
        labels.append(" ".join([str(setting["method"]), *parts]))
    unique["setting"] = labels
    merged = rows[keys].merge(unique, on=keys, how="left")["setting"]
    merged.index = rows.index
    return merged
