"""Small autoencoders whose decoders are known by hand; all take images of any size unless they say otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oracle.models import fixed


class Same:
    """Latents are the images."""

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def latent_shape(self, image_shape):
        return image_shape


class Turned(Same):
    """A rotation of all pixels of one image shape: lengths and lines stay."""

    def __init__(self, shape=(3, 4, 5), seed=21):
        self.shape, size = shape, shape[0] * shape[1] * shape[2]
        self.matrix = torch.linalg.qr(fixed((size, size), seed))[0]

    def encode(self, images):
        return (images.flatten(1) @ self.matrix.T)[..., None, None]

    def decode(self, latents):
        return (latents.flatten(1) @ self.matrix).view(-1, *self.shape)

    def latent_shape(self, image_shape):
        return self.matrix.shape[0], 1, 1


class Lossy(nn.Module):
    """Bends, mixes channels and neighbours, and does not give images back; has weights, and a mode to get wrong."""

    def __init__(self, channels=3, seed=22, dtype=torch.float64):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels, dtype=dtype) + 0.3 * fixed((channels, channels), seed).to(dtype))
        self.dropout = nn.Dropout(0.5)
        self.largest_call = 0

    def encode(self, images):
        self.largest_call = max(self.largest_call, len(images))
        return self.dropout(4 * images - 2)

    def decode(self, latents):
        self.largest_call = max(self.largest_call, len(latents))
        mixed = torch.einsum("bchw,cd->bdhw", latents, self.weight.to(latents))
        return self.dropout(torch.sigmoid(0.8 * mixed + 0.3 * mixed.roll(1, -1)))

    def latent_shape(self, image_shape):
        return image_shape


class Sphere(Same):
    """Two latent angles, longitude and latitude, to images `(3, 1, 1)` on a sphere around grey: no flat map of it."""

    radius = 0.4

    def encode(self, images):
        x, y, z = ((images.flatten(1) - 0.5) / self.radius).unbind(1)
        return torch.stack([torch.atan2(y, x), torch.atan2(z, torch.hypot(x, y))], 1)[..., None, None]

    def decode(self, latents):
        east, north = latents.flatten(1).unbind(1)
        point = torch.stack([north.cos() * east.cos(), north.cos() * east.sin(), north.sin()], 1)
        return (0.5 + self.radius * point)[..., None, None]

    def latent_shape(self, image_shape):
        return 2, 1, 1
