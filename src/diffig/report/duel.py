"""Is a better than b, by how much, how sure: two settings in every metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffig.evaluation.statistics import holm
from diffig.report.ranking import find_reference, pair_with
from diffig.report.wording import cell, count, estimate, judges_methods, lower_is_better, number, p_text

if TYPE_CHECKING:
    import pandas as pd


def duel(rows: pd.DataFrame, ranked: dict[str, pd.DataFrame], pair: tuple[str, str], n: int, seed: int) -> list[str]:
    """Return sentences that answer it, the headline metric (the first of `ranked`) first; Holm over all metrics.

    Metrics that say the same of every method are left out.

    Args:
        rows: of one comparison, with the column `setting`.
        ranked: ranked table of each metric.
        pair: two methods or settings; a method stands for its best setting in the headline metric.
        n, seed: of bootstrap and permutation test.

    Raises:
        ValueError: an unknown name, or the same setting twice.
    """
    headline = next(iter(ranked))
    a, b = (find_reference(ranked[headline], name) for name in pair)
    if a == b:
        raise ValueError(f"compare={','.join(pair)} names {a!r} twice; name two settings")
    both = rows[rows["setting"].isin([a, b])]
    asked = [m for m, table in ranked.items() if judges_methods(m) and {a, b} <= set(table["setting"])]
    found = {metric: pair_with(both, metric, b, n, seed) for metric in asked}
    # Of a metric that only one of them has, such as the gap of a heat map, there is nothing to say.
    pairs = {metric: table.iloc[0] for metric, table in found.items() if len(table) and table.iloc[0]["images"] > 0}
    corrected = holm([line["p"] for line in pairs.values()])
    sentences = []
    for (metric, line), p in zip(pairs.items(), corrected, strict=True):
        lower = lower_is_better(metric)
        sure = p < 0.05 and (line["low"] > 0 or line["high"] < 0)
        better = (line["difference"] < 0) == lower
        said = f"{a} is {'better' if better else 'worse'} than {b}" if sure else f"{a} and {b} cannot be told apart"
        sentences.append(
            f"{metric}{' (lower is better)' if lower else ''}: {said}, difference"
            f" {estimate(line['difference'], line['low'], line['high'], signed=True)}, better on"
            f" {cell('win_rate', line['win_rate'])} of {line['images']} images, p {p_text(p)}"
            f" (Holm, {len(pairs)} metrics)."
        )
    costs = [ranked[headline].set_index("setting").loc[name] for name in (a, b)]
    passes = [
        f"{count(c['backward_images'])} backward images, {count(c['forward_images'])} forward images" for c in costs
    ]
    prices = [f"{said}, {number(c['seconds'])} s" for said, c in zip(passes, costs, strict=True)]
    return [*sentences, f"Price for one image: {a} {prices[0]}; {b} {prices[1]}."]
