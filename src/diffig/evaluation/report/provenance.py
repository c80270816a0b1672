"""Where the numbers of a table come from: protocol, images, budget and versions, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NAMED = ("diffig", "torch")


def provenance(rows: pd.DataFrame) -> str:
    """Return ``40 images, 128 steps; diffig 0.1.0 (2d30800), torch 2.15.0``; what is not known is not said.

    Args:
        rows: of one comparison, with the columns `setting` and `run` (a folder).
    """
    counts = sorted(set(rows.groupby("setting")["image_index"].nunique().tolist()))
    said = [f"{_span(counts)} image{'' if counts[-1] == 1 else 's'}"]
    steps = sorted({float(value) for value in rows["steps"].dropna()})
    if steps:
        said.append(f"{_span(steps)} steps")
    versions = _versions(rows)
    return ", ".join(said) + (f"; {versions}" if versions else "")


def _span(values: list[Any]) -> str:
    if len(values) <= 3:
        return " or ".join(f"{value:,g}" for value in values)
    return f"{values[0]:,g} to {values[-1]:,g}"


def _versions(rows: pd.DataFrame) -> str:
    """Versions of the packages that are named, and of a checkout the commits, all of them where runs differ."""
    found: dict[str, dict[str, dict[str, None]]] = {name: {} for name in NAMED}
    for run in rows["run"].unique():
        try:
            told = json.loads((Path(run) / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        told = told if isinstance(told, dict) else {}
        packages = told.get("packages") or told
        packages = packages if isinstance(packages, dict) else {}
        for name in NAMED:
            if packages.get(name):
                commits = found[name].setdefault(str(packages[name]), {})
                if name == NAMED[0] and (commit := _commit(told.get("git"))):
                    commits[commit] = None
    said = []
    for name, versions in found.items():
        each = [f"{version} ({_few([*commits])})" if commits else version for version, commits in versions.items()]
        said += [f"{name} {' and '.join(each)}"] if each else []
    return ", ".join(said)


def _commit(git: Any) -> str:
    """Which state of a checkout it was, as version numbers change rarely."""
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return f"{str(git['commit'])[:7]}{'' if git.get('clean', True) else ' with changes'}"


def _few(commits: list[str]) -> str:
    return ", ".join(commits) if len(commits) <= 3 else f"{len(commits)} commits"
