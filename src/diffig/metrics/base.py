"""The base class of metrics, and what each says about itself (`MetricInfo`)."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from diffig.metrics.explained import Explained
from diffig.precision import set_aside

Direction = Literal["higher", "lower", "none"]
Range = tuple[float, float]
# The families of the metrics here; another metric may name one of its own.
FAMILIES = (
    *("faithfulness by removal", "faithfulness by perturbation", "localisation", "robustness", "sanity"),
    *("complexity", "axioms and path"),
)


class MetricInfo(NamedTuple):
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

    def describe(self) -> list[MetricInfo]:
        """Return one line for each name.

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
            MetricInfo(
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
