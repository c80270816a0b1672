"""What programs answer at once: help that is true, the version, and what the options of a group are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import diffig
from diffig.cli.slips import misspelt
from diffig.config import compose, descriptions_of, keys_of, options_of

Program = Callable[..., int]
NAMES = ("evaluate", "explain", "train", "report")


PAGES: dict[str, str] = {}


@pytest.fixture(params=NAMES)
def page(
    request: pytest.FixtureRequest, program: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> tuple[str, str]:
    """The name of a program and its page, which is asked for once."""
    name = request.param
    if name not in PAGES:
        assert program(name, "--help") == 0
        PAGES[name] = capfd.readouterr().out
        assert not list(tmp_path.iterdir()), "asking leaves nothing behind"
    return name, PAGES[name]


def part(page: str, title: str) -> str:
    """What stands below a title, up to the next one."""
    return re.split(r"\n(?=[A-Z])", page.split(f"\n{title}", 1)[1].split("\n", 1)[1])[0]


def test_help_is_a_page_that_says_what_how_and_with_which_words(page: tuple[str, str]) -> None:
    name, text = page
    assert text.startswith(f"diffig-{name} ")
    assert len(text.splitlines()) < 75
    assert max(map(len, text.splitlines())) <= 125
    examples = part(text, "Examples").replace("\\\n", " ")
    commands = [shlex.split(line) for line in examples.splitlines() if line.strip()]
    assert len(commands) == 3
    for command in commands:
        assert command[0] == f"diffig-{name}"
        words = [word for word in command[1:] if word != "-m"]
        swept = "-m" in command or name != "evaluate"
        compose(name, [re.sub(r"^((?!runs|formats)[\w.]+=[^,]+),.*", r"\1", word) if swept else word for word in words])


def test_keys_that_it_names_are_there_with_the_values_it_says(page: tuple[str, str]) -> None:
    name, text = page
    words = {"train": [f"module={module}" for module in options_of("module")], "report": ["seed=0"]}
    configs = [compose(name, [word]) for word in words.get(name, ["seed=0", "dataset=npz", "classifier=torchvision"])]
    configs += [compose("train", ["dataset=npz"])] if name == "train" else []
    rows = re.findall(r"^ {2}([\w.]+)(?:=(\S+))? +\w", part(text, "Keys"), re.MULTILINE)
    assert len(rows) == {"report": 8, "train": 9}.get(name, 10)
    for key, value in rows:
        if key == "hydra.run.dir":
            continue
        found = [cfg for cfg in configs if in_config(cfg, key)]
        assert found, key
        if value:
            assert OmegaConf.select(found[0], key) == yaml.safe_load(value), key


def in_config(cfg: object, key: str) -> bool:
    place, _, last = key.rpartition(".")
    node = OmegaConf.select(cfg, place) if place else cfg
    return OmegaConf.is_dict(node) and last in OmegaConf.to_container(node)


def test_every_group_of_the_program_is_there_with_its_options(page: tuple[str, str]) -> None:
    name, text = page
    file = Path(diffig.config.CONF_DIR, f"{name}.yaml").read_text()
    defaults = re.findall(r"^  - (\w+): ", file.split("\n\n")[0], re.MULTILINE)
    shown = part(text, "Groups")
    for group in {*defaults} - {"dirs"}:
        start = re.search(rf"^{group} +(.+(?:\n +.+)*)", shown, re.MULTILINE)
        assert start, group
        assert start.group(1).split() == options_of(group)


@pytest.mark.parametrize("name", NAMES)
def test_version_is_diffigs(name: str, program: Program, capfd: pytest.CaptureFixture[str]) -> None:
    assert program(name, "--version") == 0
    assert capfd.readouterr().out == f"diffig {diffig.__version__}\n"


@pytest.mark.parametrize("words", [("--info", "method"), ("--info=method",)])
def test_methods_are_listed_with_a_line_each(
    words: tuple[str, ...], program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program("explain", *words) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert set(diffig.methods()) == set(options_of("method"))
    for name, sentence in diffig.methods().items():
        assert f"{name} {' '.join(sentence.split())}" in said
    assert diffig.methods()["ig"] == "Integrated Gradients (Sundararajan et al. 2017)."


def test_a_reader_may_leave_before_the_end(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert program("evaluate", "--info", "method") == 0
        print("more", file=pipe, flush=True)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("evaluate", ["methd=ig"], "there is no key methd; did you mean method"),
        (
            "evaluate",
            ["method=gig", "method.fracton=0.2"],
            "there is no key method.fracton; did you mean method.fraction",
        ),
        ("evaluate", ["-m", "classifier.widht=4,8"], "did you mean classifier.width"),
        ("train", ["module=path_diffusion", "trainer.max_step=3"], "did you mean trainer.max_steps"),
        ("explain", ["imge=3"], "did you mean image"),
        ("report", ["runz=here"], "did you mean runs"),
        ("evaluate", ["wholly_other=3"], "--help names the keys used most"),
        ("evaluate", ["credit=agreeing", "credit.r=1"], "there is no key credit.r"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_slip_is_answered_with_the_key_that_was_meant(
    name: str, words: list[str], said: str, program: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program(name, *words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{words[-1]}: ")
    assert said in line
    assert line.endswith(f"a plus before it, +{words[-1]}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["method=igg"],
            "method=igg: method has no igg; did you mean ig or ",
        ),
        (["-m", "method=ig,coarse_to_find"], "method has no coarse_to_find; did you mean coarse_to_fine; "),
        (
            ["credit=nonsense"],
            "credit has no nonsense; choose one of agreeing, idgi, proportional, riemann; --info credit",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_an_option_that_is_not_there_is_answered_with_those_that_are(
    words: list[str], said: str, program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program("evaluate", *words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line


def test_every_key_of_every_program_is_known() -> None:
    for name in NAMES:
        words = {"train": ["module=path_diffusion"]}.get(name, [])
        keys = [key for key in keys_of(compose(name, words)) if not key.startswith("metrics.metrics")]
        assert misspelt(name, [*words, *(f"{key}=1" for key in keys)]) is None


def test_keys_of_ones_own_are_hydras_to_judge() -> None:
    assert misspelt("evaluate", ["--config-dir=mine", "method=mine", "method.mine=3"]) is None
    assert misspelt("train", ["method=ig", "trainer.max_step=3"]) is None, "that training has no method comes first"
    assert misspelt("evaluate", ["+new_key=1", "++method.new=3", "~trainer.devices", "hydra.run.dir=here"]) is None


def test_an_unknown_group_is_told_the_groups(program: Program, capfd: pytest.CaptureFixture[str]) -> None:
    assert program("evaluate", "--info", "methods") == 2
    said = capfd.readouterr().err
    assert said.startswith("--info methods: no group of options; choose one of ")
    assert " method, metrics, " in said
    assert said.count("\n") == 1


def test_every_option_of_every_group_says_what_it_is() -> None:
    root = Path(diffig.config.CONF_DIR)
    groups = {file.parent.relative_to(root).as_posix() for file in root.rglob("*.yaml")} - {"."}
    for group in groups:
        for option, sentence in descriptions_of(group).items():
            assert len(sentence) > 20, f"{group}/{option}"


def test_what_hydra_knows_is_still_hydras(program: Program, capfd: pytest.CaptureFixture[str]) -> None:
    assert program("evaluate", "--info", "defaults") == 0
    assert "Defaults List" in capfd.readouterr().out


def test_the_shell_completes_groups_and_options(tmp_path: Path) -> None:
    """As the documented `eval "$(diffig-evaluate -sc install=bash)"` makes a shell ask."""
    code = "from diffig.cli.evaluate import main; main()"
    words = [sys.executable, "-c", code, "-sc", "query=bash"]
    environment = {"COMP_LINE": "diffig-evaluate credit=", "COMP_POINT": "23", "PATH": "/usr/bin"}

    call = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert "credit=agreeing" in call.stdout, call.stderr
