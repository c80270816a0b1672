"""What each `module` is trained on, and how its weights are written: one recipe for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lightning.pytorch as pl
from omegaconf import DictConfig

from diffig.config import build

if TYPE_CHECKING:
    from diffig.method.latent.data import LatentPathData


class Recipe(NamedTuple):
    """What is trained, on what, and how it is written: `export(output, steps)`."""

    module: pl.LightningModule
    data: pl.LightningDataModule
    export: Callable[[Path, int], object]
    averaged: bool = True


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
    return Recipe(module, data, lambda output, steps: module.export(output, {**data.training_metadata, "steps": steps}))


def _path_score(cfg: DictConfig) -> Recipe:
    from diffig.method.guidance.scored_data import ScoredPathData

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
# What recipes leave behind once a training has come to its end.
EXPORTS = (
    "prior.safetensors",
    "path_score.safetensors",
    "autoencoder/config.json",
    "image_diffusion/diffig.json",
    "classifier.safetensors",
)
