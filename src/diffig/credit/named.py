"""Credits by name, for configs, notebooks and the rules of quadrature that came before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from diffig.credit.agreeing import Agreeing
from diffig.credit.base import Credit, Where
from diffig.credit.idgi import IDGI
from diffig.credit.proportional import Proportional
from diffig.credit.riemann import Riemann

Rule = Literal["left", "right", "midpoint", "trapezoid", "idgi"]
"""What `rule=` of a path method takes: where a Riemann sum has its gradients, or `idgi`."""

CREDITS: dict[str, Callable[[], Credit]] = {
    "riemann": Riemann,
    "proportional": Proportional,
    "agreeing": Agreeing,
    "idgi": IDGI,
}


def as_credit(credit: Credit | str) -> Credit:
    """Return the credit itself, the one of that name with its defaults, or `Riemann` of that rule.

    Raises:
        ValueError: no credit and no rule of that name.
    """
    if isinstance(credit, Credit):
        return credit
    if credit in get_args(Where):
        return Riemann(credit)  # type: ignore[arg-type]
    if credit not in CREDITS:
        raise ValueError(
            f"credit={credit!r} is unknown; choose one of {list(CREDITS)}, a Riemann rule of {list(get_args(Where))}, "
            "or give an object of diffig.credit"
        )
    return CREDITS[credit]()
