"""Do the kinds of metrics agree: who wins in each, and how alike their rankings are."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.ranks import agreement
from diffig.evaluation.report.wording import lower_is_better

if TYPE_CHECKING:
    import pandas as pd

# A pattern of `fnmatch`; the first family that matches a metric's name has it.
FAMILIES = {
    "faithfulness by removal": (
        "diffid*",
        "*insertion*",
        "*deletion*",
        "mas",
        "mas_*",
        "road*",
        "srg*",
        "f_fidelity*",
        "r_fidelity*",
        "aic*",
        "sic*",
    ),
    "faithfulness by perturbation": ("infidelity*", "sensitivity_n*", "mufidelity*"),
    "localisation": ("pointing*", "energy_pointing*", "ebpg*", "relevance_*", "mask_share", "rma*", "rra*"),
    "robustness": ("sensitivity*",),
    "sanity": ("emprt*", "randomization*"),
    "complexity": ("*gini*", "*entropy*", "*sparse*", "*complexity*"),
    "axioms and path": ("*gap*", "waste*", "completeness*"),
}
OTHER = "other"
# Said of images and classifier, and the same for every method: what others are read beside.
REFERENCES = ("diffid_ceiling*", "*_centre", "mask_share")


def family_of(metric: str) -> str:
    """Return the family of a metric, by its name."""
    for family, patterns in FAMILIES.items():
        if any(fnmatch(metric, pattern) for pattern in patterns):
            return family
    return OTHER


def judges_methods(metric: str) -> bool:
    """Return whether a metric depends on the attribution, by its name; references such as a mask's share do not."""
    return not any(fnmatch(metric, pattern) for pattern in REFERENCES)


def settings_by_metric(ranked: dict[str, pd.DataFrame], settings: list[str]) -> pd.DataFrame:
    """Return means, settings x metrics, the sign turned where less is better: more is better everywhere."""
    import pandas as pd

    signs = {metric: -1.0 if lower_is_better(metric) else 1.0 for metric in ranked}
    columns = {metric: signs[metric] * table.set_index("setting")["mean"] for metric, table in ranked.items()}
    return pd.DataFrame(columns).reindex(settings)


def family_table(ranked: dict[str, pd.DataFrame], settings: list[str], headline: str) -> pd.DataFrame | None:
    """Return one line for each family: its metrics, its best setting by mean rank, and Kendall's tau with the headline.

    None where there are fewer than two families or three settings.
    """
    import pandas as pd

    scores = settings_by_metric(ranked, settings)
    scores = scores[[metric for metric in scores if judges_methods(metric) and scores[metric].notna().sum() >= 3]]
    families: dict[str, list[str]] = {}
    for metric in scores.columns:
        families.setdefault(family_of(metric), []).append(metric)
    if len(families) < 2 or headline not in scores:
        return None
    lines = []
    for family in [name for name in (*FAMILIES, OTHER) if name in families]:
        # Rank 1 is best; settings a metric says nothing of are left out of its mean.
        ranks = scores[families[family]].rank(ascending=False).mean(axis=1).dropna()
        others = ranks.drop(ranks.idxmin())
        lines.append(
            {
                "family": family,
                "metrics": ", ".join(families[family]),
                "winner": ranks.idxmin(),
                "mean_rank": ranks.min(),
                "second": others.idxmin() if len(others) else "",
                "tau": agreement(-ranks, scores[headline].reindex(ranks.index)) if len(ranks) else np.nan,
            }
        )
    return pd.DataFrame(lines)
