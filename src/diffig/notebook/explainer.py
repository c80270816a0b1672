"""One call from an image to its heat map, for any network and any method."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.integrate import Integral
from diffig.calls import check_module
from diffig.notebook.estimate import Estimate, estimated
from diffig.notebook.images import Given, read_images
from diffig.notebook.network import Network, OneLabel
from diffig.notebook.options import Preset, check_captum, recipe_of
from diffig.notebook.preprocessing import preprocessing_of
from diffig.notebook.progress import tracked
from diffig.notebook.targets import categories_of, targets_of
from diffig.scores import Cost, Objective, ScoreFunction

_BORROWED: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""A model is explained by one thread at a time: its modes and hooks change meanwhile."""


class Part(NamedTuple):
    """Images that are explained together: their places in the batch, the classifier, and their classes for it."""

    rows: Tensor
    classifier: Network | OneLabel
    targets: Tensor


class Explainer:
    """A method with its model; `attribute` explains images in whatever form they are held.

    Args:
        method: a name in `conf/method`, such as `ig` or `gig`.
        model: any module that returns logits: a tensor, a tuple, a dictionary, an output of Hugging Face.
        preprocess: what the model's own library does to pixels, see `preprocessing_of`; it becomes part of the
            classifier, so that maps are of pixels in [0, 1].
        multi_label: every logit is a label of its own with the probability `sigmoid(logit)`, not a share of a softmax.
        categories: names of the classes, where neither the weights nor the model tell them.
        objective: `probability`, `logit`, `log_probability` or `margin`; the method's own, and for a single logit or
            labels the probability, where none is named.
        chunk_size: the largest number of images in one call of the model; memory follows it.
        batch_size: images that are explained together; results do not depend on it.
        progress: show a bar; `auto` where somebody watches and there is more than one batch.
        preset: of DiffIG, `fast`, `default` or `best`.
        options: of the method, as in its file in `conf/method`, see `recipe_of`.
    """

    def __init__(
        self,
        method: str,
        model: nn.Module,
        preprocess: Any = None,
        *,
        multi_label: bool = False,
        categories: Sequence[str] | None = None,
        objective: Objective | None = None,
        chunk_size: int = 64,
        batch_size: int = 16,
        progress: bool | Literal["auto"] = "auto",
        preset: Preset | None = None,
        **options: Any,
    ) -> None:
        check_module(model)
        self.recipe, self.preset = recipe_of(method, preset, options), preset
        self.channels = channels_of(model)
        self.preprocessing = preprocessing_of(preprocess, model, self.channels)
        self.classifier = Network(model, self.preprocessing)
        self.categories = categories_of(categories, self.preprocessing.categories, model)
        self.multi_label, self.objective, self.chunk_size = multi_label, objective, chunk_size
        self.batch_size, self.progress = batch_size, progress
        self.attributor = self.recipe.build(ScoreFunction(self.classifier, objective, chunk_size))
        self.cost = Cost()
        self._outputs: int | None = None

    @property
    def name(self) -> str:
        """The method's name in results."""
        return self.attributor.name

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        return_convergence_delta: bool = False,
        *,
        n_steps: int | None = None,
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return attributions in the layout of `inputs`, and the completeness gap `(B,)` where it is asked for.

        Args:
            inputs: an image or a batch, see `read_images`; files and Pillow's images are resized and cropped as
                `preprocess` says, and their maps are those of `picture(inputs)`.
            baselines: images, or one pixel value; the method's own baseline otherwise.
            target: a class number or name, or one for each image; the predicted classes otherwise.
            return_convergence_delta: also return the sum of attributions minus the score's change.
            n_steps: Captum's word for the method's `steps`, for this call.
            indices: `(B,)` keys of the images' randomness; 0 ... B - 1 otherwise.
            options: what only some methods take, such as field DiffIG's `region`.
        """
        check_captum(options, self.name)
        given = self.read(inputs)
        integral = self._explain(given, baselines, target, n_steps, indices, options)
        attribution = given.restored(integral.attribution)
        return (attribution, integral.gap) if return_convergence_delta else attribution

    def picture(self, image: Any) -> Tensor:
        """Return the image as it is explained, a tensor in [0, 1] of the layout that its map has."""
        given = self.read(image)
        return given.restored(given.batch)

    def predict(self, image: Any) -> Tensor:
        """Return the logits `(B, K)` of an image or a batch."""
        with _lock(self.classifier.net):
            return self.score(self.classifier).logits(self.read(image).batch)

    def estimate(self, image: Any, n_steps: int | None = None) -> Estimate:
        """Return about what explaining the image or batch costs, from one timed forward and backward pass."""
        given = self.read(image)
        with _lock(self.classifier.net):
            outputs = max(2, self._number_of_outputs(given.batch))
            return estimated(self.method(given.batch, n_steps), self.score(self.classifier), given.batch, outputs)

    def __repr__(self) -> str:
        own = f"preset={self.preset!r}" if self.preset else repr(self.name)
        steps = getattr(self.attributor, "steps", None)
        facts = [
            f"{self.classifier.name}, {own}",
            f"objective={self.objective or self.attributor.score.objective!r}",
            *(["multi_label=True"] if self.multi_label else []),
            *([f"steps={steps}"] if steps is not None and not self.preset else []),
            f"preprocess: {self.preprocessing}",
            *([f"{len(self.categories)} categories"] if self.categories else []),
        ]
        return f"{type(self).__name__}({', '.join(facts)})"

    def read(self, image: Any) -> Given:
        given = read_images(image, self.preprocessing.framing, self.channels)
        return given._replace(batch=given.batch.to(self.classifier.device))

    def _number_of_outputs(self, images: Tensor) -> int:
        if self._outputs is None:
            self._outputs = self.classifier.outputs(images[:1])
        return self._outputs

    def _explain(
        self,
        given: Given,
        baselines: Any,
        target: Any,
        steps: int | None,
        indices: Tensor | None,
        options: dict[str, Any],
    ) -> Integral:
        images, method = given.batch, self.method(given.batch, steps)
        indices = torch.arange(len(images)) if indices is None else indices
        if baselines is not None and not isinstance(baselines, int | float):
            baselines = self.read(baselines).batch.expand_as(images)
        with _lock(self.classifier.net):
            targets = self.targets(target, images)
            parts = list(self.parts(targets))
            results = []
            for part in tracked(parts, self.name, self.progress):
                method.score = self.score(part.classifier)
                some = {key: _rows(value, part.rows, images) for key, value in options.items()}
                start = _rows(baselines, part.rows, images)
                results.append(method.explain(images[part.rows], start, part.targets, indices[part.rows.cpu()], **some))
                self.cost += method.score.cost
        back = torch.cat([part.rows for part in parts]).argsort()
        return Integral(*(torch.cat(values)[back] for values in zip(*results, strict=True)))

    def targets(self, target: Any, images: Tensor) -> Tensor:
        outputs = self._number_of_outputs(images)
        if target is None:
            score = self.score(self.classifier)
            targets = score.logits(images).argmax(1)
            self.cost += score.cost
            return targets
        return targets_of(target, len(images), self.categories, max(2, outputs)).to(images.device)

    def parts(self, targets: Tensor) -> Iterator[Part]:
        labels = targets.unique().tolist() if self.multi_label and self._outputs != 1 else [None]
        for label in labels:
            all_rows = torch.arange(len(targets), device=targets.device)
            classifier = self.classifier if label is None else OneLabel(self.classifier, label)
            for rows in (all_rows if label is None else all_rows[targets == label]).split(self.batch_size):
                yield Part(rows, classifier, targets[rows] if label is None else torch.zeros_like(rows))

    def method(self, images: Tensor, steps: int | None = None) -> Attributor:
        """Return a method that shares nothing that changes: its score is what these images' outputs ask for."""
        if steps is not None and not hasattr(self.attributor, "steps"):
            raise ValueError(f"{self.name} takes no steps; leave n_steps out")
        self._number_of_outputs(images)
        score = self.score(self.classifier)
        own = copy.copy(self.attributor) if steps is None else self.recipe.with_steps(steps).build(score)
        own.score = score
        return own

    def score(self, classifier: Network | OneLabel) -> ScoreFunction:
        sigmoid = self.multi_label or self._outputs == 1
        own: Objective = "probability" if sigmoid else self.attributor.score.objective
        return ScoreFunction(classifier, self.objective or own, self.chunk_size)


