"""Training from config to files: fit, resume, export."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from diffig.config import build
from diffig.evaluation.environment import environment
from diffig.evaluation.rows import write_json, write_text
from diffig.evaluation.run import progress_bars

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | None:
    """Return the last validation loss and leave checkpoints, curves and exported weights in `dirs.output`.

    `module=path_diffusion` leaves `prior.safetensors`, `module=classifier` leaves `classifier.safetensors`. With
    `resume` a run goes on from `checkpoints/last.ckpt` where the folder has one.
    """
    from diffig.classifiers.checkpoint import save_weights
    from diffig.classifiers.module import ClassifierModule
    from diffig.diffusion.path_diffusion import PathDiffusion

    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    if cfg.resume and _finished(output, cfg.trainer.max_steps):
        log.info("%s is trained already; trainer.max_steps above %d trains on", output, cfg.trainer.max_steps)
        return _last_loss(output / "log" / "metrics.csv")
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(output / "environment.json", environment())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    kind = cfg.module._target_.rsplit(".", 1)[-1]
    callbacks = {name: node for name, node in cfg.callbacks.items() if node}
    if kind == PathDiffusion.__name__:
        module, datamodule = build(cfg.module), build(cfg.fields)
        fresh = {"reload_dataloaders_every_n_epochs": 1}  # every epoch draws new fields
    elif kind == ClassifierModule.__name__:
        datamodule = build(cfg.dataset)
        datamodule.setup()
        module = build(cfg.module, classifier=build(cfg.classifier, datamodule=datamodule))
        callbacks.pop("ema", None)  # a few passes of a small network gain nothing from it
        fresh = {}
    else:
        raise ValueError(f"module {kind} has no training here; choose module=path_diffusion or module=classifier")
    loggers = [CSVLogger(str(output), name="", version="log"), *([build(cfg.logger)] if cfg.logger else [])]
    bars = progress_bars()
    watchers = [*(build(node) for node in callbacks.values()), *bars]
    trainer = build(cfg.trainer, logger=loggers, callbacks=watchers, enable_progress_bar=bool(bars), **fresh)
    last = output / "checkpoints" / "last.ckpt"
    trainer.fit(module, datamodule, ckpt_path=str(last) if cfg.resume and last.is_file() else None, weights_only=True)
    if trainer.is_global_zero:
        if isinstance(module, PathDiffusion):
            facts = {**datamodule.law, "steps": trainer.global_step, "seed": cfg.seed}
            module.export(output / "prior.safetensors", facts)
        else:
            save_weights(module.classifier, output / "classifier.safetensors")
        draw_losses(output / "log" / "metrics.csv", output / "loss.png")
    loss = trainer.callback_metrics.get("val/loss")
    return None if loss is None else float(loss)


def _finished(output: Path, steps: int) -> bool:
    """Whether the weights are there and the checkpoint has come to the last step."""
    last = output / "checkpoints" / "last.ckpt"
    exported = any((output / name).is_file() for name in ("prior.safetensors", "classifier.safetensors"))
    if not exported or not last.is_file():
        return False
    done: int = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    return 0 < steps <= done


def _last_loss(log_file: Path) -> float | None:
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
