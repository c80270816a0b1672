"""Grad-CAM of tokens and of channels at the end is pytorch-grad-cam's, and what has no places is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import CLASSES, SIZE, network
from torch import Tensor, nn
from torch.nn.functional import interpolate

from diffig.attribution import GradCAM
from diffig.attribution.layouts import as_map, grid_of, layout_of
from diffig.classifiers import mnist_vit
from diffig.notebook.network import Network
from diffig.notebook.preprocessing import preprocessing_of
from diffig.scores import ScoreFunction

made = functools.cache(network)


def tokens(output: Tensor) -> Tensor:
    """What pytorch-grad-cam's documentation does with a vision transformer: no class token, then rows and columns."""
    side = int((output.shape[1] - 1) ** 0.5)
    return output[:, 1:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)


def channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)


LAYERS: dict[str, tuple[str, Callable[[Tensor], Tensor] | None]] = {
    "timm vit": ("blocks.{last}.norm1", tokens),
    "transformers vit": ("vit.layers.1.layernorm_before", tokens),
    "timm swin": ("layers.1.blocks.1.norm1", channels_last),
    "timm convnext": ("stages.1", None),
    "timm resnet": ("layer3", None),
}


def logit(net: nn.Module) -> ScoreFunction:
    return ScoreFunction(Network(net, preprocessing_of(nn.Identity(), net)), "logit")


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_pytorch_grad_cams(name: str) -> None:
    cam = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, (layer, reshape) = made(name), LAYERS[name]
    layer = layer.format(last=len(net.blocks) - 1) if "{last}" in layer else layer
    logits = nn.Sequential(Network(net, preprocessing_of(nn.Identity(), net)))
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    compared = 0
    with cam.GradCAM(logits, [net.get_submodule(layer)], reshape_transform=reshape) as theirs:
        for target in range(CLASSES):
            wanted = torch.from_numpy(theirs(images.clone(), [ClassifierOutputTarget(target)] * 2))
            found = GradCAM(logit(net), layer=f"net.{layer}").attribute(images, target=target)[:, 0]
            for mine, other in zip(found, wanted, strict=True):  # theirs is stretched to [0, 1]
                if mine.any():
                    slope, start = np.polyfit(mine.flatten(), other.flatten(), 1)
                    torch.testing.assert_close(mine * float(slope) + float(start), other, rtol=0, atol=2e-3)
                    assert slope > 0
                    compared += 1
                else:
                    assert not other.any()
    assert compared >= 2


@pytest.mark.parametrize(
    ("name", "layer"),
    [("timm vit", "blocks.{last}.norm1"), ("transformers vit", "vit.layers.1.layernorm_before")],
)
def test_the_layer_that_nobody_named_is_the_last_norm_that_all_tokens_count_in(name: str, layer: str) -> None:
    net = made(name)
    layer = layer.format(last=len(net.blocks) - 1) if "{last}" in layer else layer
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    found = GradCAM(logit(net)).attribute(images, target=1)
    assert torch.equal(found, GradCAM(logit(net), layer=f"net.{layer}").attribute(images, target=1))
    small = ScoreFunction(logit(net).classifier, "logit", chunk_size=1)
    torch.testing.assert_close(GradCAM(small).attribute(images, target=1), found)


def test_tokens_of_no_place_are_refused_with_the_layers_there_are() -> None:
    net = mnist_vit()
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    with pytest.raises(ValueError, match=r"at tokens of no place alone, as a class token is; choose one of .*norm1"):
        GradCAM(net, layer="net.blocks.5.norm2").attribute(images, target=1)
    with pytest.raises(ValueError, match=r"found no layer='net.blocks.5.norm1' of layout=channels_first"):
        GradCAM(net, layer="net.blocks.5.norm1", layout="channels_first").attribute(images, target=1)
    with pytest.raises(ValueError, match="layout='nhwc' is unknown; choose one of"):
        GradCAM(net, layout="nhwc")


def test_layouts_are_read_off_shapes() -> None:
    square, wide = torch.Size((224, 224)), torch.Size((96, 192))
    shapes = {
        (1, 64, 7, 7): "channels_first",
        (1, 7, 7, 64): "channels_last",
        (1, 8, 8, 8): "channels_first",
        (1, 197, 64): "tokens",
        (1, 261, 64): "tokens",
        (1, 3, 60): None,
        (1, 250, 64): None,
        (1, 64): None,
        (1, 64, 1, 1): None,
    }
    assert {shape: layout_of(torch.zeros(shape), square) for shape in shapes} == shapes
    assert layout_of(torch.zeros(1, 5, 10, 64), wide) == "channels_last"
    assert layout_of(torch.zeros(1, 64, 5, 11), wide) == "channels_first"
    assert grid_of(73, wide) == (6, 12)
    assert grid_of(77, square) == (8, 8)


def test_the_places_of_tokens_are_rows_of_the_image() -> None:
    grid = torch.arange(12.0).view(1, 1, 3, 4)
    row = torch.cat([torch.full((1, 1, 1), -1.0), grid.flatten(2).mT], 1)
    assert torch.equal(as_map(row, "tokens", torch.Size((30, 40))), grid)
    last = interpolate(grid, scale_factor=2).permute(0, 2, 3, 1)
    assert torch.equal(as_map(last, "channels_last", torch.Size((30, 40))), interpolate(grid, scale_factor=2))
