"""What the project says of itself stays true: its dependencies, its version, the tools of its hooks."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

import diffig

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("no checkout", allow_module_level=True)

Project = dict[str, Any]


@pytest.fixture(scope="module")
def project() -> Project:
    read: Project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return read


def distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported(tree: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    """Top names of what a file imports, and whether only once a function is called."""
    for node in ast.iter_child_nodes(tree):
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], late
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value.split(".")[0], late
        yield from imported(node, inside)


def named(node: Any) -> Iterator[str]:
    """Top names of every `_target_` of a config."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"].split(".")[0]
        for value in node.values():
            yield from named(value)
    elif isinstance(node, list):
        for value in node:
            yield from named(value)


def third_party() -> dict[str, list[tuple[Path, bool]]]:
    """Every third-party module with the files that want it, and whether they do late."""
    found = defaultdict(list)
    for file in (ROOT / "src").rglob("*.py"):
        for name, late in imported(ast.parse(file.read_text())):
            found[name].append((file.relative_to(ROOT), late))
    for file in (ROOT / "conf").rglob("*.yaml"):
        for name in named(yaml.safe_load(file.read_text())):
            found[name].append((file.relative_to(ROOT), True))
    return {name: places for name, places in found.items() if name not in {*sys.stdlib_module_names, "diffig"}}


def test_what_is_imported_is_declared(project: Project) -> None:
    needed = {distribution(line) for line in project["dependencies"]}
    extras = {
        distribution(line)
        for extra, lines in project["optional-dependencies"].items()
        if extra != "dev"
        for line in lines
    }
    homes, modules = packages_distributions(), third_party()
    assert {"torch", "PIL", "yaml", "zennit"} <= set(modules), "what is looked for is found"
    used = set()
    for name, places in modules.items():
        candidates = {distribution(home) for home in homes.get(name, [name])}
        used |= candidates
        if not candidates & needed:
            assert candidates & extras, f"{name} is imported by {places[0][0]} and not declared in pyproject.toml"
            early = [str(file) for file, late in places if not late]
            assert not early, f"{name} belongs to an extra and is imported by {early} before anybody asks for it"
    assert not needed - used, "declared and used by nobody"


def test_each_dependency_has_its_reason_and_a_tested_version(project: Project) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    pinned = {distribution(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    for requirement in project["dependencies"]:
        assert re.search(rf'"{re.escape(requirement)}", +# \w', text), f"{requirement}: say what it is for"
        assert distribution(requirement) in pinned, f"{requirement}: pin it in constraints.txt"


def test_files_name_the_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(cited["version"]) == diffig.__version__
    assert cited["references"][0]["url"].endswith("2606.22314")
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == diffig.__version__


def test_hooks_run_what_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lint = [line.removeprefix("\t$(BIN)/") for line in makefile.split("\nlint:")[1].split("\n\n")[0].splitlines()[1:]]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == lint


def test_forms_ask_for_what_a_report_needs() -> None:
    for name in ("bug", "method"):
        file = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
        form = yaml.safe_load(file.read_text())
        assert {"name", "description", "body"} <= set(form)
        ids = [part["id"] for part in form["body"]]
        assert len(ids) == len(set(ids))
        assert all(word in file.read_text() for word in ("diffig.__version__", "error.txt")), name
        assert {"version", "config"} <= set(ids)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.split("#")[0]).exists(), f"{name}: {target}"
