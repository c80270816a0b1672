"""A disk that fills: one line that names the file, whatever was there stays, and with room the same command goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from kill import explanation, read, same, unreadable, written

Program = Callable[..., int]
DIGITS = ("dataset=digits", "dataset.size=8", "classifier.width=8")
SAID = "cannot be written: the disk is full, or your quota is used up; make room and run the same command again"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB; skips where nobody may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place]).returncode:
        pytest.skip("mounting a small disk takes root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, but: int) -> Path:
    """Leave so many bytes."""
    file = disk / "filler"
    stat = os.statvfs(disk)
    file.write_bytes(b" " * max(0, stat.f_bavail * stat.f_frsize - but))
    return file


def says_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err, out + err
    assert "Logging error" not in err, err
    assert sum(SAID in line for line in (out + err).splitlines()) == 1, out + err


@pytest.mark.parametrize("room", [0, *(pytest.param(room, marks=pytest.mark.slow) for room in (60_000, 120_000))])
def test_an_evaluation(program: Program, cache: Path, disk: Path, capfd: pytest.CaptureFixture[str], room: int) -> None:
    words = (*DIGITS, "metrics=fast", "trainer=cpu", "method=gradient", "limit=6", "batch_size=2")
    words = (*words, f"dirs.cache={cache}")
    assert program("evaluate", *words, "hydra.run.dir=whole") == 0
    folder = disk / "run"
    filler = fill(disk, room)
    capfd.readouterr()
    assert program("evaluate", *words, f"hydra.run.dir={folder}") == 1
    says_one_line(capfd)
    assert not list(unreadable(folder))
    filler.unlink()
    assert program("evaluate", *words, f"hydra.run.dir={folder}") == 0
    found, wanted = (
        pd.read_parquet(place / "rows.parquet").drop(columns="seconds") for place in (folder, Path("whole"))
    )
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_training(program: Program, disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("module=classifier", *DIGITS, "trainer=cpu", "dataset.batch_size=200", "callbacks.checkpoint.minutes=0")
    words = (*words, "+trainer.limit_val_batches=1", f"hydra.run.dir={disk / 'run'}")
    assert program("train", *words, "trainer.max_steps=8") == 0
    last = disk / "run" / "checkpoints" / "last.ckpt"
    before = (disk / "run" / "classifier.safetensors").read_bytes()
    filler = fill(disk, 2**16)
    capfd.readouterr()
    assert program("train", *words, "trainer.max_steps=16") == 1
    says_one_line(capfd)
    read(last)
    assert torch.load(last, weights_only=True)["global_step"] >= 8
    assert (disk / "run" / "classifier.safetensors").read_bytes() == before
    filler.unlink()
    assert program("train", *words, "trainer.max_steps=16") == 0
    assert torch.load(last, weights_only=True)["global_step"] == 16
    assert (disk / "run" / "classifier.safetensors").read_bytes() != before


@pytest.mark.slow
@pytest.mark.parametrize("image", ["3", "folder"])
def test_an_explanation(
    program: Program, cache: Path, disk: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, image: str
) -> None:
    from PIL import Image

    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        Image.new("L", (8, 8), 99).save(tmp_path / "folder" / f"{name}.png")
    words = (*DIGITS, f"image={image}", "method=ig", "steps=4", "frames=25", f"dirs.cache={cache}")
    where = f"hydra.run.dir={disk / 'run'}"
    assert program("explain", *words, where) == 0
    place = disk / "run" if image == "3" else disk / "run" / "a"
    before = explanation(place)
    filler = fill(disk, 40_000)
    capfd.readouterr()
    assert program("explain", *words, where) == 1
    says_one_line(capfd)
    assert not list(unreadable(disk / "run"))
    filler.unlink()
    assert program("explain", *words, where) == 0
    assert same(explanation(place), before)


@pytest.mark.slow
def test_a_report(program: Program, cache: Path, disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = (*DIGITS, "metrics=fast", "trainer=cpu", "limit=4", f"dirs.cache={cache}")
    for method in ("gradient", "ig"):
        assert program("evaluate", *rows, f"method={method}", "steps=4", f"hydra.run.dir=runs/{method}") == 0
    words = ("runs=runs", f"output={disk / 'report'}", "bootstrap.n=100")
    assert program("report", *words) == 0
    before = written(disk / "report")
    filler = fill(disk, 20_000)
    capfd.readouterr()
    assert program("report", *words, "seed=1") == 1
    says_one_line(capfd)
    assert written(disk / "report")["report.html"] == before["report.html"]
    assert not list(unreadable(disk / "report"))
    filler.unlink()
    assert program("report", *words) == 0
    assert written(disk / "report") == before
