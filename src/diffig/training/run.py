"""Training from config to files: fit, resume, export."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning.pytorch as pl
import torch
from omegaconf import DictConfig, OmegaConf

from diffig.config import build
from diffig.io import write_json, write_text
from diffig.tracking.environment import environment
from diffig.tracking.identity import build_logger
from diffig.tracking.progress import in_terminal, progress
from diffig.tracking.termination import Termination
from diffig.training.loss_curves import curves, draw_losses, last_loss
from diffig.training.own_classifier import classifier_of, give_weights
from diffig.training.recipes import EXPORTS, RECIPES, latent_paths

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | None:
    """Return the last validation loss and leave checkpoints, curves and exported weights in `dirs.output`.

    Each `module` leaves its own file (`EXPORTS`). With `resume` a run goes on from `checkpoints/last.ckpt` where the
    folder has one, and ends with the weights of a run that was never interrupted.
    """
    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    kind = cfg.module._target_.rsplit(".", 1)[-1]
    if kind not in RECIPES and kind != "PathLabels":
        raise ValueError(f"module {kind} has no training here; choose a module of conf/module")
    if kind != "PathLabels" and cfg.resume and _finished(output, cfg.trainer.max_steps):
        log.info("%s is trained already; trainer.max_steps above %d trains on", output, cfg.trainer.max_steps)
        return last_loss(output / "log" / "metrics.csv")
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(output / "environment.json", environment())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if kind == "PathLabels":
        _label(cfg, output)
        return None
    recipe = RECIPES[kind](cfg)
    callbacks = {name: node for name, node in cfg.callbacks.items() if node and (recipe.averaged or name != "ema")}
    for name, node in callbacks.items():
        if not OmegaConf.is_dict(node):
            raise ValueError(f"callbacks.{name}={node} must be an object, a config with _target_, or null for none")
    last = output / "checkpoints" / "last.ckpt"
    resumed = last if cfg.resume and last.is_file() else None
    loggers = [curves(output, _steps(resumed)), *([build_logger(cfg, "train")] if cfg.logger else [])]
    watchers = [*(build(node) for node in callbacks.values()), *progress()]
    # Loaders are made anew for every epoch, so that each epoch goes on with the next numbered samples.
    fresh = {"reload_dataloaders_every_n_epochs": 1, "enable_progress_bar": in_terminal()}
    trainer = build(cfg.trainer, logger=loggers, callbacks=watchers, **fresh)
    trainer.fit(recipe.module, recipe.data, ckpt_path=resumed, weights_only=True)
    if trainer.is_global_zero:
        # Where processes were forked for the training, this one's trainer has taken no step.
        recipe.export(output, max(recipe.module.global_step, _steps(last if last.is_file() else None)))
        draw_losses(output / "log" / "metrics.csv", output / "loss.png")
        if kind == "PathScoreTraining":
            from diffig.training.regressor_plot import draw_correlation

            draw_correlation(output)
    loss = trainer.callback_metrics.get("val/loss")
    return None if loss is None else float(loss)


def _label(cfg: DictConfig, output: Path) -> None:
    """Make the labels of learned guidance; on several processes each makes its share."""
    data = latent_paths(cfg)
    data.setup()
    classifier = classifier_of(cfg, data.dataset)
    give_weights(cfg, classifier, data.dataset)
    score = build(cfg.objective)(classifier)
    labels = build(cfg.module, score=score, data=data, output=str(output))
    watchers = [Termination(), *progress()]
    trainer = build(cfg.trainer, logger=False, callbacks=watchers, enable_progress_bar=in_terminal())
    trainer.predict(labels, labels.dataloader(), return_predictions=False)


def _finished(output: Path, steps: int) -> bool:
    """Whether the weights are there and the checkpoint has come to the last step."""
    last = output / "checkpoints" / "last.ckpt"
    exported = any((output / name).is_file() for name in EXPORTS)
    if not exported or not last.is_file():
        return False
    return 0 < steps <= _steps(last)


def _steps(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])
