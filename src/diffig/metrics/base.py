"""What a metric is given (`Explained`), what it says about itself (`Facts`), and the shape all metrics share."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor, nn

from diffig.checks import check_images, check_targets
from diffig.precision import set_aside
from diffig.scores import ScoreFunction

Direction = Literal["higher", "lower", "none"]
Range = tuple[float, float]
# The families of the metrics here; another metric may name one of its own.
FAMILIES = (
    *("faithfulness by removal", "faithfulness by perturbation", "localisation", "robustness", "sanity"),
    *("complexity", "axioms and path"),
)


class Explain(Protocol):
    """The method that is judged, for metrics that ask it again; what that costs counts as the metric's, not its own."""

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        indices: Tensor,
        *,
        seed_shift: int = 0,
        classifier: nn.Module | None = None,
    ) -> Tensor:
        """Return attributions `(B, C, H, W)` of images in [0, 1].

        Args:
            images: `(B, C, H, W)`.
            targets: `(B,)` classes.
            indices: `(B,)` keys of the randomness.
            seed_shift: added to the method's own seed; with 0 it repeats itself exactly.
            classifier: explained instead of the method's own.
        """


@dataclass(frozen=True, eq=False)
class Explained:
    """A batch of images with the attributions to be judged.

    Args:
        images: `(B, C, H, W)` in [0, 1].
        attributions: `(B, C, H, W)`; a row holding NaN or infinity makes that image's values NaN, no other's.
        targets: `(B,)` int64, the classes that were explained; every metric scores these.
        labels: `(B,)` int64, the ground truth.
        baselines: `(B, C, H, W)`, where the paths began.
        score: what was explained; give a fresh `ScoreFunction` to count the metrics' own cost.
        indices: `(B,)` int64 positions in the dataset; they key the breaking of ties.
        gap: `(B,)` signed completeness gap, `sum(attribution) - (F(x) - F(x'))`.
        waste: `(B,)` sum of `|gradient * step|` along the path, or None where the method has no path.
        masks: `(B, 1, H, W)` uint8, where the object is: 1 inside, 0 outside, 255 where it is not to be counted; an
            image without a 1 has no mask. None where the dataset has none.
        explain: the method itself, for metrics that explain changed images or another classifier.
    """

    images: Tensor
    attributions: Tensor
    targets: Tensor
    labels: Tensor
    baselines: Tensor
    score: ScoreFunction
    indices: Tensor
    gap: Tensor
    waste: Tensor | None = None
    masks: Tensor | None = None
    explain: Explain | None = None

    def __post_init__(self) -> None:
        check_images(self.images)
        check_targets(self.targets, len(self.images))
        for name in ("attributions", "baselines"):
            shape, wanted = tuple(getattr(self, name).shape), tuple(self.images.shape)
            if shape != wanted:
                raise ValueError(
                    f"{name} has shape {shape}, the images {wanted}; one value for each image, channel and pixel is "
                    f"needed: a map without channels can be spread with (map / C).expand_as(images)"
                )
        for name in ("labels", "indices", "gap", "waste"):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != (len(self.images),):
                shape = tuple(value.shape)
                raise ValueError(f"{name} has shape {shape}; give one value for each of the {len(self.images)} images")
        wanted = (len(self.images), 1, *self.images.shape[2:])
        if self.masks is not None and (tuple(self.masks.shape) != wanted or self.masks.dtype != torch.uint8):
            raise ValueError(
                f"masks are {self.masks.dtype} {tuple(self.masks.shape)}; give uint8 {wanted}: 1 inside the object, 0 "
                "outside, 255 to be ignored"
            )

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def finite(self) -> Tensor:
        """`(B,)` bool: whose attribution holds neither NaN nor infinity."""
        return torch.isfinite(self.attributions).flatten(1).all(1)

    @cached_property
    def maps(self) -> Tensor:
        """`(B, C, H, W)` the attributions with non-finite images put to zero, safe to sort and sum."""
        if bool(self.finite.all()):
            return self.attributions.detach()
        return torch.where(self.finite[:, None, None, None], self.attributions, 0).detach()

    @cached_property
    def clean_logits(self) -> Tensor:
        """`(B, K)` logits of the untouched images; one forward for each image, shared by all metrics."""
        return self.score.logits(self.images)

    @cached_property
    def clean_probability(self) -> Tensor:
        """`(B,)` softmax probability of the target on the untouched images."""
        check_classes(self.targets, self.clean_logits.shape[1])
        return self.clean_logits.softmax(1).gather(1, self.targets[:, None])[:, 0]

    @cached_property
    def score_change(self) -> Tensor:
        """`(B,)` `F(x) - F(x')` in the objective that was explained.

        Read off the definition of the gap, so it costs no forward, and where attributions are averaged over several
        baselines it is the change from their mean score, which no single `baselines` could tell.
        """
        return self.maps.flatten(1).sum(1) - self.gap.to(self.maps)

    def again(self, images: Tensor, *, seed_shift: int = 0, classifier: nn.Module | None = None) -> Tensor:
        """Return the method's attributions `(B, C, H, W)` of other images, or with another seed or classifier.

        Raises:
            ValueError: there is no `explain`.
        """
        if self.explain is None:
            raise ValueError(
                "Explained.explain is None, but this metric explains the images again; give it a function of (images, "
                "targets, indices, *, seed_shift, classifier) that returns attributions, as diffig-evaluate does"
            )
        maps = self.explain(images, self.targets, self.indices, seed_shift=seed_shift, classifier=classifier)
        return maps.detach().to(self.images)

    def groups(self) -> Iterator[slice]:
        """Yield slices of at most `score.chunk_size` images, so that memory follows the chunk and not the batch."""
        for start in range(0, len(self), self.score.chunk_size):
            yield slice(start, start + self.score.chunk_size)


