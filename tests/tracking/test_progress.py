"""Progress where nobody can watch a bar: lines with what is left, and none for short work."""

from __future__ import annotations

import logging

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from diffig.tracking import progress
from diffig.tracking.progress import ProgressLog, duration


class Clock:
    """A clock that moves ten seconds each time the module is asked for something."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow(LightningModule):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.layer = clock, torch.nn.Linear(1, 1)

    def predict_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.clock.now += 10
        return batch

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.clock.now += 10
        return self.layer(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def said(work: str, every: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(callbacks=[ProgressLog(every)], enable_checkpointing=False, max_epochs=2, **quiet)
    with caplog.at_level(logging.INFO, logger=progress.__name__):
        getattr(trainer, work)(Slow(clock), DataLoader(torch.zeros(6, 1), batch_size=1))
    return [record.message for record in caplog.records if record.name == progress.__name__]


def test_a_line_says_what_is_done_and_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = said("predict", 20.0, monkeypatch, caplog)
    assert lines == ["batch 2 of 6, about 40 s left", "batch 4 of 6, about 20 s left"]


def test_training_counts_steps_over_all_epochs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert said("fit", 50.0, monkeypatch, caplog) == [
        "step 5 of 12, about 70 s left",
        "step 10 of 12, about 20 s left",
    ]


def test_short_work_says_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert said("predict", 61.0, monkeypatch, caplog) == []


def test_a_log_file_gets_lines_and_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for terminal in (False, True):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda terminal=terminal: terminal)
        found.append([type(one).__name__ for one in progress.progress()])
    assert found == [["ProgressLog"], ["RichProgressBar"]]


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.6, "4 s"), (99.0, "99 s"), (720.0, "12 min"), (11100.0, "3 h 05 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
