"""One run at a glance: a line for each metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.statistics import bootstrap_interval, per_image

if TYPE_CHECKING:
    import pandas as pd


def summarise(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return a line for each metric of a run: mean over images with its 95 % bootstrap interval, counts and costs.

    Seeds are averaged inside each image first. `seed_spread` is the standard deviation, over seeds, of the mean over
    images; NaN for one seed. `failures` counts rows.
    """
    import pandas as pd

    lines = []
    for metric, group in rows.groupby("metric", sort=False):
        values = group.pivot_table(index="image_index", columns="seed", values="value", dropna=False)
        images = per_image(values.to_numpy())
        finite = images[np.isfinite(images)]
        interval = bootstrap_interval(images, seed=seed)
        lines.append(
            {
                "metric": metric,
                "mean": finite.mean() if len(finite) else np.nan,
                "low": interval.low,
                "high": interval.high,
                "images": len(images),
                "seeds": values.shape[1],
                "seed_spread": values.mean().std(ddof=1),
                "failures": int((group["status"] != "ok").sum()),
                "backward_images": group["backward_images"].mean(),
                "forward_images": group["forward_images"].mean(),
                "seconds": group["seconds"].mean(),
            }
        )
    return pd.DataFrame(lines)


def printed(summary: pd.DataFrame) -> str:
    """Return the lines of `summarise` for a terminal, with what all metrics share said once in the first line."""
    shared = [
        name
        for name in summary.columns.drop(["metric", "mean", "low", "high"])
        if summary[name].nunique(dropna=False) == 1
    ]
    said = [name for name in shared if summary[name].notna().all()]
    head = ", ".join(f"{name.replace('_', ' ')} {summary[name].iloc[0]:.4g}" for name in said)
    return f"{head}\n{summary.drop(columns=shared).to_string(index=False, float_format='{:.4g}'.format)}"
