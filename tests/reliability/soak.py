"""Runs the programs again and again in one process and looks whether memory, open files or threads grow.

`python tests/reliability/soak.py` goes on for two hours; `--minutes 10`, `--cycles 40`, `--only evaluate` do less,
`--folder` names where `soak.csv` gets a line for each cycle. A cycle evaluates four methods, trains a path model and a
classifier, explains an image and reports. A process of its own for each run, which is how people use them, hides what
a notebook, a sweep in one process or a long run would meet.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import io
import logging
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.core.global_hydra import GlobalHydra
from kill import CASES, DIGITS, main_of

Words = tuple[str, ...]
EVALUATE = (*DIGITS, "metrics=fast", "trainer=cpu", "limit=6", "batch_size=3", "steps=16", "dirs.cache=cache")
CYCLE: tuple[tuple[str, Words], ...] = (
    *(("evaluate", (*EVALUATE, f"method={name}")) for name in ("ig", "gig", "lrp", "diffig_field")),
    *(("train", CASES[name].words) for name in ("path_diffusion", "classifier")),
    ("explain", (*DIGITS, "image=3", "method=ig,diffig_field", "steps=16", "frames=4", "dirs.cache=cache")),
    ("report", ("runs=run", "output=run/report", "bootstrap.n=200", "formats=[md,csv,html]")),
)
PROGRAMS = ("evaluate", "train", "explain", "report")
ALLOWED = {"memory_mb": 0.5, "open_files": 0.0, "threads": 0.0}  # more with each cycle; memory breathes by some MB


def run(program: str, words: Words) -> None:
    """Run a program inside this process as its command does; RuntimeError with its last words where it fails."""
    GlobalHydra.instance().clear()
    root, said = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    sys.argv, given = [f"diffig-{program}", *words], sys.argv
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main_of(program)()
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"diffig-{program} {' '.join(words)}: {stop.code}\n{said.getvalue()[-3000:]}") from None
    finally:
        for handler in [handler for handler in root.handlers if handler not in before]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        sys.argv = given


def held() -> dict[str, float]:
    """Resident memory in MB, open files and threads of this process, and the tensors and objects it knows of."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what is free goes back, so that what is left is held
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    objects = gc.get_objects()
    return {
        "memory_mb": int(resident) / 1024,
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tensors": sum(issubclass(type(thing), torch.Tensor) for thing in objects),
        "objects": len(objects),
    }


def soak(folder: Path, minutes: float, cycles: int | None, only: Sequence[str] = PROGRAMS) -> pd.DataFrame:
    """Return a line for each cycle; the first is left out, since it imports and fills caches."""
    os.chdir(folder)
    torch.set_num_threads(1)
    lines: list[dict[str, Any]] = []
    begun = time.monotonic()
    while (len(lines) <= cycles) if cycles else (time.monotonic() - begun < 60 * minutes):
        for number, (program, words) in enumerate(CYCLE):
            if program not in only:
                continue
            place = "" if program == "report" else f"run/{program}{number}"
            run(program, (*words, f"hydra.run.dir={place}") if place else words)
        shutil.rmtree("run")
        lines.append({"cycle": len(lines), "seconds": round(time.monotonic() - begun, 1), **held()})
        pd.DataFrame(lines).to_csv("soak.csv", index=False)
        print(", ".join(f"{key} {value:g}" for key, value in lines[-1].items()), file=sys.__stdout__, flush=True)
    return pd.DataFrame(lines[1:])


def growth(lines: pd.DataFrame) -> dict[str, float]:
    """Return what each cycle adds: the medians of the second half and of the first, over half the cycles."""
    half = len(lines) // 2
    first, second = lines[:half], lines[half:]
    return {
        key: (statistics.median(second[key]) - statistics.median(first[key])) / max(1, len(lines) / 2)
        for key in ("memory_mb", "open_files", "threads", "tensors", "objects")
    }


def main() -> int:
    """Soak, print what grows, and return 1 where more does than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--cycles", type=int, default=None)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    grown = growth(soak(folder.resolve(), asked.minutes, asked.cycles, asked.only))
    print("a cycle adds:", ", ".join(f"{key} {value:+.3f}" for key, value in grown.items()))
    return int(any(grown[key] > most for key, most in ALLOWED.items()))


if __name__ == "__main__":
    sys.exit(main())
