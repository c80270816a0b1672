"""Completeness: does an attribution add up to the change of the score it explains."""

from __future__ import annotations

from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained


class Completeness(Metric):
    """The completeness gap, absolute and relative (Sundararajan, Taly and Yan, ICML 2017, axiom 3).

    `gap_abs` is `|sum(a) - (F(x) - F(x'))|` in units of the score; `gap_rel` divides it by `|F(x) - F(x')|`, floored
    at 1e-6. Zero for a complete attribution; NaN where a method reports no gap. No forwards. Look at the
    median and a high percentile: one image with an almost unchanged score makes a mean of `gap_rel` meaningless.
    """

    names = ("gap_abs", "gap_rel")
    direction = "lower"
    value_range = (0.0, float("inf"))
    family = "axioms and path"

    def _measure(self, explained: Explained) -> Measured:
        size = explained.gap.abs().to(explained.images)
        change = explained.score_change.abs().clamp(min=1e-6)
        return Measured({"gap_abs": size, "gap_rel": size / change}, {})