class Facts(NamedTuple):
    """One line of the table of metrics: how to read a value of that name.

    `direction` says which values are the good ones; `none` is for what describes images or classifier and judges no
    method. `family` groups metrics that ask the same question, `wording` is one sentence for a reader. `forwards`
    counts images through the classifier for each explained image, for all names of the metric together;
    `attributions` counts how often the method explains each image again.
    """

    name: str
    direction: Direction
    value_range: Range
    family: str
    wording: str = ""
    sensitive_to: tuple[str, ...] = ()
    forwards: int = 0
    attributions: int = 0


class Measured(NamedTuple):
    """Values `{name: (B,)}` and curves `{name: (B, n)}` that came from the same forwards.

    Metrics that explain again may add what is worth seeing: `maps`, `{title: (B, H, W)}`.
    """

    values: dict[str, Tensor]
    curves: dict[str, Tensor]
    maps: Mapping[str, Tensor] = MappingProxyType({})


class Metric(ABC):
    """A judge of attributions; it yields one value for each image under each of its `names`.

    Every metric says how it is read: `direction` ("higher", "lower", or "none" for what judges no method),
    `value_range` and `family` (one of `FAMILIES` or its own), each for all names or name by name. Reports rank by what
    is said here, never by how a name sounds. `wording` is the sentence they show, by default the docstring's first
    line. `axis` is the x-axis of the curves (fractions of the image), `sensitive_to` names the parameters that change
    the result.
    """

    names: tuple[str, ...]
    direction: Direction | Mapping[str, Direction]
    value_range: Range | Mapping[str, Range]
    family: str | Mapping[str, str]
    wording: str | Mapping[str, str] = ""
    sensitive_to: tuple[str, ...] = ()
    forwards: int = 0
    attributions: int = 0
    curve_names: tuple[str, ...] = ()
    axis: tuple[float, ...] = ()

    @abstractmethod
    def _measure(self, explained: Explained) -> Measured:
        """Values and curves of every image; read `explained.maps`, in which nothing is NaN."""

    def measure(self, explained: Explained) -> Measured:
        """Return values and curves of the same forwards; NaN for images whose attribution is not finite.

        Under autocast only the classifier computes in half precision.
        """
        with set_aside(explained.images):
            values, curves, maps = self._measure(explained)
        finite = explained.finite
        return Measured(
            {name: torch.where(finite, value, torch.nan) for name, value in values.items()},
            {name: torch.where(finite[:, None], curve, torch.nan) for name, curve in curves.items()},
            maps,
        )

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        """Return `{name: (B,)}`, one value for each image."""
        return self.measure(explained).values

    def curves(self, explained: Explained) -> dict[str, Tensor]:
        """Return `{name: (B, n)}` over `axis`; empty for metrics without curves."""
        return self.measure(explained).curves if self.curve_names else {}

    def describe(self) -> list[Facts]:
        """Return one line of facts for each name.

        Raises:
            TypeError: the class does not say how its values are read.
        """
        missing = [fact for fact in ("direction", "value_range", "family") if not hasattr(self, fact)]
        if missing:
            raise TypeError(
                f"{type(self).__name__} does not say its {', '.join(missing)}, so nothing could rank by it; give the "
                'class direction = "higher" or "lower" ("none" is shown without ranking), '
                f"value_range = (lowest, highest) and family = one of {', '.join(FAMILIES)}, or your own"
            )
        lines = [
            Facts(
                name,
                _of(self.direction, name),
                _of(self.value_range, name),
                _of(self.family, name),
                _of(self.wording, name) or _first_sentence(self),
                self.sensitive_to,
                self.forwards,
                self.attributions,
            )
            for name in self.names
        ]
        for line in lines:
            if line.direction not in get_args(Direction):
                raise TypeError(
                    f"{type(self).__name__} says direction={line.direction!r} of {line.name}; "
                    f"choose one of {', '.join(get_args(Direction))}"
                )
        return lines


def _of(fact: Any, name: str) -> Any:
    """What holds for one name; a mapping gives each name its own."""
    return fact[name] if isinstance(fact, Mapping) else fact


def _first_sentence(metric: Metric) -> str:
    """The first line of a class's own docstring; nothing where it has none."""
    return (inspect.cleandoc(type(metric).__doc__ or "").splitlines() or [""])[0]


def check_classes(targets: Tensor, classes: int) -> None:
    """Return nothing; raise where `targets` `(B,)` are not all among the classifier's classes."""
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"targets lie in [{low}, {high}] but the classifier knows the classes 0 to {classes - 1}; "
            "check the labels or use a classifier with more classes"
        )
