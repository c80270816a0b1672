"""What `diffig-explain` works with: a classifier, methods, and images from files or from a dataset."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor

from diffig.config import build, build_method
from diffig.evaluation.preparation import assemble, empty_banks, make_ready, method_of
from diffig.explain.inputs import class_names, in_colour, read_image
from diffig.training.own_classifier import brings_weights, classifier_of

if TYPE_CHECKING:
    from diffig.attribution.base import Attributor
    from diffig.classifiers.base import Classifier


log = logging.getLogger("diffig")


class Session(NamedTuple):
    """The classifier with its classes' names, the methods, and the dataset where there is one."""

    classifier: Classifier
    names: list[str]
    methods: list[Attributor]
    datamodule: Any


def open_session(cfg: DictConfig, methods: list[DictConfig]) -> Session:
    """Return what a config asks for: without the dataset where a file and a classifier with weights are named.

    Args:
        cfg: of `diffig-explain`.
        methods: configs that differ from it in the method.

    Raises:
        ValueError: the classifier has random weights, or a method needs training images and there are none.
    """
    if not isinstance(cfg.image, int) and cfg.classifier._target_.rsplit(".", 1)[-1] != "small_cnn":
        classifier = classifier_of(cfg)
        if not brings_weights(cfg.classifier, classifier):
            raise ValueError(f"classifier {classifier.name!r} has random weights; set classifier.checkpoint=...")
        baseline, score = build(cfg.baseline), build(cfg.objective)(classifier)
        attributors = [build_method(each, score, baseline) for each in methods]
        if any(empty_banks(attributor) for attributor in attributors):
            raise ValueError(
                "baseline=dataset and methods with reference images need training images; explain an image of a "
                "dataset (image=<number>)"
            )
        return Session(classifier, class_names(classifier), attributors, None)
    datamodule, classifier = assemble(cfg)
    attributors = [method_of(each, classifier) for each in methods]
    make_ready(cfg, datamodule, classifier, attributors)
    names = [str(name) for name in datamodule.class_names]
    names += [str(index) for index in range(len(names), classifier.num_classes)]
    return Session(classifier, names, attributors, datamodule)


def index_of(session: Session, source: int | str) -> Tensor:
    """Return the key `(1,)` of the image's randomness: its dataset's, so that maps are those of diffig-evaluate."""
    known = session.datamodule is not None and isinstance(source, int)
    return torch.tensor([int(session.datamodule.test_set.indices[source]) if known else 0])


def image_of(cfg: DictConfig, session: Session, source: int | str) -> Tensor:
    """Return the image `(1, C, H, W)` of a file, or of a position in the dataset's test set.

    Raises:
        FileNotFoundError, ValueError: it cannot be read, or there is no such position.
    """
    if session.datamodule is None:
        return read_image(source, (cfg.size, cfg.size), grey=session.classifier.in_channels == 1)  # type: ignore[arg-type]
    if not isinstance(source, int):
        channels, height, width = session.datamodule.image_shape
        if channels == 1 and in_colour(source):
            log.warning(
                "%s is in colour, and %s has learnt from %s alone, grey images of %d x %d: what it sees there says "
                "little; name a classifier of such pictures, classifier=torchvision classifier.checkpoint=..., say",
                *(source, session.classifier.name, session.datamodule.name, height, width),
            )
        return read_image(source, (height, width), grey=channels == 1)
    images = session.datamodule.test_set
    if not 0 <= source < len(images):
        raise ValueError(
            f"image={source} is not in the test set of {session.datamodule.name!r}; choose 0 to {len(images) - 1}"
        )
    image: Tensor = images[source][0][None]
    return image
