"""`kill` and `timeout` end a prediction as Ctrl-C does: after the batch in hand, with all it has written."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer

from diffig.cluster import under_submitit


class Termination(Callback):
    """Stops a prediction where the process was asked to end; Lightning takes note of SIGTERM and predicts on.

    Submitit's jobs go on: their cluster sends another signal when their time is up, which submits them again.
    """

    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Raise as Ctrl-C does where a SIGTERM has come; what the batch brought is written before."""
        if trainer.received_sigterm and not under_submitit():
            raise KeyboardInterrupt
