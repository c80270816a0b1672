"""Imports run downwards: every one of them, also those inside functions and for types, against the list of rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "diffig"
OF_PROGRAMS = {"hydra", "omegaconf", "wandb", "matplotlib"}


def rooms() -> list[str]:
    """The list of docs/architecture.md, from the top down."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    (block,) = re.findall(r"(?:^    cli .*\n)(?:^    .*\n)+", text, re.M)
    return [room for line in block.splitlines() for room in re.split(r"\s{2,}", line.strip())[0].split(", ")]


def room_of(module: str) -> str:
    """`paths` of `diffig.paths.path`."""
    return module.split(".")[1]


def sources() -> Iterator[tuple[str, ast.AST]]:
    """Every file but the root's own, by its place."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.parent != PACKAGE or file.stem != "__init__":
            yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text())


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the full name of each module or room that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively"
            names = [alias.name for alias in node.names] if node.module == "diffig" else [None]
            yield from ((node.lineno, f"{node.module}.{name}" if name else str(node.module)) for name in names)


def upward(place: str, tree: ast.AST, order: list[str]) -> list[str]:
    """The imports of one file that do not run downwards."""
    own = order.index(Path(place).parts[0].removesuffix(".py"))
    found = [(line, name) for line, name in imported(tree) if name.startswith("diffig.")]
    return [f"{place}:{line} imports {name}" for line, name in found if order.index(room_of(name)) < own]


def test_every_room_is_in_the_list_once() -> None:
    there = {file.stem for file in PACKAGE.glob("*.py")} | {init.parent.name for init in PACKAGE.glob("*/__init__.py")}
    assert sorted(rooms()) == sorted(there - {"__init__"})


def test_imports_run_downwards() -> None:
    order = rooms()
    assert not [wrong for place, tree in sources() for wrong in upward(place, tree, order)]


def test_an_import_upwards_is_seen_wherever_it_stands() -> None:
    code = (
        "if TYPE_CHECKING:\n    from diffig.attribution.base import Attributor\ndef f():\n    import diffig.cli.train"
    )
    assert len(upward("paths/path.py", ast.parse(code), rooms())) == 2


def test_methods_know_nothing_of_the_programs() -> None:
    order = rooms()
    below = {*order[order.index("config") + 1 :]} - {"io"}  # which writes a figure that it is handed
    files = [(place, tree) for place, tree in sources() if Path(place).parts[0].removesuffix(".py") in below]
    assert len(files) > 150
    for place, tree in files:
        assert not {name.split(".")[0] for _, name in imported(tree)} & OF_PROGRAMS, place


def test_every_folder_is_a_package() -> None:
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]