class DiffIG(Explainer):
    """Diffusion Integrated Gradients, training-free: a shipped prior of paths for every classifier.

    Args:
        model: as in `Explainer`.
        preset: `fast` (16 backward images), `default` (32) or `best` (128).
        preprocess: as in `Explainer`.
        options: as in `Explainer`, and those of `conf/method/diffig_field.yaml`.
    """

    def __init__(self, model: nn.Module, preset: Preset = "default", preprocess: Any = None, **options: Any) -> None:
        super().__init__("diffig_field", model, preprocess, preset=preset, **options)


def explainer(method: str, model: nn.Module, preprocess: Any = None, **options: Any) -> Explainer:
    """Return any method by its name with the conveniences of `DiffIG`; arguments as in `Explainer`."""
    return Explainer(method, model, preprocess, **options)


def channels_of(model: nn.Module) -> int:
    """Return how many channels a model's images have, as its first convolution says; 3 where it has none."""
    if isinstance(getattr(model, "in_channels", None), int):
        return int(model.in_channels)  # type: ignore[arg-type]
    return next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)


def _lock(model: nn.Module) -> threading.RLock:
    return _BORROWED.setdefault(model, threading.RLock())


def _rows(value: Any, rows: Tensor, images: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.to(images.device)
    return value[rows] if len(value) == len(images) else value
