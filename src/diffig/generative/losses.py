"""What an autoencoder is trained on and judged by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from diffig.data.image_sets import ImageSet
from diffig.generative.autoencoder import Autoencoder

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def blur(images: Tensor) -> Tensor:
    """Return images `(B, C, H, W)` smoothed by the 5-tap binomial filter, borders repeated (Burt and Adelson 1983)."""
    batch, channels = images.shape[:2]
    taps = images.new_tensor(BINOMIAL)
    flat = pad(images.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
    smooth = conv2d(conv2d(flat, taps.view(1, 1, 5, 1)), taps.view(1, 1, 1, 5))
    return smooth.reshape(batch, channels, *images.shape[-2:])


def laplacian_l1(first: Tensor, second: Tensor) -> Tensor:
    """Return the Laplacian-pyramid distance (scalar) of image batches (Bojanowski et al. 2018, "Lap1").

    The sum over levels of the mean absolute difference of the bands: their weight `2^(2j)` undoes that level j has
    `2^(2j)` times fewer pixels. A band is a level minus its own blur; the last level is what is left below 8 pixels.
    """
    rest = first - second  # the pyramid is linear
    total = rest.new_zeros(())
    while min(rest.shape[-2:]) >= 8:
        smooth = blur(rest)
        total = total + (rest - smooth).abs().mean()
        rest = smooth[..., ::2, ::2]
    return total + rest.abs().mean()


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence `KL(N(mean, variance) || N(0, 1))` of each batch member, nats `(B,)`."""
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return terms.flatten(1).sum(dim=1) / 2


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB `(B,)`, at most 100."""
    errors = (images - others).square().flatten(1).mean(dim=1)
    return -10 * errors.clamp_min(1e-10).log10()


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity of each image `(B,)` (Wang et al. 2004); narrower windows below 16 pixels."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    sigma = 1.5 if min(images.shape[-2:]) >= 16 else 0.5
    values = structural_similarity_index_measure(images, others, sigma=sigma, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    return values


def spread(count: int, limit: int) -> list[int]:
    """Return at most `limit` positions, evenly spread over `count`."""
    return sorted({round(position) for position in torch.linspace(0, count - 1, min(count, limit)).tolist()})


@torch.no_grad()
def measure_reconstruction(
    autoencoder: Autoencoder, images: ImageSet | Tensor, limit: int = 2048, chunk_size: int = 64
) -> dict[str, float]:
    """Return mean `l1`, `psnr` (dB) and `ssim` of reconstructed images.

    Args:
        autoencoder: used as it is, on the device it is on.
        images: a dataset, or a tensor `(N, C, H, W)` in [0, 1].
        limit: at most this many images, evenly spread.
        chunk_size: images at once.
    """
    positions = spread(len(images), limit)
    device = autoencoder.latent_mean
    rows: list[Tensor] = []
    for start in range(0, len(positions), chunk_size):
        given = stack(images, positions[start : start + chunk_size]).to(device)
        made = autoencoder(given)
        error = (given - made).abs().flatten(1).mean(dim=1)
        rows.append(torch.stack([error, psnr(given, made), ssim(given, made)], dim=1).double())
    values = torch.cat(rows).mean(dim=0).tolist()
    return dict(zip(("l1", "psnr", "ssim"), values, strict=True))


def stack(images: ImageSet | Tensor, positions: Sequence[int]) -> Tensor:
    """Return the images `(N, C, H, W)` at these positions."""
    if isinstance(images, Tensor):
        return images[list(positions)]
    return torch.stack([images.image(position) for position in positions])
