"""How a tensor lies in memory says nothing: the same numbers for every layout of the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from invariance.methods import METHODS
from invariance.test_attributors import INDICES, TARGETS, explain, net_of, same, score_of
from metrics.test_metrics import every_metric
from oracle.explained import explained_batch
from oracle.models import pictures


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def permuted(images: Tensor) -> Tensor:
    """As a notebook has them: an array (B, H, W, C), turned."""
    return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def sliced(images: Tensor) -> Tensor:
    """Every second row and column of a larger picture."""
    large = images.new_zeros(*images.shape[:2], *(2 * side for side in images.shape[2:]))
    large[..., ::2, ::2] = images
    return large[..., ::2, ::2]


def expanded(images: Tensor) -> Tensor:
    """One grey plane for all channels, without a copy."""
    return images[:, :1].expand_as(images)


LAYOUTS = [channels_last, permuted, sliced, expanded]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    method = METHODS[name](score_of(net_of(name)))
    images = pictures(6)[0][:2]
    wanted = {}
    for layout in LAYOUTS:
        turned = layout(images)
        kind = "grey" if layout is expanded else "colour"
        if kind not in wanted:
            wanted[kind] = explain(method, turned.contiguous(), TARGETS[:2], INDICES[:2])
        same(explain(method, turned, TARGETS[:2], INDICES[:2]), wanted[kind], name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_metrics(layout: Callable[[Tensor], Tensor]) -> None:
    plain = explained_batch(3, size=8)
    turned = [layout(getattr(plain, name)) for name in ("images", "attributions", "baselines")]
    images, maps, baselines = turned
    assert not all(value.is_contiguous() for value in turned)
    wanted = {
        name: value.contiguous() for name, value in zip(("images", "attributions", "baselines"), turned, strict=True)
    }
    expected = every_metric()(dataclasses.replace(plain, **wanted))
    found = every_metric()(dataclasses.replace(plain, images=images, attributions=maps, baselines=baselines))
    assert set(found) == set(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9, equal_nan=True, msg=name)
