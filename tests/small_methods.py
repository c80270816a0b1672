"""Every option of `conf/method`, built small: grey 8 x 8 digits, an untrained network, untrained generative parts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from diffig import Attributor, Autoencoder, ImageDiffusion, LatentPrior
from diffig.config import build, build_method, compose
from diffig.data.module import ImageDataModule
from diffig.evaluation.preparation import fill_banks

SMALL = ("dataset.size=8", "classifier.width=8", "latent.sample_steps=4")


def write_latent_parts(folder: Path) -> None:
    """Write untrained parts of latent DiffIG where `latent.folder` has trained ones."""
    torch.manual_seed(0)
    Autoencoder.small(1, channels=(8, 8, 8)).save(folder / "autoencoder" / "autoencoder")
    LatentPrior.new(5, 16, width=16, depth=1, heads=2).save(folder / "path_model" / "prior.safetensors")
    ImageDiffusion.small(1, channels=(8, 8)).save(folder / "image_diffusion" / "image_diffusion")


@cache
def config_of(method: str, folder: Path | str = "parts", words: tuple[str, ...] = ()) -> DictConfig:
    """Return the config of an option, with its latent parts in `folder`."""
    return compose("evaluate", [f"method={method}", f"latent.folder={folder}", *SMALL, *words])


@cache
def digits() -> ImageDataModule:
    """Return the images of all small methods."""
    data: ImageDataModule = build(config_of("ig").dataset)
    data.setup()
    return data


def small_method(
    method: str, folder: Path, count: int, *words: str
) -> tuple[Attributor, tuple[Tensor, Tensor, Tensor]]:
    """Return the attributor and `count` images with their labels and indices."""
    cfg = config_of(method, folder, words)
    torch.manual_seed(1)
    score = build(cfg.objective)(build(cfg.classifier, datamodule=digits()))
    attributor = build_method(cfg, score, build(cfg.baseline))
    fill_banks(attributor, digits(), 0)
    images, labels, indices = next(iter(digits().test_dataloader()))
    return attributor, (images[:count], labels[:count], indices[:count])
