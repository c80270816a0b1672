"""The losses of a training: written as they come, read again, drawn."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    import pandas as pd


def curves(output: Path, steps: int = 0) -> CSVLogger:
    """Return the logger that writes `log/metrics.csv`, on from its first `steps` steps where a run is resumed."""
    file = output / "log" / "metrics.csv"
    rows: list[dict[str, str]] = []
    if steps and file.is_file() and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        with file.open(newline="") as text:
            rows = [row for row in csv.DictReader(text) if int(row["step"]) < steps]
    logger = CSVLogger(str(output), name="", version="log", flush_logs_every_n_steps=1)
    if rows:  # Lightning deletes the file and starts a new one
        logger.experiment.metrics = [{key: value for key, value in row.items() if value} for row in rows]
    return logger


def last_loss(log_file: Path) -> float | None:
    """Return the last validation loss of Lightning's CSV log, None where there is none."""
    import pandas as pd

    column = pd.read_csv(log_file).get("val/loss") if log_file.is_file() else None
    return None if column is None or column.dropna().empty else float(column.dropna().iloc[-1])


def draw_losses(log_file: Path, picture: Path) -> None:
    """Draw training and validation loss over steps from Lightning's CSV log, where there is one."""
    if not log_file.is_file():
        return
    import matplotlib
    import pandas as pd

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table: Any = pd.read_csv(log_file)
    figure, axis = plt.subplots(figsize=(6, 3.2))
    for name, label in (("train/loss", "training"), ("val/loss", "validation")):
        column: pd.Series | None = table[name].dropna() if name in table else None
        if column is not None and len(column):
            steps = table.loc[column.index, "step"]
            axis.plot(steps, column, label=label, lw=1.2, marker="o" if len(column) < 30 else None, ms=3)
    axis.set_xlabel("optimiser step")
    axis.set_ylabel("loss")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(picture, dpi=130)
    plt.close(figure)
