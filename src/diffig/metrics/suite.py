"""A named set of metrics, run together: what `conf/metrics/*.yaml` builds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from diffig.metrics.base import Measured, Metric, MetricInfo
from diffig.metrics.explained import Explained


class MetricSuite:
    """Several metrics behind the call of one; forwards on untouched images are shared between them.

    Args:
        metrics: metrics under names of their own, used only in configuration; the names of values come from the
            metrics and must not collide.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = dict(metrics)
        for key, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise TypeError(f"metrics.{key} is a {type(metric).__name__}; give a subclass of diffig.metrics.Metric")
        self.describe()  # a metric that does not say how it is read is refused before anything is explained
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(f"two metrics yield {sorted(repeated)}; drop one, or change the option its name carries")

    @property
    def names(self) -> list[str]:
        """The names of all values, in order."""
        return [name for metric in self.metrics.values() for name in metric.names]

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """The x-axis of each curve, by the curve's name."""
        return {name: metric.axis for metric in self.metrics.values() for name in metric.curve_names}

    def describe(self) -> list[MetricInfo]:
        """Return one line (name, direction, range, family, wording, sensitivities, cost) for each name."""
        return [line for metric in self.metrics.values() for line in metric.describe()]

    def of_maps_alone(self) -> tuple[MetricSuite, list[str]]:
        """Return the suite without the metrics that explain images again, and the names of these."""
        kept = {key: metric for key, metric in self.metrics.items() if not metric.attributions}
        return MetricSuite(kept), sorted(set(self.metrics) - set(kept))

    def measure(self, explained: Explained) -> Measured:
        """Return the values `{name: (B,)}` and the curves `{name: (B, n)}` of all metrics."""
        values: dict[str, Tensor] = {}
        curves: dict[str, Tensor] = {}
        maps: dict[str, Tensor] = {}
        for metric in self.metrics.values():
            measured = metric.measure(explained)
            values |= measured.values
            curves |= measured.curves
            maps |= measured.maps
        return Measured(values, curves, maps)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        """Return `{name: (B,)}`, one value for each image and name."""
        return self.measure(explained).values
