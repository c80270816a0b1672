"""Do the kinds of metrics agree: who wins in each, and how alike their rankings are."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.ranks import agreement
from diffig.report.wording import judges_methods, lower_is_better, said_of

if TYPE_CHECKING:
    import pandas as pd

# What rows of before `metrics.json` are read by, patterns of `fnmatch`; the first family that matches has the metric.
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
    "axioms and path": ("*gap*", "absolute_mass", "cancelled_mass", "completeness*"),
}
OTHER = "other"


def family_of(metric: str) -> str:
    """Return the family of a metric: as the metric itself has said it, of older rows judged by its name."""
    said = said_of(metric)
    if said is not None:
        return said.family
    for family, patterns in FAMILIES.items():
        if any(fnmatch(metric, pattern) for pattern in patterns):
            return family
    return OTHER


def families_in_order(names: Iterable[str]) -> list[str]:
    """Return each family once: those of the metrics here first, then a user's own, what has none last."""
    found = set(names)
    return [*(name for name in FAMILIES if name in found), *sorted(found - {*FAMILIES, OTHER}), *({OTHER} & found)]


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
    for family in families_in_order(families):
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
