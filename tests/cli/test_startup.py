"""Help and configuration come at once: they import nothing heavy."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffig

HEAVY = ("torch", "lightning", "diffusers", "pandas", "matplotlib", "wandb", "sklearn", "torchvision")
SCRIPT = """
import atexit, json, sys
atexit.register(lambda: print("IMPORTED", json.dumps(sorted(sys.modules)), file=sys.stderr))
from importlib import import_module
main = import_module(f"diffig.cli.{sys.argv.pop(1)}").main
main()
"""


@pytest.mark.parametrize("word", ["--help", "--cfg=job"])
@pytest.mark.parametrize("program", ["evaluate", "train"])
def test_help_and_config_import_nothing_heavy(program: str, word: str, tmp_path: Path) -> None:
    words = ["--cfg", "job"] if word == "--cfg=job" else [word]
    command = [sys.executable, "-c", SCRIPT, program, *words]
    call = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "80"}
    )
    assert call.returncode == 0, call.stderr
    assert "trainer:" in call.stdout
    (line,) = [line for line in call.stderr.splitlines() if line.startswith("IMPORTED")]
    loaded = set(json.loads(line.removeprefix("IMPORTED ")))
    assert "hydra" in loaded
    assert not loaded & set(HEAVY)
    assert not list(tmp_path.iterdir()), "asking leaves nothing behind"


BELOW = ("attribution", "classifiers", "data", "diffusion", "guidance", "metrics", "paths")
OF_PROGRAMS = {"hydra", "omegaconf", "wandb", "matplotlib"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_methods_know_nothing_of_the_programs() -> None:
    package = Path(diffig.__file__).parent
    files = [file for room in BELOW for file in (package / room).rglob("*.py")]
    files += [package / f"{name}.py" for name in ("scores", "baselines", "randomness", "checks")]
    assert len(files) > 40
    for file in files:
        found = set(imports(ast.parse(file.read_text())))
        assert not {name.split(".")[0] for name in found} & OF_PROGRAMS, file
        assert not [name for name in found if name.startswith(("diffig.evaluation", "diffig.cli"))], file
