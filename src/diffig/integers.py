"""Whole numbers, asked for without torch: programs answer a wrong one before they import it."""

from __future__ import annotations

import numbers
import operator


def check_whole(value: object, name: str) -> int:
    """Return `value` as an int; raise where it is no whole number."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={value} must be a whole number") from None


def check_at_least(value: object, least: int, name: str, meaning: str, none: str = "None") -> int:
    """Return `value` as an int; raise where it is none or below `least`.

    Args:
        value: of any kind; 3.0 is 3.
        least: the smallest that is one.
        name: of the argument or the key.
        meaning: what the number says, for the message.
        none: how None is called where the name is.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or value % 1 != 0 or value < least:  # type: ignore[operator]  # an infinite value leaves NaN
        told = none if value is None else value if value != "" else "''"
        raise ValueError(f"{name}={told} must be a whole number of at least {least}: {meaning}")
    return int(value)  # type: ignore[call-overload]
