"""Folders of runs: which there are, what they are called, and the names of their classes."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """A job that left a `.hydra` folder and no rows."""

    folder: str
    overrides: str
    last_words: str


class Found(NamedTuple):
    """What lies in the searched folders."""

    row_files: list[Path]
    failures: list[Failure]
    searched: list[Path]


def find_runs(runs: str | Path | Sequence[str | Path]) -> Found:
    """Return the files `rows.parquet` below the given paths or globs, and jobs that left none.

    Raises:
        FileNotFoundError: if there is no `rows.parquet`; says what was searched and how to make one.
    """
    given = [str(path) for path in ([runs] if isinstance(runs, str | Path) else runs)]
    searched = [Path(match) for path in given for match in (sorted(glob.glob(path, recursive=True)) or [path])]
    files = {file for path in searched for file in ([path] if path.is_file() else path.rglob("rows.parquet"))}
    row_files = sorted(file for file in files if file.name == "rows.parquet")
    jobs = sorted({job.parent for path in searched if path.is_dir() for job in path.rglob(".hydra")})
    with_rows = {parent for file in row_files for parent in file.parents}
    lost = [job for job in jobs if job not in with_rows and _is_evaluation(job)]
    failures = [Failure(short_name(job), overrides_of(job), _last_words(job)) for job in lost]
    if not row_files:
        places = ", ".join(f"{path}{'' if path.exists() else ' (does not exist)'}" for path in searched) or "nothing"
        gone = f" {len(lost)} jobs there ended without rows." if lost else ""
        raise FileNotFoundError(
            f"no rows.parquet below: {places}.{gone} Write one with "
            "`diffig-evaluate dataset=... classifier=... method=ig` and give its output folder as runs=..."
        )
    return Found(row_files, failures, searched)


def short_name(path: Path) -> str:
    """Return a path from the working folder, or its last three parts where it lies elsewhere."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return "/".join(path.parts[-3:])


def overrides_of(folder: Path) -> str:
    """Return the words that a run was started with, empty where it does not say."""
    loaded = _yaml(folder / ".hydra" / "overrides.yaml")
    return " ".join(map(str, loaded)) if isinstance(loaded, list) else ""


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # not there, not UTF-8, not YAML
        return None


def _is_evaluation(folder: Path) -> bool:
    """False for folders of other programs (a training run has no rows either)."""
    found = _yaml(folder / ".hydra" / "hydra.yaml")
    for key in ("hydra", "job", "config_name"):  # of a job that was killed at its start, the file may be cut short
        found = found.get(key) if isinstance(found, dict) else None
    return found is None or found == "evaluate"


def _last_words(folder: Path) -> str:
    for log in sorted(folder.glob("*.log")):
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        if lines:
            return lines[-1][:300]
    return ""


def class_names(folders: Iterable[str | Path]) -> list[str]:
    """Return the names that the runs of one dataset have left in `classes.json`, by label.

    Empty where no run has any, and where runs contradict each other.
    """
    found = set()
    for folder in folders:
        try:
            told = json.loads((Path(folder) / "classes.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, list):
            found.add(tuple(map(str, told)))
    return list(found.pop()) if len(found) == 1 else []


def named(names: Sequence[str], label: str) -> str:
    """Return `3 cat` for the label `3`; the label alone where it has no name of its own."""
    known = label.isdecimal() and int(label) < len(names)
    return f"{label} {names[int(label)]}" if known and names[int(label)] != label else label
