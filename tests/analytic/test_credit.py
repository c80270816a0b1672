"""Credits: what a piece gives sums to the score's change, and idle features get nothing."""

from __future__ import annotations

import pytest
import torch

from diffig.credit import IDGI, Agreeing, Credit, Proportional, as_credit

CREDITS = [IDGI(), Proportional(), Proportional(2, 1, 0.05), Proportional(2, 1, 1.0, "step"), Agreeing(2, 0.06)]


@pytest.mark.parametrize("credit", CREDITS, ids=str)
def test_shares_sum_to_the_change_also_where_no_gradient_is_left(credit: Credit) -> None:
    torch.manual_seed(0)
    gradients, steps = torch.randn(2, 3, 2, 8, 8).double(), torch.randn(2, 3, 2, 8, 8).double()
    gradients[0, 1] = 0
    change = torch.randn(2, 3).double()
    given = credit.divide(gradients, steps, change)
    assert torch.allclose(given.sum((2, 3, 4)), change, atol=1e-10, rtol=0)


def test_unknown_names_and_negative_exponents_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one of"):
        as_credit("nonsense")
    with pytest.raises(ValueError, match="p=-1"):
        Proportional(p=-1)


@pytest.mark.parametrize("credit", [Proportional(), Agreeing()], ids=str)
def test_features_that_do_not_move_or_have_no_gradient_get_nothing(credit: Credit) -> None:
    torch.manual_seed(0)
    gradients, steps, change = torch.randn(1, 2, 1, 4, 4), torch.randn(1, 2, 1, 4, 4), torch.randn(1, 2)
    steps[..., 0, 0], gradients[..., 1, 1] = 0, 0
    given = credit.divide(gradients, steps, change)
    assert not given[..., 0, 0].any()
    assert not given[..., 1, 1].any()
