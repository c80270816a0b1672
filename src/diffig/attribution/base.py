"""The one signature of every method, Captum's: `attribute(inputs, baselines, target, return_convergence_delta)`."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor, nn

from diffig.baselines import Baseline, Constant, named_references
from diffig.captum import CaptumCall, alone, takes_tuples
from diffig.checks import (
    check_images,
    check_indices,
    check_like,
    check_options,
    check_pixel_range,
    check_targets,
    check_whole,
    warn_non_finite,
)
from diffig.credit import Credit
from diffig.integration.integrate import Integral
from diffig.integration.soft_insertion_deletion import Fill, Unit, best_footprint
from diffig.precision import set_aside
from diffig.randomness import Streams
from diffig.scores import Objective, ScoreFunction


class Attributor(CaptumCall, ABC):
    """Explains a batch of images; drops into whatever takes a Captum explainer.

    Args:
        score: what is explained; a bare classifier (images in [0, 1] to logits) means the method's own `objective`.
        baseline: where paths start when `attribute` is given no baselines; black where none is given.
        seed: of all randomness, together with each image's index.
    """

    name = "attributor"
    objective: Objective = "probability"
    """The objective where the caller gives a bare classifier."""
    n_paths = 1
    footprints: tuple[float, ...] = ()
    """Widths over which a map is smoothed, shares of the shorter side; of several, the one that is judged best."""
    judged_by: tuple[Sequence[Unit], Fill] = ("element", "pixel"), "kept_mean"
    """How maps are judged by soft insertion minus deletion: the features that are removed, and what replaces them."""
    fails = "score or gradient", "Look at the classifier on these images (NaN pixels, overflow, log of 0)."
    """What an attribution that is not finite comes of, and where to look."""
    asks_baseline = True
    """Whether attributions depend on the baseline; where they do not, an average over baselines is computed once."""

    def __init__(self, score: ScoreFunction | nn.Module, baseline: Baseline | None = None, seed: int = 0) -> None:
        given = score if isinstance(score, ScoreFunction) else ScoreFunction(score, None)
        self.score = given.settled(self.objective)
        self.baseline = baseline or Constant(0.0)
        self.seed = check_whole(seed, "seed")

    @property
    def guidance_strengths(self) -> dict[str, float]:
        """Strength of each guidance energy by name; empty for methods without guidance."""
        return {}

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are contributions to the score, as Captum's and Quantus' callers want to know.

        Where they are not (a gradient, a heat map), sums mean nothing and a method may report a gap of NaN.
        """
        return True

    @property
    def forward_func(self) -> nn.Module:
        """The classifier, by the name under which Captum's wrappers look for it."""
        return self.score.classifier

    @overload
    def attribute(
        self,
        inputs: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        return_convergence_delta: Literal[False] = False,
        *,
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> Tensor: ...

    @overload
    def attribute(
        self,
        inputs: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        *,
        return_convergence_delta: Literal[True],
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> tuple[Tensor, Tensor]: ...

    @takes_tuples
    def attribute(
        self,
        inputs: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        return_convergence_delta: bool = False,
        *,
        indices: Tensor | None = None,
        **options: Tensor,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return attributions shaped like `inputs`, and the completeness gap `(B,)` where it is asked for.

        Args:
            inputs: `(B, C, H, W)` in [0, 1]; `clamped()` takes pixels outside, too.
            baselines: `(B, C, H, W)` or `(1, C, H, W)`, or one pixel value; the method's own baseline otherwise.
            target: `(B,)` classes or one class; the predicted classes otherwise.
            return_convergence_delta: also return the gap, sum of attributions minus `F(x) - F(x')`, where `x'` is
                the path's own start: methods that choose it themselves (Blur IG, AGI, IG2) say so.
            indices: `(B,)` the images' dataset indices, the key of their randomness; 0 ... B - 1 otherwise.
            options: what only some methods take, such as field DiffIG's `region`.
        """
        makes = inspect.signature(type(self)).parameters
        check_options(options, inspect.signature(self.explain).parameters, self.name, makes)
        integral = self.explain(self._inside(inputs), baselines, target, indices, **options)
        return (integral.attribution, integral.gap) if return_convergence_delta else integral.attribution

    def compute_convergence_delta(
        self,
        attributions: Tensor,
        start_point: Tensor | float | None,
        end_point: Tensor,
        target: Tensor | int | None = None,
    ) -> Tensor:
        """Return the sum of any attributions minus the change of the score from start to end, `(B,)`.

        Args:
            attributions: `(B, C, H, W)`, made by whatever method.
            start_point: a baseline as `attribute` takes it; black where none is given.
            end_point: the images `(B, C, H, W)` in [0, 1].
            target: the classes, as in `attribute`.
        """
        images, attributions = self._inside(alone(end_point)), alone(attributions)
        check_images(images, "end_point")
        check_pixel_range(images, "end_point")
        check_like(attributions, images, "attributions")
        self.score.fit(images)
        targets = self._targets(images, target)
        start = named_references(images, 0.0 if start_point is None else alone(start_point))
        change = self.score.score(images, targets) - self.score.score(start, targets)
        return attributions.flatten(1).sum(1) - change

    def explain(
        self,
        images: Tensor,
        baselines: Tensor | float | None = None,
        target: Tensor | int | None = None,
        indices: Tensor | None = None,
    ) -> Integral:
        """Return attribution, completeness gap and absolute mass of each image; arguments as in `attribute`.

        An image whose scores or gradients are not finite gets NaN and is named in a `NonFiniteWarning`. Under autocast,
        and for images in half precision, only the classifier computes in it, and what is returned is float32.
        """
        check_images(images, "inputs")
        check_pixel_range(images, "inputs")
        with set_aside(images.detach()) as precise:
            self.score.fit(precise)
            return self._explain_all(precise, baselines, target, indices)

    def _explain_all(
        self, images: Tensor, baselines: Tensor | float | None, target: Tensor | int | None, indices: Tensor | None
    ) -> Integral:
        targets = self._targets(images, target)
        indices = torch.arange(len(images)) if indices is None else indices
        check_indices(indices, len(images))
        streams = Streams(self.seed, indices)
        references = self._references(images, baselines, streams)
        parts = [self._choices(images, reference, targets, streams) for reference in references]
        choices, gap, mass = (torch.stack(values).mean(0) for values in zip(*parts, strict=True))
        attribution = choices[:, 0]
        if self.footprints or choices.shape[1] > 1:
            units, fill = self.judged_by
            given = images, references[0], targets, self.score
            attribution, _ = best_footprint(choices, self.footprints or (0.0,), *given, units=units, fill=fill)
        bad = ~attribution.flatten(1).isfinite().all(1)
        if self.multiplies_by_inputs:
            bad |= ~gap.isfinite()  # an end may fail where no node does
        warn_non_finite(bad, indices, *self.fails)
        attribution[bad], gap[bad], mass[bad] = torch.nan, torch.nan, torch.nan
        return Integral(attribution, gap, mass)

    def __repr__(self) -> str:
        given = {name: getattr(self, name, None) for name in inspect.signature(type(self)).parameters}
        plain = [f"{name}={value!r}" for name, value in given.items() if isinstance(value, str | int | float | Credit)]
        facts = [type(self.score.classifier).__name__, f"objective={self.score.objective!r}", *plain]
        return f"{type(self).__name__}({', '.join(facts)})"

    def _inside(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1) if self.is_clamped and isinstance(images, Tensor) else images

    def _targets(self, images: Tensor, target: Tensor | int | None) -> Tensor:
        if target is None:
            return self.score.logits(images).argmax(1)
        if isinstance(target, str):
            raise TypeError(f"target is the name {target!r}; give the number of the class")
        targets = torch.as_tensor(target, device=images.device)
        return check_targets(targets.expand(len(images)) if targets.ndim == 0 else targets, len(images))

    def _references(self, images: Tensor, baselines: Tensor | float | None, streams: Streams) -> list[Tensor]:
        if not self.asks_baseline:
            return [images]
        if baselines is None:
            return self.baseline.references(images, streams)
        return [named_references(images, baselines)]

    def _choices(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        """The integral with several attributions `(B, N, C, H, W)` of one sum, of which the best is judged later."""
        integral = self._explain(images, baselines, targets, streams)
        return integral._replace(attribution=integral.attribution[:, None])

    @abstractmethod
    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        """The attribution for one reference for each image."""
