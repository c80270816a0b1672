"""Training of an autoencoder with Lightning, on images and on the baselines that paths start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from diffig.baselines import Blur
from diffig.data.batch import Batch
from diffig.data.module import ImageDataModule
from diffig.generative.autoencoder import Autoencoder
from diffig.generative.losses import kl_to_standard, laplacian_l1, measure_reconstruction, psnr, spread, ssim, stack
from diffig.io import write_picture
from diffig.optimisation import adamw_with_cosine
from diffig.randomness import Streams
from diffig.renamed import old_arguments


@old_arguments(lr="learning_rate")
class AutoencoderTraining(LightningModule):
    """Trains a variational autoencoder by L1, Laplacian-pyramid L1 and a light KL term (Rombach et al. 2022).

    The loss is `L1 + kl_weight * KL / pixels + perceptual_weight * Lap1`, with KL summed over an image's latents and
    divided by its number of pixel values: the relative weights of a sum over pixels. Logs `train/loss`, `val/loss`
    (posterior mode), `val/l1`, `val/psnr`, `val/ssim` and `val/psnr_flat` (black, white and mean images).

    Args:
        autoencoder: trained in place, a loaded one is fine-tuned; or what builds one from a number of image channels.
        image_shape: `(C, H, W)`; needed where `autoencoder` is still to be built.
        mean: colour of the dataset, which is a baseline; mid-grey by default.
        kl_weight: larger makes latents smoother and pictures blurrier; 1e-6 is usual.
        perceptual_weight: of the pyramid term.
        learning_rate, weight_decay: of AdamW; the rate warms up for `warmup` steps and falls along a cosine to 0.
        constant_share: of training images replaced by a flat one: black, white, the mean, or any colour.
        blurred_share: of training images replaced by their blurred selves.
        val_pictures: images in the picture of reconstructions.
        seed: of replacements and posterior samples, keyed by rank and step: a resumed run does not repeat.
    """

    def __init__(
        self,
        autoencoder: Autoencoder | Callable[[int], Autoencoder],
        image_shape: Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        kl_weight: float = 1e-6,
        perceptual_weight: float = 0.1,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.0,
        warmup: int = 50,
        constant_share: float = 1 / 16,
        blurred_share: float = 1 / 32,
        val_pictures: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(kl_weight, perceptual_weight) < 0 or learning_rate <= 0:
            raise ValueError(
                f"kl_weight={kl_weight}, perceptual_weight={perceptual_weight}, learning_rate={learning_rate}: "
                "module.kl_weight and module.perceptual_weight must be 0 or more, module.learning_rate positive"
            )
        if min(constant_share, blurred_share) < 0 or constant_share + blurred_share > 1:
            raise ValueError(
                f"constant_share={constant_share}, blurred_share={blurred_share}: both module shares must be 0 or more "
                "and their sum at most 1"
            )
        if not isinstance(autoencoder, Autoencoder):
            if image_shape is None:
                raise ValueError("image_shape=None: give the (C, H, W) that the autoencoder is to be built for")
            autoencoder = autoencoder(int(image_shape[0]))
        if image_shape is not None:
            autoencoder.latent_shape(image_shape)
        if "vq_embed_dim" in autoencoder.config:
            raise ValueError("a VQModel cannot be trained here; use it as it is, or train an AutoencoderKL")
        mean = [0.5] * autoencoder.image_channels if mean is None else [float(value) for value in mean]
        self.save_hyperparameters(ignore=["autoencoder", "image_shape", "mean"])
        self.autoencoder = autoencoder.requires_grad_(True)
        self.mean = mean
        self.kl_weight, self.perceptual_weight = kl_weight, perceptual_weight
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.constant_share, self.blurred_share = constant_share, blurred_share
        self.val_pictures, self.seed = val_pictures, seed

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstruction of images `(B, C, H, W)` in [0, 1]."""
        made: Tensor = self.autoencoder(images)
        return made

    def generator(self, batch_index: int) -> torch.Generator:
        """Return the random numbers of a training step, the same on every device."""
        key = 0
        for part in (self.seed, self.global_rank, self.global_step, batch_index):
            key = (key * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(key)

    def flat(self, like: Tensor) -> Tensor:
        """Return a black, a white and a mean-coloured image `(3, C, H, W)`, of the size of `like`."""
        levels = torch.tensor([[0.0] * len(self.mean), [1.0] * len(self.mean), self.mean]).to(like)
        return levels[:, :, None, None].expand(-1, -1, *like.shape[-2:]).contiguous()

    def with_baselines(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the images `(B, C, H, W)` of a batch, some replaced by flat ones or by their blurred selves."""
        images = batch.images
        draw = torch.rand(len(images), generator=generator)
        kinds = torch.randint(4, (len(images),), generator=generator)
        colours = torch.rand(len(images), images.shape[1], 1, 1, generator=generator).to(images)
        known = torch.cat([self.flat(images), torch.zeros_like(images[:1])])[kinds.to(images.device)]
        flat = torch.where((kinds == 3).to(images.device)[:, None, None, None], colours.expand_as(images), known)
        constant = (draw < self.constant_share).to(images.device)
        blurred = ((draw >= self.constant_share) & (draw < self.constant_share + self.blurred_share)).to(images.device)
        result = torch.where(constant[:, None, None, None], flat, images)
        if blurred.any():
            chosen = images[blurred]
            result[blurred] = Blur().references(chosen, Streams(self.seed, batch.indices[blurred]))[0]
        return result

    def loss(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the loss (scalar) and the reconstructions of images `(B, C, H, W)` in [0, 1], shaped like them.

        They are decoded from a sample of the posterior where there is a generator, else from its mode.
        """
        mean, log_variance = self.autoencoder.moments(images)
        assert log_variance is not None
        raw = mean
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            raw = mean + (log_variance / 2).exp() * noise
        made = self.autoencoder.pixels(raw)
        divergence = kl_to_standard(mean, log_variance).mean() / images[0].numel()
        loss = (made - images).abs().mean() + self.kl_weight * divergence
        if self.perceptual_weight:
            loss = loss + self.perceptual_weight * laplacian_l1(made, images)
        return loss, made

    def on_fit_end(self) -> None:
        """Leave the autoencoder in evaluation mode."""
        self.autoencoder.eval()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one batch."""
        generator = self.generator(batch_index)
        loss, _ = self.loss(self.with_baselines(batch, generator), generator)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log loss and errors of the reconstructions, and draw the first of them."""
        loss, made = self.loss(batch.images)
        made = made.clamp(0, 1)
        values = {
            "val/loss": loss,
            "val/l1": (made - batch.images).abs().mean(),
            "val/psnr": psnr(made, batch.images).mean(),
            "val/ssim": ssim(made, batch.images).mean(),
        }
        if batch_index == 0:
            flat = self.flat(batch.images)
            values["val/psnr_flat"] = psnr(self(flat), flat).mean()
            if self.trainer.is_global_zero and not self.trainer.sanity_checking:
                self._picture(torch.cat([flat, batch.images[: self.val_pictures]]))
        self.log_dict(values, batch_size=len(batch.images), sync_dist=True)

    def _picture(self, images: Tensor) -> None:
        """Draw originals above reconstructions: black, white and mean first, then images."""
        from torchvision.utils import make_grid

        rows = torch.cat([images, self(images)]).float()
        grid = make_grid(rows, nrow=len(images), padding=1, pad_value=0.5)
        scale = max(1, 64 // images.shape[-1])
        grid = grid.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
        folder = FilePath(self.trainer.default_root_dir) / "reconstructions"
        file = folder / f"step{self.global_step:06d}.png"
        write_picture(file, grid)
        for logger in self.trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("reconstructions (originals above)", [str(file)])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to 0 over the trainer's steps."""
        return adamw_with_cosine(
            self.autoencoder.parameters(), self.trainer, self.learning_rate, self.weight_decay, self.warmup
        )

    def export(
        self, output: str | FilePath, datamodule: ImageDataModule, training_metadata: dict[str, Any] | None = None
    ) -> FilePath:
        """Write `output/autoencoder/` and return that folder; call it after fitting.

        The latent statistics are measured here, on at most 2048 training images, and not while fitting: a moving
        average of weights (diffig.training.ema) takes their place at the end of fitting and leaves buffers alone.
        The metadata get how well validation images are reconstructed.
        """
        self.autoencoder.eval()
        train = datamodule.train_set
        self.autoencoder.standardise(stack(train, spread(len(train), 2048)))
        quality = measure_reconstruction(self.autoencoder, datamodule.val_set)
        about = {"dataset": datamodule.name, "image_shape": list(datamodule.image_shape), "reconstruction": quality}
        folder = FilePath(output) / "autoencoder"
        self.autoencoder.save(folder, {**about, **(training_metadata or {})})
        return folder
