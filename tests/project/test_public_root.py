"""What `import diffig` offers: quick to import, listed, and known to type checkers by its types."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import diffig
import diffig.attribution

PACKAGE = Path(diffig.__file__).parent
SNIPPET = """
import diffig
from diffig import Classifier
reveal_type(diffig.IntegratedGradients)
reveal_type(diffig.metrics.MetricSuite)
reveal_type(diffig.credit.Agreeing)
reveal_type(diffig.from_config)
reveal_type(diffig.__version__)
reveal_type(Classifier)
def asked(method: diffig.Attributor, notebook: diffig.DiffIG) -> None:
    reveal_type(method.attribute(0, return_convergence_delta=True))
    reveal_type(notebook.attribute("cat.jpg", return_convergence_delta=True))
diffig.IntegratedGradient
"""


def test_names_are_listed_and_each_resolves() -> None:
    assert set(diffig.__all__) <= set(dir(diffig))
    for name in diffig.__all__:
        assert getattr(diffig, name) is not None, name
    assert set(diffig.attribution.__all__) <= set(diffig.__all__), "every method has a name at the root"
    assert diffig.LatentDiffIG is diffig.attribution.LatentDiffIG
    assert isinstance(diffig.metrics, ModuleType)
    assert diffig.credit.Agreeing.__module__ == "diffig.credit.agreeing"
    with pytest.raises(AttributeError, match=r"'IntegratedGradient'; it offers .*IntegratedGradients"):
        _ = diffig.IntegratedGradient


def test_the_version_is_the_distributions() -> None:
    assert diffig.__version__ == version("diffig")


def test_what_a_type_checker_reads_is_what_python_gives() -> None:
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    declared = {
        alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(declared) == set(diffig.__all__)
    for name, home in declared.items():
        given = getattr(diffig, name)
        if home is None:
            assert given is sys.modules[f"diffig.{name}"]
            continue
        function = getattr(sys.modules[f"diffig.{home}"], name)
        if isinstance(given, ModuleType):  # a room that is called like its function
            assert given is sys.modules[f"diffig.{name}"]
            given = given.__call__
        assert given is function, f"{name} is not that of {home}"


def test_a_room_can_be_called_whoever_was_first() -> None:
    """It is the module for `import diffig.report as page`, and the function for `diffig.report(rows)`."""
    for first in ("import diffig.report as page", "import diffig; page = diffig.report", "from diffig import report"):
        told = "print(diffig.report is sys.modules['diffig.report'], callable(diffig.report))"
        script = f"{first}; import diffig, sys; {told}"
        call = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
        assert call.stdout.split() == ["True", "True"], first


def test_the_import_alone_brings_nothing_heavy_and_a_name_only_its_room() -> None:
    script = (
        "import sys, diffig; dir(diffig); before = 'torch' in sys.modules; diffig.compose;"
        "print(before, 'torch' in sys.modules, diffig.ScoreFunction.__name__, 'torch' in sys.modules)"
    )
    call = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert call.stdout.split() == ["False", "False", "ScoreFunction", "True"]


def test_a_type_checker_knows_the_root(tmp_path: Path) -> None:
    """Without other packages, whose types take a minute to read and do not matter here."""
    pytest.importorskip("mypy")
    assert (PACKAGE / "py.typed").is_file()
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    words = ("--strict", "--follow-imports=silent", "--no-site-packages", "--ignore-missing-imports", "--config-file=")
    call = subprocess.run(
        [sys.executable, "-m", "mypy", *words, f"--cache-dir={tmp_path / 'cache'}", str(snippet)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    revealed = [line.split("Revealed type is ")[1] for line in call.stdout.splitlines() if "Revealed" in line]
    assert len(revealed) == 8, call.stdout + call.stderr
    assert not [line for line in revealed if line == '"Any"'], revealed
    assert {line.lower() for line in revealed[-2:]} == {'"tuple[any, any]"'}, "one of two, by what is asked for"
    assert revealed[0].endswith('diffig.attribution.ig.IntegratedGradients"')
    assert 'has no attribute "IntegratedGradient"' in call.stdout
