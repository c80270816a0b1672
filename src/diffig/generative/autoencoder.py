"""Images to latents and back: one interface over the autoencoders of diffusers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor, nn

from diffig.checks import check_at_least, check_images
from diffig.generative.folders import read_folder, write_folder
from diffig.renamed import old_arguments


class Autoencoder(nn.Module):
    """Standardised latents of images, and images of latents (Kingma and Welling 2014; Rombach et al. 2022).

    Pixels lie in [0, 1] outside and in [-1, 1] inside the network; latents leave it as `(raw - mean) / std`. Images and
    latents keep their precision, the network computes in its own.

    Args:
        vae: `AutoencoderKL` or `VQModel` of diffusers; of the latter the latents before quantisation are used.
        mean, std: of each latent channel; 0 and 1 by default, see `standardise`.
        image_channels: of the images given and wanted; by default the network's own. 1 sends grey images through a
            colour network: repeated on the way in, averaged over the colours on the way out.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        vae: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        image_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.config: dict[str, Any] = dict(vae.config)  # type: ignore[arg-type]
        self.register_buffer("latent_mean", torch.zeros(1, self.latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, self.latent_channels, 1, 1))
        self.set_statistics(
            mean or [0.0] * self.latent_channels,
            std or [1.0] * self.latent_channels,
        )
        own = int(self.config["in_channels"])
        self.image_channels = own if image_channels is None else int(image_channels)
        if self.image_channels not in {1, own}:
            allowed = "1" if own == 1 else f"{own}, or 1 for grey images"
            raise ValueError(
                f"image_channels={image_channels}: an autoencoder of {own}-channel images takes {allowed}; "
                "choose one that was trained on such images"
            )

    @classmethod
    def small(
        cls,
        image_channels: int,
        latent_channels: int = 4,
        channels: Sequence[int] = (16, 32, 32),
        layers: int = 1,
        attention: bool = False,
    ) -> Autoencoder:
        """Return an untrained autoencoder whose latents are smaller by `2 ** (len(channels) - 1)` on each side.

        Args:
            image_channels: 1 or 3.
            latent_channels: numbers kept for each latent place.
            channels: of each resolution, from full size down.
            layers: residual blocks per resolution (the decoder has one more).
            attention: self-attention at the lowest resolution, as the large autoencoders have it.
        """
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # seconds of imports

        check_at_least(image_channels, 1, "image_channels", "1 for grey images, 3 for colour")
        check_at_least(latent_channels, 1, "autoencoder.latent_channels", "4 or 16 are usual")
        check_at_least(layers, 1, "autoencoder.layers", "residual blocks per resolution")
        check_at_least(len(channels), 1, "the length of autoencoder.channels", "one width per resolution")
        common = math.gcd(*(check_at_least(width, 1, "autoencoder.channels", "widths") for width in channels))
        vae = AutoencoderKL(
            in_channels=image_channels,
            out_channels=image_channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            latent_channels=latent_channels,
            # Groups of several channels: normalising each alone would erase how bright a flat image is.
            norm_num_groups=max(groups for groups in range(1, 9) if common % groups == 0),
            scaling_factor=1.0,
            mid_block_add_attention=attention,
        )
        return cls(vae)

    @classmethod
    def load(cls, path: str | FilePath, image_channels: int | None = None) -> Autoencoder:
        """Return the autoencoder of a local folder, frozen and in evaluation mode.

        Args:
            path: a folder written by `save`, or any diffusers folder of an `AutoencoderKL` or a `VQModel` (Stable
                Diffusion, Kandinsky), or the folder of a whole pipeline. Without a `diffig.json` the latents are
                standardised by the config's `scaling_factor`, `shift_factor`, `latents_mean` and `latents_std`.
            image_channels: 1 for grey images through a colour network; by default what the folder says.

        Raises:
            FileNotFoundError: no such folder, no config or no safetensors weights in it.
            ValueError: another class, weights that do not fit, or unreadable files.
        """
        vae, about = read_folder(path)
        channels = about["image_channels"] if image_channels is None else image_channels
        return cls(vae, about["mean"], about["std"], channels).eval().requires_grad_(False)

    @old_arguments(facts="training_metadata")
    def save(self, folder: str | FilePath, training_metadata: dict[str, Any] | None = None) -> None:
        """Write a diffusers folder, and a `diffig.json` with the latent statistics and the metadata as `facts`."""
        statistics = {name: getattr(self, f"latent_{name}").flatten().tolist() for name in ("mean", "std")}
        about = {"image_channels": self.image_channels, "facts": training_metadata or {}}
        write_folder(folder, self.vae, {**statistics, **about})

    @property
    def factor(self) -> int:
        """How many pixels one latent place covers on each side."""
        return int(2 ** (len(self.config["block_out_channels"]) - 1))

    @property
    def latent_channels(self) -> int:
        """Numbers of each latent place."""
        return int(self.config.get("vq_embed_dim") or self.config["latent_channels"])

    def latent_shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """Return `(c, h, w)` for images `(C, H, W)`; ValueError where these do not fit."""
        channels, height, width = image_shape
        if channels != self.image_channels:
            own = self.config["in_channels"]
            step = "load it with image_channels=1" if channels == 1 and own == 3 else "choose another autoencoder"
            raise ValueError(
                f"images have {channels} channels, the autoencoder is set to {self.image_channels}; {step}"
            )
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"images of {height}x{width} pixels: height and width must be multiples of {self.factor}, the "
                "autoencoder's factor; resize the images or choose an autoencoder with fewer resolutions"
            )
        return self.latent_channels, height // self.factor, width // self.factor

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set mean and standard deviation of each latent channel."""
        count = self.latent_channels
        if len(mean) != count or len(std) != count or not all(0 < value < math.inf for value in std):
            raise ValueError(
                f"latent mean {list(mean)} and std {list(std)}: give {count} numbers each, std positive; measure them "
                "with Autoencoder.standardise(images)"
            )
        self.latent_mean.copy_(torch.tensor(list(mean)).view(1, -1, 1, 1))
        self.latent_std.copy_(torch.tensor(list(std)).view(1, -1, 1, 1))

    @torch.no_grad()
    def standardise(self, images: Tensor, chunk_size: int = 64) -> None:
        """Set the statistics so that the latents of these images `(N, C, H, W)` have mean 0 and std 1 per channel."""
        self.latent_shape(images.shape[1:])
        raw = [self.moments(part.to(self.latent_mean))[0].double() for part in images.split(chunk_size)]
        std, mean = torch.std_mean(torch.cat(raw), dim=(0, 2, 3), correction=0)
        self.set_statistics(mean.tolist(), std.clamp_min(1e-6).tolist())

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mean and log-variance `(B, c, h, w)` of the raw posterior of images; no variance for a `VQModel`."""
        check_images(images)
        self.latent_shape(images.shape[1:])
        inside = (2 * images - 1).expand(-1, self.config["in_channels"], -1, -1).to(self.latent_mean.dtype)
        code = self.vae.encode(inside)  # type: ignore[operator]
        if "latents" in code:
            return code.latents.to(images.dtype), None
        return code.latent_dist.mean.to(images.dtype), code.latent_dist.logvar.to(images.dtype)

    def pixels(self, raw: Tensor) -> Tensor:
        """Return images `(B, C, H, W)` of raw latents, not clamped."""
        quantised = {"force_not_quantize": True} if "vq_embed_dim" in self.config else {}
        inside = raw.to(self.latent_mean.dtype)
        images: Tensor = (self.vae.decode(inside, **quantised).sample.to(raw.dtype) + 1) / 2  # type: ignore[operator]
        return images if images.shape[1] == self.image_channels else images.mean(dim=1, keepdim=True)

    def encode(self, images: Tensor) -> Tensor:
        """Return latents `(B, c, h, w)` of images `(B, C, H, W)` in [0, 1]: the posterior's mode, standardised."""
        return (self.moments(images)[0] - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Return images `(B, C, H, W)` in [0, 1] of latents `(B, c, h, w)`; differentiable where not clamped."""
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels:
            raise ValueError(
                f"latents have shape {tuple(latents.shape)}; they must be (B, {self.latent_channels}, h, w), as "
                "Autoencoder.encode returns them"
            )
        return self.pixels(latents * self.latent_std + self.latent_mean).clamp(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstruction of images `(B, C, H, W)` in [0, 1]."""
        return self.decode(self.encode(images))
