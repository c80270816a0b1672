"""How a piece of a path is divided among the features: the third part of a path method, beside path and cuts."""

from diffig.credit.agreeing import Agreeing
from diffig.credit.base import Credit, Where
from diffig.credit.idgi import IDGI
from diffig.credit.named import CREDITS, Rule, as_credit
from diffig.credit.proportional import Proportional
from diffig.credit.riemann import Riemann

__all__ = ["CREDITS", "IDGI", "Agreeing", "Credit", "Proportional", "Riemann", "Rule", "Where", "as_credit"]
