"""A diffusion model of images: the U-Net and the noise levels of a diffusers pipeline behind one interface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from diffig.checks import check_at_least, check_images
from diffig.diffusion.levels import implied_noise, ladder, reverse_step, share
from diffig.generative.pipeline_folders import KEYS, read_pipeline, write_pipeline
from diffig.renamed import old_arguments, old_attribute

Noise = Literal["cosine", "linear"]
Prediction = Literal["v_prediction", "epsilon", "sample"]
BETAS = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@old_arguments(schedule="noise_schedule")
class ImageDiffusion(nn.Module):
    """Predicts the noise in noisy images, and the image behind it (Ho, Jain and Abbeel 2020; Tweedie's formula).

    Pixels lie in [0, 1] outside and in [-1, 1] inside the network; noisy images are in the network's units, see
    `diffig.diffusion.levels` for the notation. Images whose sides are no multiples of `factor` are padded by their
    border on the way in and cropped on the way out. The network computes in its own dtype; results have the images'.

    Args:
        unet: `UNet2DModel` of diffusers; of a network that also predicts variances (twice as many channels out as in)
            the first half is used.
        noise_schedule: as in a `scheduler_config.json`: `beta_schedule`, `num_train_timesteps`,
            `prediction_type` (`v_prediction | epsilon | sample`) and so on.
    """

    alpha_bar: Tensor

    def __init__(self, unet: nn.Module, noise_schedule: dict[str, Any] | None = None) -> None:
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler  # seconds of imports

        super().__init__()
        self.unet = unet
        self.config: dict[str, Any] = dict(unet.config)  # type: ignore[arg-type]
        self.noise_schedule: dict[str, Any] = {**KEYS, **(noise_schedule or {})}
        if self.noise_schedule["prediction_type"] not in get_args(Prediction):
            said = self.noise_schedule["prediction_type"]
            raise ValueError(f"prediction_type={said!r} is unknown; choose one of {get_args(Prediction)}")
        self.image_channels = int(self.config["in_channels"])
        if self.config["out_channels"] not in (self.image_channels, 2 * self.image_channels):
            raise ValueError(
                f"a network from {self.image_channels} to {self.config['out_channels']} channels denoises no images; "
                "it must give as many channels as it takes, or twice as many where it predicts variances too"
            )
        table = DDPMScheduler(**self.noise_schedule).alphas_cumprod
        self.register_buffer("alpha_bar", table, persistent=False)

    schedule = old_attribute("schedule", "noise_schedule")

    @classmethod
    @old_arguments(noise="noise_schedule")
    def small(
        cls,
        image_channels: int,
        channels: Sequence[int] = (24, 48, 48),
        layers: int = 1,
        attention: bool = True,
        noise_schedule: Noise = "cosine",
        levels: int = 1000,
        prediction: Prediction = "v_prediction",
    ) -> ImageDiffusion:
        """Return an untrained model.

        Args:
            image_channels: 1 or 3.
            channels: of each resolution, from full size down; each after the first halves the side.
            layers: residual blocks per resolution (one more on the way up).
            attention: self-attention at the lowest resolution.
            noise_schedule: `cosine` (Nichol and Dhariwal 2021) or `linear` (Ho, Jain and Abbeel 2020).
            levels: `T`.
            prediction: what the network gives out; `v_prediction` is safe at every level (Salimans and Ho 2022).
        """
        from diffusers.models.unets.unet_2d import UNet2DModel

        check_at_least(image_channels, 1, "image_channels", "1 for grey images, 3 for colour")
        check_at_least(layers, 1, "diffusion.layers", "residual blocks per resolution")
        check_at_least(levels, 2, "diffusion.levels", "noise levels; 1000 is usual")
        check_at_least(len(channels), 1, "the length of diffusion.channels", "one width per resolution")
        common = math.gcd(*(check_at_least(width, 1, "diffusion.channels", "widths") for width in channels))
        if noise_schedule not in BETAS:
            raise ValueError(f"diffusion.noise_schedule={noise_schedule!r} is unknown; choose one of {list(BETAS)}")
        unet = UNet2DModel(
            in_channels=image_channels,
            out_channels=image_channels,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            norm_num_groups=max(groups for groups in range(1, 9) if common % groups == 0),
            add_attention=attention,
            attention_head_dim=math.gcd(8, channels[-1]),
        )
        betas = {"beta_schedule": BETAS[noise_schedule], "num_train_timesteps": levels}
        return cls(unet, {**betas, "prediction_type": prediction})

    @classmethod
    def load(cls, path: str | FilePath) -> ImageDiffusion:
        """Return the model of a local folder, frozen and in evaluation mode.

        Args:
            path: a folder written by `save`, or any unconditional pixel pipeline of diffusers (`unet/`, `scheduler/`).

        Raises:
            FileNotFoundError, ValueError: see `read_pipeline`.
        """
        return cls(*read_pipeline(path)).eval().requires_grad_(False)

    @old_arguments(facts="training_metadata")
    def save(self, folder: str | FilePath, training_metadata: dict[str, Any] | None = None) -> None:
        """Write a pipeline folder, which diffusers reads too, with the metadata as `facts` in its `diffig.json`."""
        about = {"image_channels": self.image_channels, "facts": training_metadata or {}}
        write_pipeline(folder, self.unet, self.noise_schedule, about)

    @property
    def factor(self) -> int:
        """By how much the network's lowest resolution is smaller on each side."""
        return int(2 ** (len(self.config["block_out_channels"]) - 1))

    @property
    def levels(self) -> int:
        """`T`, the number of noise levels."""
        return len(self.alpha_bar)

    def shares(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return `sqrt(a_t)` and `sqrt(1 - a_t)` of levels `(B,)`, shaped `(B, 1, 1, 1)`."""
        signal = self.alpha_bar[levels].view(-1, 1, 1, 1)
        return signal.sqrt(), (1 - signal).sqrt()

    def output(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """Return what the network gives out `(B, C, H, W)`, whatever it predicts, without its variances."""
        check_images(noisy, "noisy")
        if noisy.shape[1] != self.image_channels:
            raise ValueError(
                f"images have {noisy.shape[1]} channels, the diffusion model {self.image_channels}; choose one that "
                "was trained on such images (latent.image_diffusion)"
            )
        height, width = noisy.shape[-2:]
        below, right = -height % self.factor, -width % self.factor
        inside = pad(noisy, (0, right, 0, below), mode="replicate") if below or right else noisy
        made: Tensor = self.unet(inside, levels).sample
        return made[:, : self.image_channels, :height, :width]

    def _both(self, noisy: Tensor, levels: int | Tensor) -> tuple[Tensor, Tensor]:
        """Noise, and the image in [-1, 1] units."""
        times = torch.as_tensor(levels, device=noisy.device).expand(len(noisy))
        given = noisy.to(self.alpha_bar)
        signal, sigma = self.shares(times)
        output = self.output(given, times)
        kind = self.noise_schedule["prediction_type"]
        if kind == "epsilon":
            noise, clean = output, (given - sigma * output) / signal
        elif kind == "v_prediction":
            noise, clean = signal * output + sigma * given, signal * given - sigma * output
        else:
            noise, clean = (given - signal * output) / sigma, output
        return noise.to(noisy), clean.to(noisy)

    def predict_noise(self, noisy: Tensor, levels: int | Tensor) -> Tensor:
        """Return the noise `(B, C, H, W)` in noisy images of one level, or of levels `(B,)`."""
        return self._both(noisy, levels)[0]

    def denoised(self, noisy: Tensor, levels: int | Tensor) -> Tensor:
        """Return the expected images `(B, C, H, W)` behind noisy ones, in pixels and not clamped; differentiable."""
        return (self._both(noisy, levels)[1] + 1) / 2

    @torch.no_grad()
    def sample(self, noise: Tensor, n_steps: int = 50) -> Tensor:
        """Return images `(B, C, H, W)` in [0, 1] drawn from standard normal `noise`, by DDIM."""
        noisy, steps = noise, ladder(len(self.alpha_bar) - 1, n_steps)
        images = noise
        for level, following in pairwise(steps):
            images = self.denoised(noisy, level).clamp(0, 1)
            shares = share(self, level), share(self, following)
            noisy = reverse_step(images, implied_noise(noisy, images, shares[0]), shares, 0.0, None)
        return images
