"""A finished report on a dashboard: one run with the tables, the figures and the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from diffig.tracking.identity import build_logger

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from diffig.report import Report

TABLES = ("ranked", "paired", "reliability")


def send_report(cfg: DictConfig, report: Report) -> None:
    """Send a report to one W&B run of the job type `report`, in the group of its sweep, and end the run.

    `ranked`, `paired` and `reliability` are tables, `figures/<name>` pictures with captions, `report` is the page.
    The winner and its mean stand in the summary.

    Args:
        cfg: of `diffig-report`, with `dirs.output` the report's folder.
        report: what was built.
    """
    import wandb

    logger = build_logger(cfg, "report", identity_of(report))
    if not logger:
        return
    run = logger.experiment
    run.log(content_of(report))
    for place, c in enumerate(report.comparisons, start=1):
        start = f"{place}/" if len(report.comparisons) > 1 else ""
        best = c.ranked[c.metric].iloc[0]
        said = {"comparison": c.name, "winner": c.winner, "reference": c.reference, c.metric: float(best["mean"])}
        run.summary.update({f"{start}{key}": value for key, value in said.items()})
    wandb.finish()


def identity_of(report: Report) -> dict[str, Any]:
    """Return name, tags and, where the rows are from one sweep, the group."""
    parts = [part for c in report.comparisons for part in c.name.split(" · ")]
    known: dict[str, Any] = {
        "name": f"report {report.folder.resolve().name}",
        "tags": ["report", *dict.fromkeys(parts)],
    }
    return known | ({"group": report.sweeps[0]} if len(report.sweeps) == 1 else {})


def content_of(report: Report) -> dict[str, Any]:
    """Return tables, figures and page as what W&B logs, by name."""
    import wandb
    from PIL import Image

    from diffig.report.files import long_table

    told: dict[str, Any] = {}
    for kind in TABLES:
        table = long_table(report.comparisons, kind)
        if len(table):
            told[kind] = wandb.Table(dataframe=table)
    for place, c in enumerate(report.comparisons, start=1):
        for figure in c.figures:
            name = f"figures/{figure.name}" if len(report.comparisons) == 1 else f"figures/{figure.name}-{place}"
            told[name] = wandb.Image(Image.open(io.BytesIO(figure.png())), caption=figure.caption)
    if report.html is not None:
        told["report"] = wandb.Html(io.StringIO(report.html.read_text(encoding="utf-8")), inject=False)
    return told
