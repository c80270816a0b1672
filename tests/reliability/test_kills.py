"""Killed at random moments: no file that is cut, the same command goes on, and it ends as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).with_name("kill.py")
ALL = (
    "classifier",
    "autoencoder",
    "image_diffusion",
    "path_diffusion",
    "latent_diffusion",
    "path_score",
    "path_labels",
)
PROGRAMS = ("evaluate", "explain", "report")


def kills(count: int, folder: Path, *names: str, seed: int = 0) -> None:
    words = ["--kills", str(count), "--seed", str(seed), "--folder", str(folder / "kills"), "--only", *names]
    call = subprocess.run([sys.executable, str(KILL), *words], capture_output=True, text=True, timeout=1200)
    assert call.returncode == 0, call.stdout + call.stderr
    told = [json.loads(line) for line in call.stdout.splitlines() if line.startswith("{")]
    assert [line["case"] for line in told] == list(names)
    assert all(line["kills"] == count for line in told)


@pytest.mark.slow
def test_a_few_kills_of_every_program(tmp_path: Path) -> None:
    kills(2, tmp_path, "path_diffusion", *PROGRAMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ALL, *PROGRAMS])
def test_twenty_kills(name: str, tmp_path: Path) -> None:
    kills(20, tmp_path, name, seed=1)
