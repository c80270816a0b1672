"""Autoencoders as path methods use them: images to latents and back, with frozen weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Codec(Protocol):
    """What an autoencoder must offer: images `(B, C, H, W)` in [0, 1] to latents `(B, c, h, w)` and back."""

    def encode(self, images: Tensor) -> Tensor:
        """Return latents `(B, c, h, w)`, the same for the same image."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return images `(B, C, H, W)`, differentiable in the latents."""
        ...

    def latent_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return `(c, h, w)` for `(C, H, W)`."""
        ...


@contextlib.contextmanager
def borrowed(codec: Codec, device: torch.device) -> Iterator[None]:
    """The autoencoder on `device`, frozen and in evaluation mode; modes and `requires_grad` come back afterwards."""
    if not isinstance(codec, nn.Module):
        yield
        return
    codec.to(device)
    modes = [(module, module.training) for module in codec.modules()]
    wishes = [(parameter, parameter.requires_grad) for parameter in codec.parameters()]
    codec.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, wish in wishes:
            parameter.requires_grad_(wish)


@torch.no_grad()
def encode(codec: Codec, images: Tensor, chunk_size: int = 64) -> Tensor:
    """Return latents `(B, c, h, w)` of images `(B, C, H, W)`, at most `chunk_size` at a time."""
    channels, height, width = images.shape[1:]
    codec.latent_shape((channels, height, width))  # says what is wrong with images that do not fit
    return torch.cat([codec.encode(part) for part in images.split(chunk_size)])


@torch.no_grad()
def decode(codec: Codec, latents: Tensor, image_shape: torch.Size, chunk_size: int = 64) -> Tensor:
    """Return images `(B, C, H, W)` of latents `(B, c, h, w)` without a graph, at most `chunk_size` at a time."""
    images = torch.cat([codec.decode(part) for part in latents.split(chunk_size)])
    check_decoded(images, image_shape)
    return images


def pull_back(codec: Codec, latents: Tensor, covectors: Tensor, chunk_size: int = 64) -> Tensor:
    """Return `J_D(z)^T v`, like `latents` `(B, c, h, w)`, for `covectors` `v` shaped like their images."""
    pulled = []
    with torch.inference_mode(False), torch.enable_grad():
        for part, covector in zip(latents.split(chunk_size), covectors.split(chunk_size), strict=True):
            # Clones leave inference mode.
            leaf = part.detach().clone().requires_grad_()
            images = codec.decode(leaf)
            check_decoded(images, covector.shape[1:])
            pulled += torch.autograd.grad(images, leaf, covector.clone())
    return torch.cat(pulled)


def check_decoded(images: Tensor, image_shape: torch.Size) -> None:
    """Raise where a decoder's images are not those of the path."""
    if images.shape[1:] != image_shape:
        raise ValueError(
            f"the decoder makes images {tuple(images.shape[1:])} and the path's are {tuple(image_shape)}"
            "; use the autoencoder that was trained on these images"
        )
