"""How metrics and numbers are read: which way is better, how many digits, how an interval is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatch
from types import MappingProxyType
from typing import TYPE_CHECKING

from diffig.evaluation.metric_info import Reading

if TYPE_CHECKING:
    import pandas as pd

# The metric that decides where none is named: the first that was measured; the authors' protocol has the second.
HEADLINES = ("diffid", "diffid_normalised")

# What rows of before `metrics.json` are read by, a pattern of `fnmatch`; the first group that matches decides, and of
# everything else more is better. Newer runs say it themselves.
NO_JUDGE = ("diffid_ceiling*", "*_centre", "mask_share")
HIGHER_IS_BETTER = (
    *("*insertion_minus_deletion*", "*gini*", "road_gap*", "infidelity_r2*", "sensitivity_n*"),
    *("aic*", "sic*"),
)
LOWER_IS_BETTER = (
    *(
        "*deletion*",
        "absolute_mass",
        "cancelled_mass",
        "*gap*",
        "*entropy*",
        "*complexity*",
        "*infidelity*",
        "*sensitivity*",
        "*morf*",
    ),
    *("*effective*", "*variation*", "*roughness*", "*seconds*", "*randomization*"),
    *("f_fidelity_minus*", "r_fidelity_minus*"),
)

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


# What the runs of the report in hand say of their metrics.
_SAID: ContextVar[Mapping[str, Reading]] = ContextVar("said", default=MappingProxyType({}))


@contextmanager
def as_said(readings: Mapping[str, Reading]) -> Iterator[None]:
    """Read metrics as these readings say, as long as the context lasts."""
    token = _SAID.set(readings)
    try:
        yield
    finally:
        _SAID.reset(token)


def said_of(metric: str) -> Reading | None:
    """Return how a metric says it is read; None where the runs are older than that."""
    return _SAID.get().get(metric)


def direction_of(metric: str) -> str:
    """Return `higher`, `lower` or `none`: as the metric itself has said it, of older rows judged by its name."""
    said = said_of(metric)
    if said is not None:
        return said.direction
    for direction, patterns in (("none", NO_JUDGE), ("higher", HIGHER_IS_BETTER), ("lower", LOWER_IS_BETTER)):
        if any(fnmatch(metric, pattern) for pattern in patterns):
            return direction
    return "higher"


def lower_is_better(metric: str) -> bool:
    """Return whether a metric's small values are the good ones."""
    return direction_of(metric) == "lower"


def judges_methods(metric: str) -> bool:
    """Return whether a metric ranks methods; references such as a mask's share say something of images alone."""
    return direction_of(metric) != "none"


def arrow(metric: str) -> str:
    """Return the arrow behind a metric's name, with the space before it; nothing where no side is better."""
    return {"lower": " ↓", "higher": " ↑"}.get(direction_of(metric), "")


def number(value: float, signed: bool = False) -> str:
    """Return about three significant digits, without the zero before the point: `.134`, `-.06`, `1,240`, `3.1e-05`."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size < 1e-8:  # what is left of equal numbers is rounding
        return "0"
    if size < 0.0005:
        text = f"{size:.1e}"
    else:
        text = f"{size:,.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"
        text = text.removeprefix("0") if size < 1 and text != "1.000" else text
    return (MINUS if value < 0 else "+" if signed and value > 0 else "") + text


def count(value: float) -> str:
    """Return a mean number of things: whole when it is whole or large, else like `number`."""
    if math.isfinite(value) and (value >= 100 or value == round(value)):
        return f"{value:,.0f}"
    return number(value)


def range_text(ends: tuple[float, float]) -> str:
    """Return the range of a metric: `0 to 1`, `at least 0`, or nothing where it has no end."""
    low, high = (f"{end:g}".replace("-", MINUS) if math.isfinite(end) else "" for end in ends)
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""


def estimate(mean: float, low: float, high: float, signed: bool = False) -> str:
    """Return a mean with its interval: `.134 [.101, .167]`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(mean, signed)
    return f"{number(mean, signed)} [{number(low, signed)}, {number(high, signed)}]"


def intervals_of(many: int, what: str) -> str:
    """Return how wide intervals of many differences are: each so wide that all together hold with 95 %."""
    if many < 2:
        return "Interval: 95 %."
    return f"Intervals: {100 - 5 / many:.4g} % each, so 95 % for the {many} {what} together."


def p_text(p: float) -> str:
    """Return p with three decimals, `< .001` below that."""
    return DASH if not math.isfinite(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def cell(column: str, value: object) -> str:
    """Return the text of one table cell, by the name of its column."""
    if isinstance(value, str):
        return value
    real = float(value)  # type: ignore[arg-type]
    if column in ("p", "p_holm"):
        return p_text(real)
    if column == "win_rate":
        return DASH if not math.isfinite(real) else f"{100 * real:.0f} %"
    if column in ("rank", "images", "settings", "seeds", "failures", "dropped"):
        return DASH if not math.isfinite(real) else f"{real:.0f}"
    if column in ("backward_images", "forward_images"):
        return count(real)
    return number(real, signed=column == "difference")


def against(pair: pd.Series, reference: str) -> str:
    """Return a finding in words: `is above ig by .060 [.031, .090]`, or that the data cannot tell."""
    side = "above" if pair["difference"] > 0 else "below"
    sure = "is" if pair["verdict"] != "unclear" else "lies"
    ends = sorted([abs(pair["low"]), abs(pair["high"])]) if pair["low"] * pair["high"] > 0 else None
    if ends is None:
        span = estimate(pair["difference"], pair["low"], pair["high"], signed=True)
        return f"cannot be told from {reference}: the difference {span} includes 0"
    text = f"{sure} {side} {reference} by {estimate(abs(pair['difference']), *ends)}"
    return text + ("" if pair["verdict"] != "unclear" else ", which does not survive Holm's correction")
