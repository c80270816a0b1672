"""A folder belongs to one run: the second that wants it says so in a line, and the first one's rows stay its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from diffig.cli.folders import LOCK, FolderInUse, OneRunAFolder, take, taken
from diffig.cli.sweeps import mark, report, word
from diffig.config import compose

Evaluate = Callable[..., int]
HOLD = """
import os, sys, time
from pathlib import Path
from diffig.cli.folders import take
assert take(Path(sys.argv[1]))
if len(sys.argv) > 2 and os.fork() == 0:  # as a dataloader's worker, which outlives its killed parent for seconds
    time.sleep(60)
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holding() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`holding(folder)` starts a process that holds a folder, as a run does."""
    started = []

    def start(folder: Path, *how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(folder), *how]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and left no child
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["hydra.run.dir=run"], "run"),
        (["hydra.run.dir=mine", "dirs.output=run"], "run"),
        (["-m", "seed=0,1", "hydra.sweep.dir=sweep"], "sweep"),
    ],
)
def test_the_second_of_two_runs_says_so_and_stops(
    evaluate: Evaluate,
    holding: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    folder: str,
) -> None:
    owner = holding(tmp_path / folder)
    (tmp_path / folder / "status").write_text("running")
    before = sorted((tmp_path / folder).rglob("*"))
    assert evaluate("method=gradient", *words) == 1
    said = [line for line in "".join(capfd.readouterr()).splitlines() if "is in use by" in line]
    assert len(said) == 1
    assert f"process {owner.pid} on " in said[0]
    assert "name another folder" in said[0]
    assert sorted((tmp_path / folder).rglob("*")) == before, "nothing was written"
    assert (tmp_path / folder / "status").read_text() == "running"


@pytest.mark.parametrize("how", [[], ["with a child"]])
def test_a_killed_run_is_in_nobodys_way(
    evaluate: Evaluate, holding: Callable[..., subprocess.Popen[str]], tmp_path: Path, how: list[str]
) -> None:
    owner = holding(tmp_path / "run", *how)
    with pytest.raises(FolderInUse):
        take(tmp_path / "run")
    owner.kill()
    owner.wait()
    assert evaluate("method=gradient", "hydra.run.dir=run") == 0
    assert set(pd.read_parquet(tmp_path / "run" / "rows.parquet")["method"]) == {"gradient"}


def test_a_folder_is_free_again_after_its_run(tmp_path: Path) -> None:
    another = [sys.executable, "-c", "import sys; from pathlib import Path; from diffig.cli.folders import take; "]
    another[-1] += "take(Path(sys.argv[1]))"
    with taken(tmp_path):
        with taken(tmp_path):  # a run's folder is Hydra's and its own at once
            pass
        assert subprocess.run([*another, str(tmp_path)], capture_output=True, check=False).returncode == 1
    assert subprocess.run([*another, str(tmp_path)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "rank",
    [
        {"RANK": "1"},
        {"SLURM_PROCID": "3"},
        {"LOCAL_RANK": "1"},
        {"NODE_RANK": "1", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "0", "LOCAL_RANK": "1"},  # started by Lightning, inside a job
    ],
)
def test_ranks_of_one_run_share_its_folder(
    holding: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rank: dict[str, str],
) -> None:
    holding(tmp_path)
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FolderInUse):
        take(tmp_path)
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    assert not take(tmp_path)


@pytest.mark.parametrize("program", ["evaluate", "train", "explain"])
@pytest.mark.parametrize("mode", ["run", "sweep"])
def test_runs_that_begin_in_one_second_get_a_folder_each(program: str, mode: str) -> None:
    from diffig.config import CONF_DIR

    pattern = OmegaConf.load(Path(CONF_DIR) / f"{program}.yaml").hydra[mode]._get_node("dir")._value()
    assert "%H-%M-%S-%f" in pattern
    assert {"folder", "sweep"} <= set(OmegaConf.load(Path(CONF_DIR) / f"{program}.yaml").hydra.callbacks)
    assert compose(program, ["image=0"] if program == "explain" else []) is not None


@pytest.mark.parametrize(
    "name", ["plain", "a b", "out[1]", "a,b", "it's", 'say "x"', "x=1", "(q)", "back\\slash", "end\\", "a${b}", "~me"]
)
def test_the_hint_of_a_failed_sweep_can_be_pasted(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    mark(folder / "0", "failed")
    hint = report(folder).splitlines()[-1].removeprefix("the same command with ").removesuffix(" does what is missing")
    (pasted,) = shlex.split(hint)
    override = OverridesParser.create().parse_override(pasted)
    assert not override.is_sweep_override()
    assert OmegaConf.create({"dir": override.value()}).dir == str(folder)
    assert word("hydra.sweep.dir", "outputs/sweeps/a_1-2") == "hydra.sweep.dir=outputs/sweeps/a_1-2"


def test_a_run_started_again_removes_what_a_kill_left_half_written(tmp_path: Path) -> None:
    """But not below a folder that has a lock of its own, where another run may be at work."""
    left = [
        tmp_path / name for name in ("rows/000.parquet.7-ab.part", "last.ckpt.part", "other/rows.parquet.9-cd.part")
    ]
    for file in left[::2]:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"half")
    left[1].mkdir()
    (left[1] / "shard").write_bytes(b"half")
    (tmp_path / "rows" / "001.parquet").write_bytes(b"whole")
    (tmp_path / "other" / LOCK).touch()
    config = OmegaConf.create({"hydra": {"run": {"dir": str(tmp_path)}}})
    with taken(tmp_path):
        OneRunAFolder().on_run_start(config)  # held already: others of this run may be writing
        assert all(file.exists() for file in left)
    OneRunAFolder().on_run_start(config)
    assert [file.exists() for file in left] == [False, False, True]
    assert (tmp_path / "rows" / "001.parquet").read_bytes() == b"whole"
