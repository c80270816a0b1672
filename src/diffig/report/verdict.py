"""Who is better, by how much, how sure: the verdict over all settings, and two of them in every metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffig.evaluation.statistics import holm
from diffig.report.ranking import find_reference, pair_with
from diffig.report.wording import against, cell, count, estimate, judges_methods, lower_is_better, number, p_text

if TYPE_CHECKING:
    import pandas as pd


OURS = "diffig"  # methods of this project, in whatever case; every other winner is a competitor


def verdict(
    rows: pd.DataFrame, top: pd.DataFrame, pairs: pd.DataFrame, metric: str, reference: str, n: int, seed: int
) -> tuple[str, list[str], list[tuple[str, str, str]]]:
    """Return title, sentences and facts (name, number, remark): who wins, by how much, how sure, at what price."""
    best, anchor = top.iloc[0], top[top["setting"] == reference].iloc[0]
    ours = str(best["method"]).lower().startswith(OURS)
    value = estimate(best["mean"], best["low"], best["high"])
    sentences = [f"`{best['setting']}` has the best {metric}: {value} on {best['images']} images."]
    facts = [(f"{metric} of the winner", number(best["mean"]), f"95 % {_span(best['low'], best['high'])}")]
    clear = list(pairs.loc[pairs["verdict"] == "better", "setting"])
    if best["setting"] == reference and not clear:
        title = f"Nothing beats the reference {reference}" if len(top) > 1 else f"{reference} alone, nothing to compare"
        sentences.append("This is the reference itself." if len(top) > 1 else "It is the only setting in these runs.")
    else:
        # The best mean need not be the surest difference: whoever is clearly better is named.
        named = best["setting"] if best["setting"] in clear or not clear else clear[0]
        pair = pairs[pairs["setting"] == named].iloc[0]
        method = top.loc[top["setting"] == named, "method"].iloc[0]
        beaten = anchor["method"] if anchor["method"] != method else reference
        title = f"{method} beats {beaten} in {metric}" if clear else f"No setting is clearly better than {beaten}"
        if clear:
            sentences.append(_clear_ones(clear, len(pairs), reference))
        if best["setting"] not in (named, reference):
            of_best = pairs[pairs["setting"] == best["setting"]].iloc[0]
            sentences.append(f"The best mean alone {against(of_best, f'`{reference}`')}.")
        it = "It" if named == best["setting"] else f"`{named}`"
        sentences.append(
            f"{it} {against(pair, f'`{reference}`')} "
            f"(better on {cell('win_rate', pair['win_rate'])} of {pair['images']} common images, "
            f"p {_equals(pair['p_holm'])} after Holm's correction for {len(pairs)} comparisons)."
        )
        facts.append(
            (
                f"difference to {reference}",
                number(pair["difference"], signed=True),
                f"95 % {_span(pair['low'], pair['high'], True)}",
            )
        )
        facts.append(("wins image by image", cell("win_rate", pair["win_rate"]), f"of {pair['images']} common images"))
    others = top[top["method"] != best["method"]]
    if len(others) and others.iloc[0]["setting"] != reference:
        second = others.iloc[0]["setting"]
        duel = pair_with(rows[rows["setting"].isin([best["setting"], second])], metric, second, n, seed).iloc[0]
        sentences.append(f"The best setting of another method is `{second}`; the winner {against(duel, 'it')}.")
    ratio = best["backward_images"] / anchor["backward_images"] if anchor["backward_images"] > 0 else np.nan
    forwards = best["forward_images"] / anchor["forward_images"] if anchor["forward_images"] > 0 else np.nan
    passes = [f"{count(best['backward_images'])} backward images"]
    passes += [f"{count(best['forward_images'])} forward images"] if np.isfinite(best["forward_images"]) else []
    price = f"{', '.join(passes)} and {number(best['seconds'])} s per image"
    if ratio > 0 and best["setting"] != reference:
        price += f", {number(ratio)} times the backward images of `{reference}`"
        price += f" and {number(forwards)} times its forward images" if np.isfinite(forwards) else ""
    sentences.append(f"Price: {price}.")
    remark = f"{count(anchor['backward_images'])} for {reference}" if best["setting"] != reference else "the reference"
    facts.append(("backward images per image", count(best["backward_images"]), remark))
    if np.isfinite(best["forward_images"]):
        remark = (
            f"{count(anchor['forward_images'])} for {reference}" if best["setting"] != reference else "the reference"
        )
        facts.append(("forward images per image", count(best["forward_images"]), remark))
    if not ours:
        own = top[top["method"].str.lower().str.startswith(OURS)]
        standing = (
            f"the best DiffIG setting, `{own.iloc[0]['setting']}`, is number {own.iloc[0]['rank']} of {len(top)} "
            f"({estimate(own.iloc[0]['mean'], own.iloc[0]['low'], own.iloc[0]['high'])})"
            if len(own)
            else "no DiffIG method was run"
        )
        sentences.append(f"The winner is not a DiffIG method: {standing}.")
    if len(top) > 2:
        sentences.append(
            f"The winner was chosen among {len(top)} settings on these same images, so its lead is optimistic; "
            "confirm it on other images."
        )
    return title, sentences, facts


def _clear_ones(clear: list[str], many: int, reference: str, most: int = 6) -> str:
    """Which settings are clearly better than the reference, after the correction for all that were compared."""
    names = ", ".join(f"`{name}`" for name in clear[:most])
    more = f" and {len(clear) - most} more" if len(clear) > most else ""
    verb = "is" if len(clear) == 1 else "are"
    return f"{len(clear)} of {many} settings {verb} clearly better than `{reference}`: {names}{more}."


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _span(low: float, high: float, signed: bool = False) -> str:
    return f"{number(low, signed)} to {number(high, signed)}"


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
