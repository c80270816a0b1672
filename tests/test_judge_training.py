"""Fine-tuning a judge for F-Fidelity: what is dropped does not depend on whether the training was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from test_resume_training import compare, exported, run

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"
)


def test_an_interrupted_fine_tuning_ends_like_a_whole_one(tmp_path: Path) -> None:
    whole, broken, plain = tmp_path / "whole", tmp_path / "broken", tmp_path / "plain"
    losses = run("classifier", tmp_path, whole, "module.drop=0.3")
    found = []
    # In the first pass with the last step lost, in the second one with all steps kept.
    for batches, before in ((4, True), (5, False)):
        crash = f"+callbacks.crash={{_target_: test_resume_training.Crash, batches: {batches}, before: {before}}}"
        with pytest.raises(BaseException):  # noqa: B017 (Lightning turns it into a SystemExit)
            run("classifier", tmp_path, broken, crash, "module.drop=0.3")
        torch.rand(7)  # whatever the rest of a process draws
    found.append(run("classifier", tmp_path, broken, "module.drop=0.3"))
    compare(whole, broken, losses, found)
    run("classifier", tmp_path, plain)
    assert exported(plain) != exported(whole)
