"""The parts of an evaluation, ready for each other: dataset, classifier, method with its references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig

from diffig.attribution.base import Attributor
from diffig.baselines import Average, Dataset
from diffig.checks import check_widths
from diffig.config import build, build_method, typed_words
from diffig.training.own_classifier import classifier_of, give_weights

if TYPE_CHECKING:
    from diffig.classifiers.base import Classifier
    from diffig.data.module import ImageDataModule
    from diffig.evaluation.given import Given


def prepare(cfg: DictConfig) -> tuple[ImageDataModule, Classifier]:
    """Return the dataset and a classifier that is ready for it: loaded, or trained in seconds and cached."""
    datamodule, classifier = assemble(cfg)
    make_ready(cfg, datamodule, classifier)
    return datamodule, classifier


def assemble(cfg: DictConfig) -> tuple[ImageDataModule, Classifier]:
    """Return the dataset and its classifier, which nobody has trained yet."""
    datamodule = build(cfg.dataset)
    datamodule.setup()
    return datamodule, classifier_of(cfg, datamodule)


def make_ready(
    cfg: DictConfig, datamodule: ImageDataModule, classifier: Classifier, attributors: Sequence[Attributor] = ()
) -> None:
    """Give a classifier its weights, and methods their images.

    Methods are built before, so that a wrong key of theirs is told before anything is trained.
    """
    give_weights(cfg, classifier, datamodule)
    for attributor in attributors:
        fill_banks(attributor, datamodule, cfg.seed)


def method_of(cfg: DictConfig, classifier: Classifier) -> Attributor:
    """Return the attributor of the config with its score and baseline, its banks of images empty."""
    return build_method(cfg, build(cfg.objective)(classifier), build(cfg.baseline))


def explain_with(cfg: DictConfig, datamodule: ImageDataModule, classifier: Classifier) -> Attributor:
    """Return the attributor of the config, with its score, baseline and images."""
    attributor = method_of(cfg, classifier)
    fill_banks(attributor, datamodule, cfg.seed)
    return attributor


def judge_with(
    cfg: DictConfig, datamodule: ImageDataModule, classifier: Classifier, given: Given, indices: Sequence[int]
) -> Attributor:
    """Return what stands for the method that made the given maps of the images with these indices.

    Raises:
        ValueError: the config names a method too, an image has no map, or maps do not fit the images.
    """
    named = [word for word in typed_words() if word.startswith(("method=", "preset=", "credit="))]
    if named:
        raise ValueError(f"attributions={given.name!r} are judged in place of a method; leave {', '.join(named)} out")
    attributor = given.method(
        build(cfg.objective)(classifier), build(cfg.baseline), datamodule.test_set[0][0][None], indices
    )
    if cfg.footprint is not None:
        attributor.footprints = check_widths(cfg.footprint)
    fill_banks(attributor, datamodule, cfg.seed)
    return attributor


def empty_banks(attributor: Attributor) -> list[Dataset]:
    """Return the baselines that wait for training images: among the attributor's, or references of its own."""
    baseline = attributor.baseline
    parts = baseline.baselines if isinstance(baseline, Average) else [baseline]
    asked = [*parts, getattr(attributor, "references", None)]
    return [part for part in asked if isinstance(part, Dataset) and part.bank is None]


def fill_banks(attributor: Attributor, datamodule: ImageDataModule, seed: int, size: int = 256) -> None:
    """Give `empty_banks` their images, the same for every method."""
    for part in empty_banks(attributor):
        images = datamodule.train_set
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:size].tolist()
        part.bank = torch.stack([images[position][0] for position in order])
