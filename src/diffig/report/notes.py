"""What a reader must know beside the ranking: warnings, the other metrics, images that disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffig.report.ranking import image_table
from diffig.report.runs import named
from diffig.report.verdict import OURS
from diffig.report.wording import DASH, lower_is_better, number

if TYPE_CHECKING:
    import pandas as pd


def notices_of(rows: pd.DataFrame, top: pd.DataFrame, metric: str, n: int) -> list[str]:
    """Return what a reader has to know of a comparison, in sentences."""
    notices = []
    if (len(top) - 1) / (n + 1) >= 0.05:
        notices.append(
            f"{n} resamples are too few for {len(top) - 1} comparisons: after Holm's correction nothing can be clear. "
            f"Use bootstrap.n={200 * len(top)} or more."
        )
    if top["images"].nunique() > 1:
        notices.append(
            f"Settings were measured on {top['images'].min()} to {top['images'].max()} images: "
            "means are not strictly comparable, the paired table (common images only) is."
        )
    failed = int(top["failures"].sum())
    if failed:
        worst = top.loc[top["failures"].idxmax()]
        most = f"{worst['setting']} ({worst['failures']})"
        notices.append(f"{failed} values of {metric} are not finite and left out, most in {most}.")
    if rows["seed"].nunique() == 1 and top["method"].str.lower().str.startswith(OURS).any():
        notices.append("One seed only: the variation between random paths is not in these intervals.")
    return notices


def overview_of(best: pd.DataFrame, ranked: dict[str, pd.DataFrame], metrics: list[str]) -> pd.DataFrame | None:
    """Return the means of each method's best setting in all metrics."""
    import pandas as pd

    if len(metrics) < 2 or len(best) < 2:
        return None
    columns = {metric: ranked[metric].set_index("setting")["mean"] for metric in metrics}
    return pd.DataFrame(columns).reindex(best["setting"])


def disagreements_of(rows: pd.DataFrame, metric: str, winner: str, rival: str, most: int = 5) -> list[dict[str, str]]:
    """Return the images where the winner is furthest ahead of its rival, and furthest behind."""
    values = image_table(rows, metric)
    if winner == rival:
        return []
    difference = (values[winner] - values[rival]).dropna()
    gain = (-difference if lower_is_better(metric) else difference).sort_values(kind="stable")
    picked = [*gain[gain > 0].index[::-1][:most], *gain[gain < 0].index[:most][::-1]]
    about = rows.drop_duplicates("image_index").set_index("image_index")
    return [
        {
            "image": str(image),
            "label": _plain(about.loc[image, "label"]),
            "prediction": _plain(about.loc[image, "prediction"]),
            "winner": number(values.loc[image, winner]),
            "rival": number(values.loc[image, rival]),
            "difference": number(difference.loc[image], signed=True),
            "size": f"{100 * abs(difference.loc[image]) / max(difference.abs().max(), 1e-12):.0f}",
            "ahead": "yes" if gain.loc[image] > 0 else "",
        }
        for image in picked
    ]


def losses_of(rows: pd.DataFrame, metric: str, winner: str, rival: str, names: Sequence[str]) -> str:
    """Return on how many images the winner is behind its rival, and where it is furthest behind, in words."""
    values = image_table(rows, metric)
    if winner == rival:
        return ""
    both = values[[winner, rival]].dropna()
    gain = (both[rival] - both[winner]) if lower_is_better(metric) else (both[winner] - both[rival])
    behind = int((gain < 0).sum())
    if not behind:
        return f"{winner} is behind {rival} on none of the {len(both)} images that both have."
    worst = gain.idxmin()
    label = _plain(rows.loc[rows["image_index"] == worst, "label"].iloc[0])
    return (
        f"The winner loses too: {winner} is behind {rival} on {behind} of the {len(both)} images that both have,"
        f" furthest on image {worst} (class {named(names, label)}), with {number(both.loc[worst, winner])} against"
        f" {number(both.loc[worst, rival])}."
    )


def telling_order(disagreements: list[dict[str, str]], images: pd.DataFrame | None) -> list[int]:
    """Return indices of images, first those that a reader wants to see: disagreements, failures, then by the spread."""
    first = [int(row["image"]) for row in disagreements]
    if images is None:
        return first
    rest = images.sort_values("spread", ascending=False, na_position="first", kind="stable")["image_index"]
    return [*first, *(int(index) for index in rest if int(index) not in set(first))]


def every_image(rows: pd.DataFrame, metric: str, settings: list[str], most: int = 8) -> pd.DataFrame | None:
    """Return label, prediction and metric of the best settings, a line for each image; None for more than 2,000."""
    import pandas as pd

    values = image_table(rows, metric)[settings[:most]]
    if not 1 < len(values) <= 2000:
        return None
    about = rows.drop_duplicates("image_index").set_index("image_index").reindex(values.index)
    spread = values.max(axis=1) - values.min(axis=1)
    frame = pd.DataFrame({name: about[name].map(_plain) for name in ("label", "prediction")})
    return frame.join(values).assign(spread=spread).reset_index()


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return DASH if np.isnan(value) else f"{value:g}"
    return str(value)
