"""What files of rows hold, before their rows are read: a report reads one comparison at a time, so that it fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diffig.evaluation.rows import read_table
from diffig.report.reading import read_rows
from diffig.report.settings import COMPARISON

Key = tuple[str, str, str]


class Contents(NamedTuple):
    """Files by data set, classifier and protocol, in order of these; the metrics, and the sweeps they are from."""

    files: dict[Key, list[Path]]
    metrics: list[str]
    sweeps: list[str]

    @property
    def protocols(self) -> list[str]:
        """The protocols, each once; empty is none."""
        return sorted({protocol for _, _, protocol in self.files})


def contents_of(files: Sequence[Path]) -> Contents:
    """Return what the files hold, of five of their columns.

    Raises:
        ValueError: a file is damaged, of a later diffig, or lacks columns.
    """
    found: dict[Key, list[Path]] = {}
    metrics: set[str] = set()
    sweeps: set[str] = set()
    for file in files:
        table = read_table(file, {*COMPARISON, "metric", "sweep"})
        if not {"dataset", "classifier", "metric"} <= set(table.columns):
            read_rows([file])  # says what it lacks
        table["protocol"] = table["protocol"].fillna("").astype(str) if "protocol" in table else ""
        for key in table[COMPARISON].dropna().drop_duplicates().itertuples(index=False, name=None):
            found.setdefault(key, []).append(file)
        metrics.update(table["metric"].dropna().unique())
        sweeps.update(str(name) for name in (table["sweep"].dropna().unique() if "sweep" in table else ()) if name)
    return Contents({key: found[key] for key in sorted(found)}, sorted(metrics), sorted(sweeps))
