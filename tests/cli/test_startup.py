"""Help and configuration come at once: they import nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "lightning", "diffusers", "pandas", "matplotlib", "wandb", "sklearn", "torchvision")
SCRIPT = """
import atexit, json, sys
atexit.register(lambda: print("IMPORTED", json.dumps(sorted(sys.modules)), file=sys.stderr))
from importlib import import_module
main = import_module(f"diffig.cli.{sys.argv.pop(1)}").main
main()
"""


def started(folder: Path, program: str, *words: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A program's answer, and what it had imported at its end."""
    command = [sys.executable, "-c", SCRIPT, program, *words]
    call = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "80"}
    )
    (line,) = [line for line in call.stderr.splitlines() if line.startswith("IMPORTED")]
    loaded = set(json.loads(line.removeprefix("IMPORTED ")))
    assert "hydra" in loaded
    return call, loaded & set(HEAVY)


@pytest.mark.parametrize("word", ["--help", "--cfg=job"])
@pytest.mark.parametrize(
    ("program", "key"), [("evaluate", "trainer"), ("train", "trainer"), ("explain", "image"), ("report", "runs")]
)
def test_help_and_config_import_nothing_heavy(program: str, key: str, word: str, tmp_path: Path) -> None:
    call, heavy = started(tmp_path, program, *(["--cfg", "job"] if word == "--cfg=job" else [word]))
    assert call.returncode == 0, call.stderr
    assert key in call.stdout
    assert not heavy
    assert not list(tmp_path.iterdir()), "asking leaves nothing behind"


@pytest.mark.parametrize(
    ("program", "words", "key"),
    [("explain", [], "image"), ("evaluate", ["dataset=npz"], "dataset.path"), ("report", [], "runs")],
)
def test_what_is_not_set_is_asked_for_before_anything_heavy(
    program: str, words: list[str], key: str, tmp_path: Path
) -> None:
    call, heavy = started(tmp_path, program, *words)
    assert call.returncode == 1
    assert f"{key} is not set" in call.stdout + call.stderr
    assert not heavy


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    import pandas as pd

    from diffig.evaluation.rows import COLUMNS

    facts = {**dict.fromkeys(COLUMNS, "a"), "protocol": "diffig", "metric": "diffid", "status": "ok"}
    numbers = dict.fromkeys(("label", "prediction", "n_paths", "steps", "seed", "seconds", "gap"), 0)
    numbers |= {"forward_images": 1.0, "backward_images": 1.0}
    rows = [
        {**facts, **numbers, "method": method, "image_index": index, "value": 0.1 * index + (method == "ig")}
        for method in ("ig", "spi")
        for index in range(4)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    call, heavy = started(tmp_path, "report", f"runs={tmp_path}", "bootstrap.n=100")
    assert call.returncode == 0, call.stdout + call.stderr
    assert (tmp_path / "report.html").is_file()
    assert heavy <= {"pandas", "matplotlib"}
