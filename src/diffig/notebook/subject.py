"""What is explained: a model with its preprocessing, its classes, and how a number is read off it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from diffig.calls import check_module
from diffig.notebook.images import Given, read_images
from diffig.notebook.network import Network, OneLabel
from diffig.notebook.preprocessing import preprocessing_of
from diffig.notebook.targets import categories_of, targets_of
from diffig.scores import Objective, ScoreFunction

_BORROWED: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()


class Part(NamedTuple):
    """Images that are explained together: their places in the batch, the classifier, and their classes for it."""

    rows: Tensor
    classifier: Network | OneLabel
    targets: Tensor


class Subject:
    """A model and all that is known of it; arguments as in `Explainer`."""

    def __init__(
        self,
        model: nn.Module,
        preprocess: Any,
        multi_label: bool,
        categories: Sequence[str] | None,
        objective: Objective | None,
        chunk_size: int | None,
        batch_size: int,
    ) -> None:
        check_module(model)
        self.channels = channels_of(model)
        self.preprocessing = preprocessing_of(preprocess, model, self.channels)
        self.classifier = Network(model, self.preprocessing)
        self.categories = categories_of(categories, self.preprocessing.categories, model)
        self.multi_label, self.objective = multi_label, objective
        self.chunk_size, self.batch_size = chunk_size, batch_size
        self.outputs: int | None = None
        self.seen: set[tuple[int, ...]] = set()

    @property
    def lock(self) -> threading.RLock:
        """The model is explained by one thread at a time: its modes and hooks change meanwhile."""
        return _BORROWED.setdefault(self.classifier.net, threading.RLock())

    def read(self, image: Any, clamped: bool = False) -> Given:
        """Return images of any kind as a batch where the model is, see `read_images`."""
        given = read_images(image, self.preprocessing.framing, self.channels, clamped)
        return given._replace(batch=given.batch.to(self.classifier.device))

    def look_at(self, images: Tensor) -> int:
        """Return how many classes there are, two for a single logit; asked once of each size of images, with one.

        Raises:
            ValueError: the model cannot take such images.
        """
        with self.lock:
            if self.outputs is None or images.shape[1:] not in self.seen:
                self.outputs = self._asked(images[:1])
                self.seen.add(images.shape[1:])
        return max(2, self.outputs)

    def _asked(self, image: Tensor) -> int:
        """How many outputs there are for one image `(1, C, H, W)`."""
        try:
            return self.classifier.outputs(image)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError) as error:
            shape, said = tuple(image.shape[1:]), str(error).strip().partition("\n")[0] or type(error).__name__
            advice = "give images of the size that it takes"
            if shape[0] != self.channels:
                advice = f"its first layer takes {self.channels} channels, and this image has {shape[0]}"
            raise ValueError(f"the model fails on an image of shape {shape}: {said}; {advice}") from error

    def score(self, own: Objective, classifier: Network | OneLabel | None = None) -> ScoreFunction:
        """Return a fresh score: of the objective that was named, else the sigmoid where there is one, else `own`."""
        sigmoid = self.multi_label or self.outputs == 1
        objective = self.objective or ("probability" if sigmoid else own)
        return ScoreFunction(classifier or self.classifier, objective, self.chunk_size)

    def targets(self, target: Any, images: Tensor) -> Tensor:
        """Return the classes `(B,)` that a user means; the predicted ones for None."""
        classes = self.look_at(images)
        if target is None:
            return self.score("logit").logits(images).argmax(1)
        return targets_of(target, len(images), self.categories, classes).to(images.device)

    def parts(self, targets: Tensor) -> Iterator[Part]:
        """Yield the images by batches; of a multi-label model those of one label together."""
        rows = torch.arange(len(targets), device=targets.device)
        if not self.multi_label or self.outputs == 1:
            for some in rows.split(self.batch_size):
                yield Part(some, self.classifier, targets[some])
            return
        for label in targets.unique().tolist():
            alone = OneLabel(self.classifier, label)
            for some in rows[targets == label].split(self.batch_size):
                yield Part(some, alone, torch.zeros_like(some))


def channels_of(model: nn.Module) -> int:
    """Return how many channels a model's images have, as its first convolution says; 3 where it has none."""
    own = getattr(model, "in_channels", None)
    if isinstance(own, int):
        return own
    return next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)
