"""What became of the jobs of a sweep, said once at its end, however it ended.

Every job leaves `status` in its folder: running, done, failed or interrupted. A job that is killed cannot say so: it
stays running.
"""

from __future__ import annotations

import functools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

from diffig.cli.ranks import is_first_rank
from diffig.io import write_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

_started: list[Path] = []


class SweepReport(Callback):
    """Notes the folder of a sweep when it starts; `reports_sweeps` says how it went."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder; the process that starts the sweep is asked, not the jobs."""
        _started.append(Path(config.hydra.sweep.dir))


def reports_sweeps(program: Callable[[], Any]) -> Callable[[], Any]:
    """Return the program that also says which jobs of its sweep failed."""

    @functools.wraps(program)
    def reported() -> Any:
        _started.clear()
        try:
            return program()
        finally:
            for folder in _started:
                print(report(folder), end="", file=sys.stderr)

    return reported


def mark(folder: Path, status: str) -> None:
    """Say what became of the job in this folder; one process of a job speaks for all."""
    if is_first_rank():
        write_text(folder / "status", status, durable=False)
        if status == "running":  # what an earlier start has left
            (folder / "error.txt").unlink(missing_ok=True)


def report(folder: Path) -> str:
    """Return a line for each job of a sweep that is not done, and what to do next; empty where all are."""
    jobs = sorted((file.parent for file in folder.glob("*/status")), key=lambda job: (len(job.name), job.name))
    lines = []
    for job in jobs:
        status = (job / "status").read_text()
        if status == "failed":
            said = (job / "error.txt").read_text().split("\n")[0] if (job / "error.txt").is_file() else "see its log"
            lines.append(f"  job {job.name} failed: {said} ({job / 'error.txt'})")
        elif status == "interrupted":
            lines.append(f"  job {job.name} was interrupted")
        elif status != "done":
            lines.append(
                f"  job {job.name} is still running, or was killed (out of memory or time?): see its log in {job}"
            )
    if not lines:
        return ""
    head = f"sweep {folder}: {len(jobs) - len(lines)} of {len(jobs)} jobs are done"
    resume = f"the same command with {word('hydra.sweep.dir', folder)} does what is missing"
    return "\n".join([head, *lines, resume, ""])


def word(key: str, value: object) -> str:
    """Return `key=value` to be pasted into a command line, quoted for Hydra's grammar and for the shell's."""
    plain = str(value)
    if not re.fullmatch(r"[\w./+-]+", plain, re.ASCII):
        quoted = re.sub(r'(\\*)(?="|$)', r"\1\1", plain).replace('"', r"\"").replace("${", r"\${")
        plain = f'"{quoted}"'
    return shlex.quote(f"{key}={plain}")
