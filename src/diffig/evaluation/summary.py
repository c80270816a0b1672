"""One run at a glance: a line for each metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.evaluation.statistics import bootstrap_interval

if TYPE_CHECKING:
    import pandas as pd


def summarise(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return mean, 95 % bootstrap interval over images, number of images and of failures for each metric of a run."""
    import pandas as pd

    lines = []
    for metric, group in rows.groupby("metric", sort=False):
        interval = bootstrap_interval(group["value"].to_numpy(), seed=seed)
        lines.append(
            {
                "metric": metric,
                "mean": group["value"].mean(),
                "low": interval.low,
                "high": interval.high,
                "images": len(group),
                "failures": int((group["status"] != "ok").sum()),
                "backward_images": group["backward_images"].mean(),
                "forward_images": group["forward_images"].mean(),
                "seconds": group["seconds"].mean(),
            }
        )
    return pd.DataFrame(lines)
