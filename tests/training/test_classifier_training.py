"""Training classifiers: what is moved, mirrored and dropped does not depend on whether the training was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_resume_training import compare, exported, run

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"
)


DRAWN = ("module.drop=0.3", "module.shift=1", "module.flip=true")


def test_an_interrupted_training_ends_like_a_whole_one(tmp_path: Path) -> None:
    whole, broken, plain = tmp_path / "whole", tmp_path / "broken", tmp_path / "plain"
    losses = run("classifier", tmp_path, whole, *DRAWN)
    found = []
    # In the first pass with the last step lost, in the second one with all steps kept.
    for batches, before in ((4, True), (5, False)):
        crash = f"+callbacks.crash={{_target_: test_resume_training.Crash, batches: {batches}, before: {before}}}"
        with pytest.raises(BaseException):  # noqa: B017 (Lightning turns it into a SystemExit)
            run("classifier", tmp_path, broken, crash, *DRAWN)
        torch.rand(7)  # whatever the rest of a process draws
    found.append(run("classifier", tmp_path, broken, *DRAWN))
    compare(whole, broken, losses, found)
    run("classifier", tmp_path, plain)
    assert exported(plain) != exported(whole)
