"""How the metrics of a run are read, as they declare it, in `metrics.json` beside its rows: reports read it there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffig.io import write_json
from diffig.renamed import current_metric

if TYPE_CHECKING:
    from diffig.metrics import MetricInfo

FILE = "metrics.json"
FORMAT_VERSION = 1


class Reading(NamedTuple):
    """How the values of one metric are read.

    Attributes:
        direction: `higher` or `lower` values are the good ones; `none`: they judge no method.
        family: metrics that ask the same question share it.
        value_range: lowest and highest possible value.
        wording: one sentence for a reader.
    """

    direction: str
    family: str
    value_range: tuple[float, float] = (-math.inf, math.inf)
    wording: str = ""


def told(lines: Iterable[MetricInfo]) -> dict[str, Any]:
    """Return what `metrics.json` says; an end of a range that is infinite is null."""
    metrics = {
        line.name: {
            "direction": line.direction,
            "family": line.family,
            "range": [end if math.isfinite(end) else None for end in line.value_range],
            "wording": line.wording,
        }
        for line in lines
    }
    return {"format_version": FORMAT_VERSION, "metrics": metrics}


def write_metric_info(output: Path, lines: Iterable[MetricInfo]) -> None:
    """Write `metrics.json` into a run's folder."""
    write_json(output / FILE, told(lines))


def read_metric_info(folders: Iterable[Path]) -> dict[str, Reading]:
    """Return what the runs in these folders say of their metrics; runs from before `metrics.json` say nothing.

    Raises:
        ValueError: a file of a later format, or two runs that disagree on which values are the good ones.
    """
    found: dict[str, Reading] = {}
    said_by: dict[str, Path] = {}
    for folder in folders:
        file = Path(folder) / FILE
        if not file.is_file():
            continue
        for name, reading in _read(file).items():
            if name in found and found[name].direction != reading.direction:
                raise ValueError(
                    f"of the metric {name}, {said_by[name]} says that {_good(found[name])} and {file} that "
                    f"{_good(reading)}: these are two metrics; rename one, or report on the runs apart"
                )
            found.setdefault(name, reading)
            said_by.setdefault(name, file)
    return found


def _read(file: Path) -> dict[str, Reading]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    version = content.get("format_version", 1)
    if version > FORMAT_VERSION:
        raise ValueError(f"{file} has format {version}, this diffig knows {FORMAT_VERSION}; update diffig to read it")
    return {
        current_metric(name): Reading(
            said["direction"],
            said["family"],
            (_end(said["range"][0], -math.inf), _end(said["range"][1], math.inf)),
            said.get("wording", ""),
        )
        for name, said in content["metrics"].items()
    }


def _end(end: float | None, unbounded: float) -> float:
    return unbounded if end is None else float(end)


def _good(reading: Reading) -> str:
    return "it judges no method" if reading.direction == "none" else f"{reading.direction} is better"
