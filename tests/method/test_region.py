"""A region that nothing asks for is not ignored in silence."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import FieldDiffIG
from diffig.method import Guidance
from oracle.models import SoftplusNet


def test_a_region_without_strength_is_said_to_change_nothing() -> None:
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    method = FieldDiffIG(SoftplusNet(), guidance=Guidance(proposals=2), steps=8)
    with pytest.warns(UserWarning, match=r"guidance.region is 0, so that it changes nothing; set guidance.region=0.2"):
        found = method.explain(image, target=1, region=torch.ones(1, 1, 12, 12)).attribution
    assert torch.equal(found, method.explain(image, target=1).attribution)
