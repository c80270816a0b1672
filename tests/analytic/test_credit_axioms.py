"""What each credit keeps of the axioms of attribution and what it gives up, on models worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diffig.attribution import IntegratedGradients
from diffig.credit import IDGI, Agreeing, Credit, Proportional, Riemann
from diffig.scores import ScoreFunction

PROPORTIONAL = [Proportional(), Proportional(2, 1), Agreeing(), Agreeing(2)]
EXACT = [*PROPORTIONAL, IDGI(), Proportional(2, 1, 0.3), Agreeing(1, 0.3)]


class Of(nn.Module):
    """Class 0 scores a function of the four features `(B, 4)` of a 1 x 2 x 2 image, class 1 nothing."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        value = self.function(*images.flatten(1).unbind(1))
        return torch.stack([value, torch.zeros_like(value)], 1)


def explained(function, credit: Credit, image, baseline=(0.0, 0.0, 0.0, 0.0), steps: int = 16) -> Tensor:
    """What each of the four features gets on the straight line."""
    x, start = (torch.tensor(values, dtype=torch.float64).view(1, 1, 2, 2) for values in (image, baseline))
    method = IntegratedGradients(ScoreFunction(Of(function), "logit"), steps=steps, credit=credit)
    return method.explain(x, start, 0).attribution.flatten()


def bent(a, b, c, d):
    return torch.exp(a) * b + a * c**2 - torch.sin(3 * d)


@pytest.mark.parametrize("credit", EXACT, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 7, 64])
def test_completeness_is_exact_for_any_number_of_pieces(credit, steps):
    image = (0.8, 0.3, 0.9, 0.6)
    wanted = bent(*torch.tensor(image, dtype=torch.float64)) - bent(*torch.zeros(4, dtype=torch.float64))
    assert abs(explained(bent, credit, image, steps=steps).sum() - wanted) < 1e-12
    assert abs(explained(bent, Riemann(), image, steps=2).sum() - wanted) > 1e-3


@pytest.mark.parametrize("credit", [*PROPORTIONAL, Riemann()], ids=str)
def test_sensitivity_the_only_feature_that_differs_gets_the_whole_change(credit):
    found = explained(bent, credit, (0.8, 0.3, 0.9, 0.6), (0.2, 0.3, 0.9, 0.6), steps=400)
    change = bent(*torch.tensor((0.8, 0.3, 0.9, 0.6)).double()) - bent(*torch.tensor((0.2, 0.3, 0.9, 0.6)).double())
    torch.testing.assert_close(found, torch.stack([change, *torch.zeros(3).double()]), rtol=0, atol=1e-5)


def test_sensitivity_is_given_up_where_the_step_plays_no_part():
    found = explained(bent, IDGI(), (0.8, 0.3, 0.9, 0.6), (0.2, 0.3, 0.9, 0.6))
    assert (found[1:].abs() > 1e-3).all()


@pytest.mark.parametrize("credit", [*PROPORTIONAL, IDGI(), Riemann()], ids=str)
def test_dummy_a_feature_the_score_does_not_ask_gets_nothing(credit):
    found = explained(lambda a, b, c, d: a * b + torch.exp(c) + 0 * d, credit, (0.8, 0.3, 0.9, 0.6))
    assert found[3] == 0
    assert (found[:3] != 0).all()


def test_dummy_is_given_up_by_a_footprint():
    found = explained(lambda a, b, c, d: a * b + torch.exp(c) + 0 * d, Proportional(1, 1, 0.5), (0.8, 0.3, 0.9, 0.6))
    assert found[3] > 1e-3


@pytest.mark.parametrize("credit", [*EXACT, Riemann()], ids=str)
def test_implementation_invariance(credit):
    image = (0.8, 0.3, 0.9, 0.6)
    once = explained(lambda a, b, c, d: (a + b) ** 2 - c * d, credit, image)
    again = explained(lambda a, b, c, d: a * (a + 2 * b) + b * b - d * c, credit, image)
    torch.testing.assert_close(once, again, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("credit", [*EXACT, Riemann()], ids=str)
@pytest.mark.parametrize("factor", [-3.0, 0.25])
def test_a_multiple_of_the_score_gets_the_multiple_of_the_map(credit, factor):
    image = (0.8, 0.3, 0.9, 0.6)
    scaled = explained(lambda *x: factor * bent(*x), credit, image)
    torch.testing.assert_close(scaled, factor * explained(bent, credit, image), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("credit", [*EXACT, Riemann()], ids=str)
def test_linearity_is_given_up_by_all_but_riemann_sums(credit):
    image = (0.8, 0.3, 0.9, 0.6)
    parts = explained(lambda a, b, c, d: a**2 + b, credit, image), explained(lambda a, b, c, d: -c * d, credit, image)
    whole = explained(lambda a, b, c, d: a**2 + b - c * d, credit, image)
    error = (whole - parts[0] - parts[1]).abs().max()
    assert error < 1e-12 if isinstance(credit, Riemann) else error > 1e-2


@pytest.mark.parametrize("credit", [*PROPORTIONAL, IDGI(), Riemann()], ids=str)
def test_symmetry_features_that_may_be_exchanged_get_the_same(credit):
    found = explained(lambda a, b, c, d: torch.exp(a * d) + b * c**2, credit, (0.7, 0.3, 0.9, 0.7))
    torch.testing.assert_close(found[0], found[3], rtol=1e-12, atol=1e-14)


def test_symmetry_is_given_up_by_a_footprint():
    """Equal features with unequal neighbours: sharing tells them apart."""
    found = explained(lambda a, b, c, d: (a + d) ** 2 + 5 * b, Proportional(1, 1, 0.3), (0.7, 0.3, 0.0, 0.7))
    alike = explained(lambda a, b, c, d: (a + c) ** 2 + 5 * b, Proportional(1, 1, 0.3), (0.7, 0.3, 0.7, 0.0))
    torch.testing.assert_close(found[0], found[3])  # both touch b
    assert alike[0] > alike[2] + 1e-3  # only one of them does


def test_a_negative_value_tells_where_the_score_fell():
    """A feature that argues against the class all along gets a share of the rise, or nothing from `Agreeing`."""
    image = (1.0, 1.0, 0.0, 0.0)

    def pull(a, b, c, d):
        return 3 * a - b

    torch.testing.assert_close(explained(pull, Riemann(), image), torch.tensor([3.0, -1, 0, 0]).double())
    torch.testing.assert_close(explained(pull, Proportional(), image), torch.tensor([1.5, 0.5, 0, 0]).double())
    torch.testing.assert_close(explained(pull, Agreeing(), image), torch.tensor([2.0, 0, 0, 0]).double())
    falls = explained(lambda a, b, c, d: -pull(a, b, c, d), Agreeing(), image)
    torch.testing.assert_close(falls, torch.tensor([-2.0, 0, 0, 0]).double())
