"""The losses of a training: written as they come, read again, drawn."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from diffig.io import DiskFull, is_full, whole, write_figure

if TYPE_CHECKING:
    import pandas as pd


def curves(output: Path, steps: int = 0) -> CSVLogger:
    """Return the logger that writes `log/metrics.csv`, on from its first `steps` steps where a run is resumed."""
    file = output / "log" / "metrics.csv"
    rows: list[dict[str, str]] = []
    if steps and file.is_file() and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        rows = [row for row in _read(file) if int(row["step"]) < steps]
    logger = CSVLogger(str(output), name="", version="log", flush_logs_every_n_steps=1)
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        logger._experiment = Rows(logger.log_dir, rows)
    return logger


class Rows(ExperimentWriter):
    """Lightning's writer of `metrics.csv`, whose rows outlive a kill: it deletes no file, and rewrites files whole.

    Args:
        log_dir: where the file lies.
        rows: what it begins with.
    """

    def __init__(self, log_dir: str, rows: list[dict[str, str]]) -> None:
        super().__init__(log_dir)
        self.metrics_keys = sorted({key for row in rows for key, value in row.items() if value})
        if rows:
            self._write(rows)
        else:
            Path(self.metrics_file_path).unlink(missing_ok=True)

    def save(self) -> None:
        """Append what has come since."""
        try:
            super().save()
        except OSError as error:
            if is_full(error):
                raise DiskFull(self.metrics_file_path) from error
            raise

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Write `hparams.yaml`."""
        self.hparams.update(params)
        with whole(Path(self.log_dir) / self.NAME_HPARAMS_FILE) as partial:
            save_hparams_to_yaml(str(partial), self.hparams)

    def _check_log_dir_exists(self) -> None:
        """Keep what an earlier start has left."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._write(_read(Path(self.metrics_file_path)))

    def _write(self, rows: list[dict[str, str]]) -> None:
        with whole(self.metrics_file_path) as partial, partial.open("w", newline="") as text:
            writer = csv.DictWriter(text, self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a log, without a last line that was cut short."""
    with file.open(newline="") as text:
        return list(csv.DictReader(line for line in text if line.endswith("\n")))


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
    write_figure(picture, figure)
    plt.close(figure)
