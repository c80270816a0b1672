"""What tells two results apart.

A *setting* is one way of explaining (method, baseline, paths, steps, guidance strengths); seeds are repeats inside it.
Settings are compared inside a *comparison*: one dataset, one classifier and one protocol, because the values of
different classifiers, images or ways to measure do not share a scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = ["dataset", "classifier", "protocol"]
SETTING = ["objective", "baseline", "method", "n_paths", "steps", "aggregation", "credit", "rule", "nodes", "variant"]
LATER = ["protocol", "aggregation", "credit", "rule", "nodes", "variant"]  # columns that older rows may lack
GUIDANCE = "guidance."
PROPOSALS = "guidance.proposals"
FAITH, COMP, OMEGA = "guidance.lambda_faith", "guidance.lambda_comp", "guidance.omega"
# How the header states a value that all settings share; {1} is the plural's s.
SHARED = {
    "objective": "score {0}",
    "baseline": "baseline {0}",
    "n_paths": "{0} path{1}",
    "steps": "{0} step{1}",
    "aggregation": "aggregation {0}",
    "credit": "credit {0}",
    "nodes": "nodes {0}",
}
NAMED = ("aggregation", "credit", "rule", "nodes")  # empty where a method has none
SCALES = (PROPOSALS, OMEGA)  # columns of the guidance that steer nothing by themselves


def guidance_columns(rows: pd.DataFrame) -> list[str]:
    """Return the names of the columns that hold guidance strengths, in alphabetical order."""
    return sorted(column for column in rows.columns if column.startswith(GUIDANCE))


def label_settings(rows: pd.DataFrame) -> pd.Series:
    """Return a short label for each row: the method plus only the keys that tell its settings apart.

    What all settings of a method share is left to `in_common`. Strengths of 0 are left out; if all are 0 the label says
    `unguided`, whatever the scale omega that multiplies them.
    """
    strengths = guidance_columns(rows)
    keys = [*(name for name in SETTING if name in rows.columns), *strengths]
    unique = rows[keys].drop_duplicates().reset_index(drop=True)
    labels = []
    differing = {method: _differing(siblings) for method, siblings in unique.groupby("method", sort=False)}
    for setting in unique.to_dict("records"):
        telling, shared = differing.get(setting["method"], (set(), []))
        steering = [name for name in strengths if name in telling]
        bare = all(setting[s] == 0 or s == OMEGA or (s == PROPOSALS and setting[s] <= 1) for s in strengths)
        steered = [name for name in steering if setting[name] != 0 and not (bare and name == OMEGA)]
        parts = [f"{name.removeprefix(GUIDANCE)}={setting[name]:g}" for name in steered]
        if steering and not parts:
            parts = ["unguided"] if bare else [f"{name.removeprefix(GUIDANCE)}=0" for name in steering]
        parts += [str(setting[name]) for name in ("baseline", "objective") if name in telling]
        parts += [
            f"{short}={setting[name]:g}" for name, short in (("n_paths", "n"), ("steps", "steps")) if name in telling
        ]
        parts += [
            setting[name] if name == "credit" else f"{name}={setting[name]}"
            for name in NAMED
            if name in keys and setting[name] and name in telling
        ]
        parts += [word for word in str(setting["variant"]).split(" ") if word and word not in shared]
        labels.append(" ".join([str(setting["method"]), *parts]))
    unique["setting"] = labels
    merged = rows[keys].merge(unique, on=keys, how="left")["setting"]
    merged.index = rows.index
    return merged


def _differing(siblings: pd.DataFrame) -> tuple[set[str], list[str]]:
    """The keys in which the settings of one method differ, and the words of their variants that all have."""
    telling = set()
    for name, values in siblings.items():
        known = values[values != ""] if name in NAMED else values
        if known.nunique(dropna=name in NAMED or str(name).startswith(GUIDANCE)) > 1:
            telling.add(str(name))
    return telling, _shared_words(siblings["variant"])


def in_common(rows: pd.DataFrame) -> str:
    """Return what settings share and no label says: of all of them, or of those of one method, where methods differ.

    `score probability (diffig_field: logit) · baseline black · 1 path · 32 steps`; empty where nothing is shared.
    """
    keys = [*(name for name in SETTING if name in rows.columns), *guidance_columns(rows)]
    unique = rows[keys].drop_duplicates()
    said = []
    for name, words in SHARED.items():
        if name in keys:
            text = _by_method({method: own[name] for method, own in unique.groupby("method", sort=False)}, words)
            said += [text] if text else []
    own_words = {str(method): _shared_words(own["variant"]) for method, own in unique.groupby("method", sort=False)}
    everywhere = set.intersection(*map(set, own_words.values()))
    said += sorted(everywhere)
    said += [
        f"{method}: {' '.join(word for word in words if word not in everywhere)}"
        for method, words in own_words.items()
        if set(words) - everywhere
    ]
    return " · ".join(said)


def _by_method(values: dict[Hashable, pd.Series], words: str) -> str:
    """A key's value of most methods, and of which methods it is another; methods whose label says it are left out."""
    own = {str(method): column.iloc[0] for method, column in values.items() if column.nunique(dropna=False) == 1}
    own = {method: value for method, value in own.items() if value != "" and value == value}
    if not own:
        return ""
    alone = len(own) == 1 < len(values)
    usual = None if alone else Counter(own.values()).most_common(1)[0][0]

    def named(value: Any) -> str:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return words.format(text, "" if text == "1" else "s")

    others: dict[Any, list[str]] = {}
    for method, value in own.items():
        if value != usual:
            others.setdefault(value, []).append(method)
    if alone:  # the labels of all other methods say theirs
        return "; ".join(f"{', '.join(methods)}: {named(value)}" for value, methods in others.items())
    exceptions = "; ".join(
        f"{', '.join(methods)}: {value:g}" if isinstance(value, float) else f"{', '.join(methods)}: {value}"
        for value, methods in others.items()
    )
    return named(usual) + (f" ({exceptions})" if exceptions else "")


def _shared_words(variants: pd.Series) -> list[str]:
    """The words that all settings of a method have."""
    each = [str(variant).split(" ") for variant in variants.unique()]
    return [word for word in each[0] if word and all(word in words for words in each)]
