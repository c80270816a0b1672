"""One call from an image to its heat map, for any network and any method."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.held import like_images
from diffig.captum import CaptumCall, alone, takes_tuples
from diffig.checks import check_at_least, check_options
from diffig.config import options_of
from diffig.integration.integrate import Integral
from diffig.notebook.estimate import Estimate, estimated
from diffig.notebook.options import Preset, check_captum, recipe_of
from diffig.notebook.progress import Bar
from diffig.notebook.subject import Subject
from diffig.scores import Cost, Objective, ScoreFunction


class Explainer(CaptumCall):
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
        chunk_size: the largest number of images in one call of the model; memory follows it. As many as there is room
            for where none is given.
        batch_size: images that are explained together; results do not depend on it.
        progress: show a bar; `auto` where somebody watches, on calls of more than a few seconds.
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
        chunk_size: int | None = None,
        batch_size: int = 16,
        progress: bool | Literal["auto"] = "auto",
        preset: Preset | None = None,
        **options: Any,
    ) -> None:
        check_at_least(batch_size, 1, "batch_size", "images that are explained together")
        if progress not in (True, False, "auto"):
            raise ValueError(f"progress={progress!r} is unknown; choose True, False or 'auto'")
        if not isinstance(multi_label, bool):
            raise ValueError(f"multi_label={multi_label!r} must be True or False")
        self.subject = Subject(model, preprocess, multi_label, categories, objective, chunk_size, batch_size)
        self.recipe, self.preset, self.progress = recipe_of(method, preset, options), preset, progress
        self.attributor = self.recipe.build(ScoreFunction(self.subject.classifier, objective, chunk_size))
        self.cost = Cost()

    @property
    def name(self) -> str:
        """The method's name in results."""
        return self.attributor.name

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are contributions to the score, see `Attributor`."""
        return self.attributor.multiplies_by_inputs

    @property
    def forward_func(self) -> nn.Module:
        """The model with its preprocessing, by the name under which Captum's wrappers look for it."""
        return self.subject.classifier

    @overload
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        return_convergence_delta: Literal[False] = False,
        *,
        n_steps: int | None = None,
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> Tensor: ...

    @overload
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        *,
        return_convergence_delta: Literal[True],
        n_steps: int | None = None,
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> tuple[Tensor, Tensor]: ...

    @takes_tuples
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
        makes = {*inspect.signature(Explainer).parameters, *self.recipe.options}
        check_options(options, inspect.signature(self.attributor.explain).parameters, self.name, makes)
        given = self.subject.read(inputs, self.is_clamped)
        if isinstance(baselines, str) and baselines in options_of("baseline"):
            raise ValueError(
                f"baselines={baselines!r}: a named baseline belongs where the method is made, baseline={baselines!r}"
            )
        if baselines is not None and not isinstance(baselines, int | float):
            baselines = self.subject.read(baselines).batch.expand_as(given.batch)
        with self.subject.lock:
            method = self.method(given.batch, n_steps)
            integral = self._explain(method, given.batch, baselines, target, indices, options)
        attribution = given.restored(integral.attribution)
        return (attribution, integral.gap) if return_convergence_delta else attribution

    def compute_convergence_delta(
        self, attributions: Any, start_point: Any, end_point: Any, target: Any = None
    ) -> Tensor:
        """Return the sum of any attributions minus the change of the score from start to end, `(B,)`.

        Args:
            attributions: of any layout, made by whatever method.
            start_point: a baseline as `attribute` takes it; black where none is given.
            end_point: the images, of any kind that `attribute` takes.
            target: the classes, as in `attribute`.
        """
        images = self.subject.read(alone(end_point), self.is_clamped).batch
        start = 0.0 if start_point is None else alone(start_point)
        if not isinstance(start, int | float):
            start = self.subject.read(start).batch.expand_as(images)
        maps, gap = like_images(alone(attributions), images, "attributions"), images.new_zeros(len(images))
        with self.subject.lock:
            method = self.method(images)
            for part in self.subject.parts(self.subject.targets(target, images)):
                method.score = self.subject.score(method.score.objective, part.classifier)
                given = maps[part.rows], _rows(start, part.rows, images), images[part.rows]
                gap[part.rows] = method.compute_convergence_delta(*given, part.targets)
        return gap

    def picture(self, image: Any) -> Tensor:
        """Return the image as it is explained, a tensor in [0, 1] of the layout that its map has."""
        given = self.subject.read(image)
        return given.restored(given.batch)

    def predict(self, image: Any) -> Tensor:
        """Return the logits `(B, K)` of an image or a batch."""
        with self.subject.lock:
            return self.subject.score("logit").logits(self.subject.read(image).batch)

    def estimate(self, image: Any, n_steps: int | None = None) -> Estimate:
        """Return about what explaining the image or batch costs, from one timed forward and backward pass."""
        images = self.subject.read(image).batch
        with self.subject.lock:
            method = self.method(images, n_steps)
            return estimated(method, method.score, images, self.subject.look_at(images))

    def method(self, images: Tensor, steps: int | None = None) -> Attributor:
        """Return the method by itself, sharing nothing that changes, with the score that these images ask for."""
        if steps is not None and not hasattr(self.attributor, "steps"):
            raise ValueError(f"{self.name} takes no steps; leave n_steps out")
        self.subject.look_at(images)
        score = self.subject.score(self.attributor.score.objective)
        own = copy.copy(self.attributor) if steps is None else self.recipe.with_steps(steps).build(score)
        own.score = score
        return own

    def __repr__(self) -> str:
        own = f"preset={self.preset!r}" if self.preset else repr(self.name)
        steps = getattr(self.attributor, "steps", None)
        facts = [
            f"{self.subject.classifier.name}, {own}",
            f"objective={self.subject.score(self.attributor.score.objective).objective!r}",
            *(["multi_label=True"] if self.subject.multi_label else []),
            *([f"steps={steps}"] if steps is not None and not self.preset else []),
            f"preprocess: {self.subject.preprocessing}",
            *([f"{len(self.subject.categories)} categories"] if self.subject.categories else []),
        ]
        return f"{type(self).__name__}({', '.join(facts)})"

    def _explain(
        self,
        method: Attributor,
        images: Tensor,
        baselines: Tensor | float | None,
        target: Any,
        indices: Tensor | None,
        options: dict[str, Any],
    ) -> Integral:
        """Part by part, and put together in the order of the images."""
        indices = torch.arange(len(images)) if indices is None else indices.cpu()
        parts = list(self.subject.parts(self.subject.targets(target, images)))
        results = []
        with Bar(self.name, len(images), self.progress) as bar:
            for part in parts:
                method.score = self.subject.score(method.score.objective, part.classifier)
                method.score.on_forward = bar.count
                some = {key: _rows(value, part.rows, images) for key, value in options.items()}
                start = _rows(baselines, part.rows, images)
                results.append(method.explain(images[part.rows], start, part.targets, indices[part.rows.cpu()], **some))
                self.cost += method.score.cost
                bar.advance(len(part.rows))
        back = torch.cat([part.rows for part in parts]).argsort()
        return Integral(*(torch.cat(values)[back] for values in zip(*results, strict=True)))


def _rows(value: Any, rows: Tensor, images: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.to(images.device)
    return value[rows] if len(value) == len(images) else value
