"""Methods compared at equal numbers of paths, so that none gains by averaging over more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.evaluation.statistics import simultaneous_differences
from diffig.report.ranking import image_table
from diffig.report.wording import lower_is_better

if TYPE_CHECKING:
    import pandas as pd


def equal_paths(rows: pd.DataFrame, table: pd.DataFrame, metric: str, n: int, seed: int) -> pd.DataFrame | None:
    """Return the best setting of each method at each number of paths that two methods or more were run with.

    Only methods that were run with several paths count, for one path of a deterministic method is all it has. The
    column `difference` is to the first of the same number, image by image; `low` and `high` hold for all lines at once.
    None where no two methods share a number of paths.

    Args:
        rows: of one comparison, with the column `setting`.
        table: its ranked table.
        metric: what is compared.
        n, seed: of the bootstrap.
    """
    import pandas as pd

    paths = rows.drop_duplicates("setting").set_index("setting")["n_paths"]
    known = table.dropna(subset=["mean"]).assign(n_paths=lambda t: t["setting"].map(paths))
    several = known.groupby("method")["n_paths"].max()
    known = known[known["method"].isin(several[several > 1].index)]
    values, lower = image_table(rows, metric), lower_is_better(metric)
    lines, pairs = [], []
    for count, own in known.groupby("n_paths", sort=True):
        best = own[~own["method"].duplicated()]  # the table is in order
        if len(best) < 2:
            continue
        first = str(best["setting"].iloc[0])
        for place, line in enumerate(best.to_dict("records")):
            kept = ("setting", "method", "mean", "low", "high", "backward_images", "forward_images", "seconds")
            lines.append({"n_paths": int(count), "first": place == 0, **{key: line[key] for key in kept}})
            if place:
                pairs.append((values[line["setting"]], values[first]))
    if not lines:
        return None
    gains = iter(simultaneous_differences(pairs, n, seed))
    for entry in lines:
        gain = None if entry["first"] else next(gains)
        entry |= {"difference": gain.mean if gain else 0.0, "gain_low": gain.low if gain else 0.0}
        entry |= {"gain_high": gain.high if gain else 0.0}
        clear = gain is not None and gain.separates
        entry["verdict"] = "" if gain is None else ("unclear" if not clear else _side(gain.mean, lower))
    return pd.DataFrame(lines)


def _side(difference: float, lower: bool) -> str:
    return "better" if (difference < 0) == lower else "worse"
