"""What the README sweeps can be built: every setting of its command, not its first alone."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import torch

from diffig.config import build, build_method, compose

README = (Path(__file__).parents[2] / "README.md").read_text()
SWEEPS = [line for line in re.findall(r"^diffig-evaluate -m (.+)$", README, re.MULTILINE) if "guidance." in line]
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))


def settings(line: str) -> list[list[str]]:
    """The words of each job; of an interval its ends."""
    words = [word for word in shlex.split(line, comments=True) if "hydra" not in word and "compute=" not in word]
    each = []
    for word in words:
        key, value = word.split("=", 1)
        value = re.sub(r"interval\((.+)\)", r"\1", value)
        each.append([f"{key}={one}" for one in value.split(",")])
    return [list(job) for job in itertools.product(*each)]


@pytest.mark.parametrize("line", SWEEPS)
def test_every_setting_of_a_sweep_is_built(line: str) -> None:
    for words in settings(line):
        cfg = compose("evaluate", words)
        assert f"method={build_method(cfg, build(cfg.objective)(NETWORK), build(cfg.baseline)).name}" in words


def test_there_are_sweeps() -> None:
    assert len(SWEEPS) == 2
