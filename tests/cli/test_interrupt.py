"""Ctrl-C and kill: one line, exit code 130, and the same command goes on where it stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from safetensors.torch import load_file

import forked

Program = Callable[..., int]
TINY = ("dataset.size=8", "classifier.width=8", "metrics=fast", "trainer=cpu")


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_an_interrupted_evaluation_goes_on(
    asked: signal.Signals, program: Program, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*TINY, "method=gig", "steps=150", "limit=12", "batch_size=2", f"dirs.cache={cache}", "hydra.run.dir=run"]
    parts = tmp_path / "run" / "rows"
    with forked.program("evaluate", words, tmp_path) as running:
        running.until(lambda: len(list(parts.glob("rows-*.parquet"))) >= 2)
        running.send_signal(asked)
        assert running.wait() == 130
    hint = f"interrupted; the same command with hydra.run.dir={tmp_path / 'run'} goes on from here"
    assert [line for line in running.said.splitlines() if "interrupted" in line or "Traceback" in line] == [hint]
    assert (tmp_path / "run" / "status").read_text() == "interrupted"
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("rows-*.parquet")}
    capfd.readouterr()
    assert program("evaluate", *words) == 0
    assert f"{2 * len(before)} of 12 images have their rows already" in capfd.readouterr().out
    assert {name: (parts / name).stat().st_mtime_ns for name in before} == before
    assert pd.read_parquet(tmp_path / "run" / "rows.parquet")["image_index"].nunique() == 12
    assert (tmp_path / "run" / "status").read_text() == "done"


TRAINED = (
    "module=path_diffusion", "trainer=cpu", "trainer.log_every_n_steps=1", "+trainer.limit_val_batches=1",
    "fields.samples=48", "fields.batch_size=8", "fields.val_samples=8", "fields.grid=[4,4]", "fields.n_segments=4",
    "fields.cell_sizes=[1,2]", "module.prior.denoiser.channels=[16,16]", "module.warmup=2", "module.sample_steps=2",
    "callbacks.ema.decay=0.9",
)  # fmt: skip


def test_a_killed_training_says_so_and_loses_no_step(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = "trainer.max_steps=24"
    assert program("train", *TRAINED, steps, "hydra.run.dir=whole") == 0
    capfd.readouterr()
    taken = 0

    class Killed(Callback):
        """The signal comes while a batch is being worked on, long before a checkpoint is due."""

        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            nonlocal taken
            taken = trainer.global_step
            if taken == 9:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("diffig.training.run.progress", lambda: [Killed()])
        assert program("train", *TRAINED, steps, "hydra.run.dir=run") == 130
    hint = f"interrupted; the same command with hydra.run.dir={tmp_path / 'run'} goes on from here"
    assert hint in capfd.readouterr().err.splitlines()
    assert (tmp_path / "run" / "status").read_text() == "interrupted"
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == taken + 1 == 10
    assert program("train", *TRAINED, steps, "hydra.run.dir=run") == 0
    whole, again = (load_file(tmp_path / folder / "prior.safetensors") for folder in ("whole", "run"))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_killed_labels_go_on(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = ("dataset=digits", "dataset.size=8", "classifier.width=8", "trainer=cpu", "latent.folder=latent")
    assert program(
        *("train", *small, "module=autoencoder", "dataset.batch_size=200", "module.autoencoder.channels=[8,8]"),
        *("module.warmup=2", "module.autoencoder.latent_channels=2", "trainer.max_steps=2"),
        "hydra.run.dir=latent/autoencoder",
    ) == 0  # fmt: skip
    words = (
        *small, "module=path_labels", "module.count=48", "module.val_count=8", "module.shard_size=4",
        "latents.space.n_segments=4", "latents.samples=48", "latents.batch_size=8", "latents.val_samples=8",
        "latents.images=20", "hydra.run.dir=run",
    )  # fmt: skip
    seen = 0

    class Killed(Callback):
        def on_predict_batch_start(self, *_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("diffig.training.run.progress", lambda: [Killed()])
        assert program("train", *words) == 130
    assert seen == 2
    assert (tmp_path / "run" / "status").read_text() == "interrupted"
    assert program("train", *words) == 0
    assert (tmp_path / "run" / "status").read_text() == "done"


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "work", "words", "told"),
    [
        ("evaluate", "diffig.evaluation.run.evaluate", [], "goes on from here"),
        ("train", "diffig.training.run.train", [], "goes on from here"),
        ("explain", "diffig.explain.run.explain", ["image=0"], "the same command starts it again"),
        ("report", "diffig.report.build_report", ["runs=."], "run the same command again"),
    ],
)
def test_every_program_says_one_line(
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    work: str,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.setattr(work, interrupt)
    folder = [] if name == "report" else ["hydra.run.dir=a b"]
    assert program(name, *words, *folder) == 130
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("interrupted; ")
    assert told in line
    assert ("a b" in line) == (told == "goes on from here")


def test_an_interrupted_sweep_starts_no_further_job(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diffig.evaluation.run.evaluate", interrupt)
    assert program("evaluate", "-m", "seed=0,1", "hydra.sweep.dir=sweep") == 130
    assert capfd.readouterr().err.splitlines() == [
        "sweep sweep: 0 of 1 jobs are done",
        "  job 0 was interrupted",
        "the same command with hydra.sweep.dir=sweep does what is missing",
    ]
    assert not (tmp_path / "sweep" / "1").exists()


class Ends:
    """Python can only note what is raised here, and goes on."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_is_heard_where_nothing_can_be_raised(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        ends = Ends()
        del ends
        for _ in range(1000):
            time.sleep(0.001)

    monkeypatch.setattr("diffig.evaluation.run.evaluate", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert program("evaluate", "hydra.run.dir=run") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("goes on from here")
    assert (tmp_path / "run" / "status").read_text() == "interrupted"


def test_another_exit_keeps_its_code(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def leave(*_: object, **__: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr("diffig.training.run.train", leave)
    assert program("train", "hydra.run.dir=run") == 7
    assert (tmp_path / "run" / "status").read_text() == "running"
