"""The scripts of the studies: bash reads them, they ask for what they need, and every command in them composes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from diffig.config import CONF_DIR, compose, options_of

EXPERIMENTS = Path(CONF_DIR).parent / "experiments"
SCRIPTS = sorted(file.relative_to(EXPERIMENTS).as_posix() for file in EXPERIMENTS.glob("*/*.sh"))
STUDIES = [name for name in SCRIPTS if "study.sh" in (EXPERIMENTS / name).read_text()]
OF_DATA = [name for name in STUDIES if "needs_data" in (EXPERIMENTS / name).read_text()]
# What a study is run on, `scale` or `pair`, and the choices there are.
CHOICES = {
    name: (found[1], found[2].split())
    for name in STUDIES
    if (found := re.search(r"choice (scale|pair) \"\S+\" ([\w ]+)\)", (EXPERIMENTS / name).read_text()))
}
# Stands in for every program: writes down how it was called, and fails where a word says so.
STAND_IN = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
if "--cfg" in sys.argv:
    print("folder: outputs/latent/digits")
if "fail=here" in sys.argv:
    sys.exit("it does fail here")
"""

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="no studies in this copy of the project")


class Place:
    """A copy of the scripts whose programs only write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.calls_file = folder / "calls"
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in ("diffig-train", "diffig-evaluate", "diffig-explain", "diffig-report", "python", "cp"):
            (self.programs / name).write_text(STAND_IN.format(python=sys.executable))
            (self.programs / name).chmod(0o755)
        for name in ("study.sh", *SCRIPTS):
            (folder / "experiments" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(EXPERIMENTS / name, folder / "experiments" / name)
        self.folder = folder

    def run(self, script: str, *words: str, data: bool = True) -> subprocess.CompletedProcess[str]:
        """The script, run from elsewhere."""
        about = {"CALLS": str(self.calls_file), "PATH": f"{self.programs}:{os.environ['PATH']}"}
        about |= {"DIFFIG_SHARED_DATA": "/data"} if data else {}
        command = ["bash", str(self.folder / "experiments" / script), *words]
        return subprocess.run(command, cwd="/", env=about, capture_output=True, text=True, timeout=120)

    def calls(self) -> list[list[str]]:
        """What was called, program first."""
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()] if self.called else []

    @property
    def called(self) -> bool:
        return self.calls_file.exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def one_of_each(word: str) -> str:
    """An override without its sweep: the first of `a,b`."""
    parsed = OverridesParser.create().parse_override(word)
    if not parsed.is_sweep_override():
        return word
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"


def first_choice(script: str) -> list[str]:
    """What the script is run on in these tests."""
    return CHOICES[script][1][:1] if script in CHOICES else []


@pytest.mark.parametrize("script", SCRIPTS)
def test_bash_reads_it(script: str) -> None:
    assert subprocess.run(["bash", "-n", EXPERIMENTS / script], capture_output=True).returncode == 0
    assert os.access(EXPERIMENTS / script, os.X_OK)


@pytest.mark.parametrize("script", STUDIES)
def test_every_command_composes(script: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    done = place.run(script, *first_choice(script))
    assert done.returncode == 0, done.stderr
    calls = place.calls()
    assert calls
    monkeypatch.setenv("DIFFIG_SHARED_DATA", "/data")
    for program, *given in calls:
        if program in ("diffig-train", "diffig-evaluate", "diffig-explain"):
            kept = [one_of_each(word) for word in given if "=" in word]
            compose(program.removeprefix("diffig-"), kept)
        elif program == "python":
            assert (EXPERIMENTS.parent / given[0]).is_file()


@pytest.mark.parametrize("script", OF_DATA)
def test_without_data_it_says_what_is_needed(script: str, place: Place) -> None:
    done = place.run(script, *first_choice(script), data=False)
    assert (done.returncode, place.called) == (2, False)
    assert "DIFFIG_SHARED_DATA is not set; set it to the folder with " in done.stderr


@pytest.mark.parametrize("script", CHOICES)
def test_an_unknown_choice_is_answered_with_those_there_are(script: str, place: Place) -> None:
    name, choices = CHOICES[script]
    done = place.run(script, "medium")
    assert (done.returncode, place.called) == (2, False)
    assert f"{name}=medium is unknown; choose one of: {' '.join(choices)}" in done.stderr


def test_every_pair_of_the_benchmark_is_an_experiment() -> None:
    pairs = {option for option in options_of("experiment") if option.startswith("benchmark_")}
    assert {f"benchmark_{pair}" for pair in CHOICES["benchmark/run.sh"][1]} == pairs


def test_a_failed_training_shows_its_log_and_stops(place: Place) -> None:
    done = place.run("latent/train.sh", "small", "fail=here")
    assert done.returncode == 1
    assert "outputs/latent/digits/autoencoder.log ends with\nit does fail here" in done.stderr
    assert len(place.calls()) == 1
    assert place.run("latent/train.sh", "small").returncode == 0  # what is there is kept, the rest made
    assert place.run("latent/train.sh", "small").returncode == 0
    trained = [call for call in place.calls() if "module=autoencoder" in call]
    assert len(trained) == 2
