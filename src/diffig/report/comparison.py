"""One dataset, one classifier and one protocol: tables, figures and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from diffig.report.equal_paths import equal_paths
from diffig.report.families import family_table
from diffig.report.figures import draw
from diffig.report.figures.canvas import Figure, Style, styles
from diffig.report.notes import disagreements_of, every_image, losses_of, notices_of, overview_of
from diffig.report.provenance import provenance
from diffig.report.ranking import find_reference, pair_with, rank_settings
from diffig.report.reading import curves_of, read_curves
from diffig.report.reliability import reliability_table
from diffig.report.runs import class_names
from diffig.report.settings import in_common
from diffig.report.verdict import duel, verdict
from diffig.report.wording import arrow, judges_methods

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Comparison:
    """All tables, figures and words about one dataset, one classifier and one protocol."""

    name: str
    protocol: str
    metric: str
    metrics: list[str]
    reference: str
    ranked: dict[str, pd.DataFrame]
    paired: dict[str, pd.DataFrame]
    headline: str
    sentences: list[str]
    facts: list[tuple[str, str, str]]
    disagreements: list[dict[str, str]]
    winner: str
    rival: str
    notices: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    look: dict[str, Style] = field(default_factory=dict)
    overview: pd.DataFrame | None = None
    families: pd.DataFrame | None = None
    images: pd.DataFrame | None = None
    duel: list[str] = field(default_factory=list)
    provenance: str = ""
    losses: str = ""
    reliability: pd.DataFrame | None = None
    equal_paths: pd.DataFrame | None = None
    names: list[str] = field(default_factory=list)
    folders: dict[str, list[str]] = field(default_factory=dict)
    arrows: dict[str, str] = field(default_factory=dict)
    common: str = ""

    @property
    def note(self) -> str:
        """What stands below every table: protocol, images, budget and versions."""
        return f"Protocol: {self.protocol}. {self.provenance}." if self.protocol else f"{self.provenance}."


def compare(
    name: str,
    rows: pd.DataFrame,
    files: Sequence[Path],
    metric: str,
    wanted: str | None,
    n: int,
    seed: int,
    with_figures: bool,
    pair: tuple[str, str] | None = None,
) -> Comparison:
    """Return the comparison of `rows` by `metric` against the setting or method `wanted`; `pair` goes by every metric.

    Beside the files of rows lie their curves.

    Raises:
        LookupError: if these rows have no such reference or no such pair.
    """
    metrics = [metric, *sorted(m for m in rows["metric"].unique() if m != metric)]
    ranked = {m: rank_settings(rows, m, n, seed) for m in metrics}
    try:
        reference = find_reference(ranked[metric], wanted)
        sides = duel(rows, ranked, pair, n, seed) if pair else []
    except ValueError as error:
        raise LookupError(str(error)) from error
    judging = [m for m in metrics if judges_methods(m) and reference in set(ranked[m]["setting"])]
    paired = {m: pair_with(rows, m, reference, n, seed) for m in judging}
    top = ranked[metric]
    look = styles(list(top["method"]))
    best = top[~top["method"].duplicated()]
    winner = top.iloc[0]["setting"]
    rival = reference if reference != winner or len(top) == 1 else top.iloc[1]["setting"]
    title, sentences, facts = verdict(rows, top, paired[metric], metric, reference, n, seed)
    protocol = str(rows["protocol"].iloc[0])
    shown = []
    if with_figures:
        curves = _curves_of_best(files, rows, list(best["setting"]))
        shown = draw(rows, curves, ranked, paired[metric], metric, reference, look, n, seed)
    suffix = f" Protocol: {protocol}." if protocol else ""
    names = class_names(rows["run"].unique())
    images = every_image(rows, metric, list(best["setting"]))
    pictured = [winner, rival, *(images.columns[3:-1] if images is not None else [])]
    figures = [figure._replace(caption=figure.caption + suffix) for figure in shown]
    return Comparison(
        name=name,
        protocol=protocol,
        metric=metric,
        metrics=metrics,
        reference=reference,
        ranked=ranked,
        paired=paired,
        headline=title,
        sentences=sentences,
        facts=facts,
        disagreements=disagreements_of(rows, metric, winner, rival),
        winner=winner,
        rival=rival,
        notices=notices_of(rows, top, metric, n),
        figures=figures,
        look=look,
        overview=overview_of(best, ranked, metrics),
        families=family_table(ranked, list(best["setting"]), metric),
        duel=sides,
        images=images,
        provenance=provenance(rows),
        losses=losses_of(rows, metric, winner, rival, names),
        reliability=reliability_table(rows, list(best["setting"]), metrics),
        equal_paths=equal_paths(rows, top, metric, n, seed),
        names=names,
        folders=folders_of(rows, pictured),
        arrows={m: arrow(m) for m in metrics},
        common=in_common(rows),
    )


def _curves_of_best(files: Sequence[Path], rows: pd.DataFrame, settings: list[str]) -> pd.DataFrame | None:
    """The curves of a few settings, for those of all would not fit into memory."""
    own = rows[rows["setting"].isin(settings)]
    runs = set(own["run"])
    return curves_of(read_curves([file for file in files if str(file.parent) in runs], own), own)


def folders_of(rows: pd.DataFrame, settings: list[str]) -> dict[str, list[str]]:
    """Return the run folders of each setting, by seed; those that hold several settings belong to none."""
    own = rows[["setting", "seed", "run"]].drop_duplicates().sort_values("seed", kind="stable")
    alone = own[own.groupby("run")["setting"].transform("nunique") == 1]
    return {name: list(dict.fromkeys(alone.loc[alone["setting"] == name, "run"])) for name in dict.fromkeys(settings)}
