"""Training from config to files: fit, resume, export."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from diffig.classifiers.training import fit_or_load
from diffig.config import build
from diffig.evaluation.dashboard import build_logger
from diffig.evaluation.environment import environment
from diffig.evaluation.rows import write_json, write_text
from diffig.evaluation.run import progress_bars

if TYPE_CHECKING:
    import pandas as pd

    from diffig.diffusion.latent_data import LatentPathData

log = logging.getLogger(__name__)


class Recipe(NamedTuple):
    """What is trained, on what, and how it is written: `export(output, steps)`."""

    module: pl.LightningModule
    data: pl.LightningDataModule
    export: Callable[[Path, int], object]
    averaged: bool = True


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
        return _last_loss(output / "log" / "metrics.csv")
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(output / "environment.json", environment())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if kind == "PathLabels":
        _label(cfg, output)
        return None
    recipe = RECIPES[kind](cfg)
    callbacks = {name: node for name, node in cfg.callbacks.items() if node and (recipe.averaged or name != "ema")}
    last = output / "checkpoints" / "last.ckpt"
    resumed = last if cfg.resume and last.is_file() else None
    loggers = [curves(output, _steps(resumed)), *([build_logger(cfg, "train")] if cfg.logger else [])]
    bars = progress_bars()
    watchers = [*(build(node) for node in callbacks.values()), *bars]
    # Asked anew for every epoch, loaders go on with the next numbered samples.
    fresh = {"reload_dataloaders_every_n_epochs": 1, "enable_progress_bar": bool(bars)}
    trainer = build(cfg.trainer, logger=loggers, callbacks=watchers, **fresh)
    trainer.fit(recipe.module, recipe.data, ckpt_path=resumed, weights_only=True)
    if trainer.is_global_zero:
        # Where processes were forked for the training, this one's trainer has taken no step.
        recipe.export(output, max(recipe.module.global_step, _steps(last if last.is_file() else None)))
        draw_losses(output / "log" / "metrics.csv", output / "loss.png")
        if kind == "PathScoreTraining":
            from diffig.evaluation.regressor_plot import draw_correlation

            draw_correlation(output)
    loss = trainer.callback_metrics.get("val/loss")
    return None if loss is None else float(loss)


def _label(cfg: DictConfig, output: Path) -> None:
    """Make the labels of learned guidance; on several processes each makes its share."""
    data = latent_paths(cfg)
    data.setup()
    classifier = build(cfg.classifier, datamodule=data.dataset)
    fit_or_load(classifier, data.dataset, Path(cfg.dirs.cache) / "classifiers", seed=0)
    score = build(cfg.objective)(classifier)
    labels = build(cfg.module, score=score, data=data, output=str(output))
    bars = progress_bars()
    trainer = build(cfg.trainer, logger=False, callbacks=bars, enable_progress_bar=bool(bars))
    trainer.predict(labels, labels.dataloader(), return_predictions=False)


def latent_paths(cfg: DictConfig) -> LatentPathData:
    """Return the training paths between latents that the config describes."""
    encoded = cfg.latents.space._target_.endswith("LatentSpace")
    space = build(cfg.latents.space, **({"autoencoder": build(cfg.autoencoder)} if encoded else {}))
    data: LatentPathData = build(cfg.latents, dataset=build(cfg.dataset), space=space, baseline=build(cfg.baseline))
    return data


def _path_diffusion(cfg: DictConfig) -> Recipe:
    latent = cfg.module.prior._target_.endswith("LatentPrior.new")
    if latent and not cfg.latents.space._target_.endswith("LatentSpace"):
        raise ValueError("module=latent_diffusion learns latent sequences; set latents=stick_breaking")
    data = latent_paths(cfg) if latent else build(cfg.fields)
    prior = build(cfg.module.prior)
    if latent:
        length, dim = data.shape
        prior = prior(length, dim)
    module = build(cfg.module, prior=prior)
    return Recipe(module, data, lambda output, steps: module.export(output, {**data.facts, "steps": steps}))


def _path_score(cfg: DictConfig) -> Recipe:
    from diffig.guidance.scored_data import ScoredPathData

    paths = latent_paths(cfg)
    length, dim = paths.shape
    data = ScoredPathData(paths, cfg.latent.labels, centre=cfg.module.centre)
    module = build(cfg.module, length=length, dim=dim)
    module.standardise(data)
    return Recipe(module, data, lambda output, steps: module.export(output, {"steps": steps}))


def _autoencoder(cfg: DictConfig) -> Recipe:
    data = build(cfg.dataset)
    data.setup()
    module = build(cfg.module, image_shape=data.image_shape, mean=data.mean)
    return Recipe(module, data, lambda output, steps: module.export(output, data, {"steps": steps}))


def _image_diffusion(cfg: DictConfig) -> Recipe:
    data = build(cfg.dataset)
    data.setup()
    module = build(cfg.module, image_shape=data.image_shape)
    return Recipe(module, data, lambda output, steps: module.export(output, data, {"steps": steps}))


def _classifier(cfg: DictConfig) -> Recipe:
    from diffig.classifiers.checkpoint import save_weights

    data = build(cfg.dataset)
    data.setup()
    module = build(cfg.module, classifier=build(cfg.classifier, datamodule=data))
    # A few passes of a small network gain nothing from an average.
    return Recipe(
        module, data, lambda output, _: save_weights(module.classifier, output / "classifier.safetensors"), False
    )


RECIPES: dict[str, Callable[[DictConfig], Recipe]] = {
    "PathDiffusion": _path_diffusion,
    "PathScoreTraining": _path_score,
    "AutoencoderTraining": _autoencoder,
    "ImageDiffusionTraining": _image_diffusion,
    "ClassifierModule": _classifier,
}
EXPORTS = (
    "prior.safetensors",
    "path_score.safetensors",
    "autoencoder/config.json",
    "image_diffusion/diffig.json",
    "classifier.safetensors",
)


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
