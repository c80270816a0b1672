"""Networks of timm and transformers: every method works on them or says in one line why not and what to use."""

from __future__ import annotations

import functools

import pytest
import torch
from networks import CLASSES, NETWORKS, OF_TOKENS, SIZE, network
from torch import Tensor

import diffig

pytest.importorskip("timm")
pytest.importorskip("transformers")

made = functools.cache(network)
INSIDE = ("grad_cam", "guided_grad_cam", "fullgrad", "lrp", "deep_taylor", "guided_backprop", "rectgrad")
# What needs parts that were trained on the data, or a bank of its images.
OF_DATA = ("diffig_latent", "eig", "mig", "ma_gig", "ddpath", "free_mcg", "expected_gradients", "lpi", "ig2")
NEXT_STEP = ("method=", "layer=")


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def works(method: str, name: str, image: Tensor) -> bool:
    """Whether there is a map; where there is none, one line must say why not and what to use."""
    explain = diffig.explainer(method, made(name), torch.nn.Identity())
    steps = {"n_steps": 8} if hasattr(explain.attributor, "steps") and method != "diffig_field" else {}
    targets = range(CLASSES) if method in INSIDE else [1]
    maps, refusal = [], ""
    try:
        maps = [explain.attribute(image, target=target, **steps) for target in targets]
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert method in refusal
        assert any(word in refusal for word in NEXT_STEP), refusal
        return False
    assert all(found.shape == image.shape and found.isfinite().all() for found in maps)
    assert any(found.any() for found in maps) or (method == "fringe" and knows_nothing(name, image))
    return True


def knows_nothing(name: str, image: Tensor) -> bool:
    """Whether a network's random weights give all classes the same, so that FRInGe's walk is over where it begins."""
    output = made(name)(image)
    logits = output if isinstance(output, Tensor) else output.logits
    return bool(logits.softmax(1).std() < 1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_looks_inside_works_or_says_why_not(name: str, image: Tensor) -> None:
    able = {method for method in INSIDE if works(method, name, image)}
    assert "grad_cam" in able
    norms = name in OF_TOKENS or "convnext" in name
    if norms:
        assert able == {"grad_cam"}
    else:
        assert "fullgrad" in able
    assert ("lrp" in able) == ("resnet" in name)


@pytest.mark.parametrize("name", NETWORKS)
def test_paths_ask_only_for_scores_and_gradients(name: str, image: Tensor) -> None:
    assert works("ig", name, image)
    assert works("gradient", name, image)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_other_method_works(name: str, image: Tensor) -> None:
    for method in sorted({*diffig.methods()} - {*INSIDE, *OF_DATA, "left_ig"}):
        assert works(method, name, image), method
