"""Odd images and maps under every metric: NaN for what cannot be judged; no image changes what is said of another."""

# ruff: noqa: PT017 (an error is one of two right answers)
from __future__ import annotations

import warnings

import torch
from hypothesis import given, strategies as st
from torch import Tensor

from diffig.metrics import Explained
from diffig.scores import ScoreFunction
from invariance.test_written_otherwise import METRICS
from security.test_fuzz import Net, fuzzed

SPOILT = {"nothing": 0.0, "nan": float("nan"), "infinity": float("inf"), "huge": 1e30, "zero map": 0.0, "flat map": 0.0}


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """The same numbers in another order of memory."""
    if layout == "channels_last":
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return tensor.transpose(2, 3).contiguous().transpose(2, 3)
    return torch.stack([tensor, tensor], -1).flatten(-2)[..., ::2] if layout == "strided" else tensor


def explained(shape: tuple[int, ...], spoil: str, layout: str, classes: int) -> Explained:
    draw = torch.Generator().manual_seed(0)
    images, maps = (torch.rand(shape, generator=draw) for _ in range(2))
    if spoil.endswith("map"):
        maps[0] = 0.0 if spoil == "zero map" else 0.5
    elif spoil != "nothing":
        maps[0].view(-1)[-1] = SPOILT[spoil]
    net = Net(classes)
    targets = torch.full((len(images),), classes - 1)

    def again(images, targets, indices, *, seed_shift=0, classifier=None):
        return images * ScoreFunction(classifier or net).value_and_grad(images, targets)[1]

    masks = torch.zeros(len(images), 1, *shape[2:], dtype=torch.uint8)
    masks[..., 0, 0] = 1
    own = torch.zeros(len(images)), maps.abs().flatten(1).sum(1), masks, again
    places = torch.arange(len(images))
    images, maps = laid_out(images, layout), laid_out(maps, layout)
    return Explained(images, maps, targets, targets, images * 0, ScoreFunction(net), places, *own)


@fuzzed
@given(
    st.sampled_from(sorted(METRICS)),
    st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(sorted(SPOILT)),
    st.sampled_from(["plain", "channels_last", "transposed", "strided"]),
    st.integers(1, 3),
)
def test_metrics(name: str, shape: tuple[int, ...], spoil: str, layout: str, classes: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = METRICS[name]()(explained(shape, spoil, layout, classes))
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 20, repr(error)
            return
        plain = METRICS[name]()(explained(shape, spoil, "plain", classes))
        whole = METRICS[name]()(explained(shape, "nothing", "plain", classes))
    for key, value in found.items():
        assert value.shape == (shape[0],), key
        torch.testing.assert_close(value, plain[key], rtol=1e-4, atol=1e-4, equal_nan=True)
        torch.testing.assert_close(value[1:], whole[key][1:], rtol=1e-4, atol=1e-4, equal_nan=True)
        assert not value.isinf().any(), key
        if spoil in ("nan", "infinity"):
            assert value[0].isnan(), key
