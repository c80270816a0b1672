"""Rows of results -> ranked and paired tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.statistics import bootstrap_interval, holm, paired_difference, per_image
from diffig.report.wording import judges_methods, lower_is_better

if TYPE_CHECKING:
    import pandas as pd

RANKED_TITLES = {
    "rank": "#",
    "setting": "Setting",
    "mean": "Mean",
    "low": "95 % from",
    "high": "to",
    "images": "Images",
    "seeds": "Seeds",
    "seed_sd": "s.d. over seeds",
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


def image_table(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values of one metric, images x settings, seeds averaged; NaN where no finite value exists.

    Raises:
        ValueError: if no row carries the metric.
    """
    chosen = rows[rows["metric"] == metric]
    if chosen.empty:
        raise ValueError(
            f"no rows of the metric {metric!r}; these exist: {', '.join(sorted(rows['metric'].unique()))}."
        )
    return chosen.pivot_table(index="image_index", columns="setting", values="value", aggfunc="mean", dropna=False)


def rank_settings(rows: pd.DataFrame, metric: str, n: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Return one line per setting, best first: mean, 95 % interval, images, seeds, cost, median |gap|, failures.

    By a metric that judges no method nothing is ranked: its lines stand in the order of their names, without a rank.
    """
    import pandas as pd

    values = image_table(rows, metric)
    chosen = rows[rows["metric"] == metric]
    chosen = chosen.assign(gap=chosen["gap"].abs(), failed=chosen["value"].isna() | (chosen["status"] != "ok"))
    own = chosen.groupby("setting", sort=False)
    lines = []
    for setting in own["method"].first().index:
        images = per_image(values[setting])
        finite = images[np.isfinite(images)]
        low, high = bootstrap_interval(images, n, seed)
        mean = finite.mean() if len(finite) else np.nan
        lines.append({"setting": setting, "mean": mean, "low": low, "high": high, "images": len(finite)})
    facts = {
        "seeds": own["seed"].nunique(dropna=False),
        # How far a whole run moves when only its random numbers change; the interval is over images alone.
        "seed_sd": chosen.groupby(["setting", "seed"])["value"].mean().groupby("setting").std(ddof=1),
        **{name: own[name].mean() for name in ("backward_images", "forward_images", "seconds")},
        "gap": own["gap"].median(),
        "failures": own["failed"].sum(),
    }
    table = pd.DataFrame(lines)
    table.insert(1, "method", table["setting"].map(own["method"].first()))
    table = table.assign(**{name: table["setting"].map(found) for name, found in facts.items()})
    if not judges_methods(metric):
        table = table.sort_values("setting", kind="stable")
        table.insert(0, "rank", np.nan)
        return table.reset_index(drop=True)
    table = table.sort_values("mean", ascending=lower_is_better(metric), kind="stable", na_position="last")
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def find_reference(table: pd.DataFrame, wanted: str | None) -> str:
    """Return the reference setting's label in a ranked table; a method means its best setting, the strictest choice.

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


def pair_with(rows: pd.DataFrame, metric: str, reference: str, n: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Return one line per other setting: mean difference to the reference over common images, Holm over all lines.

    `verdict` is `better` or `worse` if the interval excludes 0 and the corrected p is below .05,
    else `unclear`.
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
