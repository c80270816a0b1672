"""Training a classifier with Lightning."""

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from diffig.classifiers.base import Classifier
from diffig.classifiers.body import head_of
from diffig.data.batch import Batch
from diffig.randomness import Streams


class ClassifierModule(pl.LightningModule):
    """Cross-entropy training of a Classifier by AdamW with a cosine schedule over all steps.

    Logs `train/loss`, `train/accuracy`, `val/loss`, `val/accuracy` and the same for `test`. Source of the
    optimiser: Loshchilov and Hutter 2019; of the schedule: the same authors 2017.

    Args:
        classifier: trained in place; back in evaluation mode when fitting ends.
        learning_rate: at the first step.
        weight_decay: of AdamW.
        shift: largest random translation of training images in pixels; 0 switches it off.
        flip: whether training images are mirrored at random (wrong for digits and letters).
        head_only: whether only the last part of the network learns (its `fc`, `classifier` or `heads`); the rest stays
            in evaluation mode, batch statistics included.
        drop: largest share of a training image's pixels that are set to the classifier's mean colour; the share of
            each is drawn anew. What a judge of `diffig.metrics.FFidelity` is fine-tuned with.
        seed: of what is moved, mirrored and dropped, keyed by optimiser step and image, so that a resumed training
            draws the same.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        shift: int = 0,
        flip: bool = False,
        head_only: bool = False,
        drop: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if learning_rate <= 0 or shift < 0 or not 0 <= drop < 1:
            raise ValueError(
                f"learning_rate={learning_rate}, shift={shift}, drop={drop}: module.learning_rate must be positive,"
                " module.shift 0 or more and module.drop in [0, 1)"
            )
        self.save_hyperparameters(ignore=["classifier"])
        self.classifier = classifier
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.shift, self.flip, self.drop, self.seed = shift, flip, drop, seed
        self.head = classifier.net.get_submodule(head_of(classifier.net)) if head_only else None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)` of images `(B, C, H, W)` in [0, 1]."""
        logits: Tensor = self.classifier(images)
        return logits

    def on_fit_start(self) -> None:
        """Switch to training mode: classifiers are built in evaluation mode, and Lightning keeps modes as they are."""
        if self.head is None:
            self.classifier.train()
        else:
            self.head.train()

    def on_fit_end(self) -> None:
        """Leave the classifier in evaluation mode."""
        self.classifier.eval()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of a batch, augmented if asked for."""
        streams = Streams(self.seed, batch.indices)
        images = augment(batch.images, self.shift, self.flip, streams, self.global_step)
        if self.drop:
            images = without_some(images, self.drop, self.classifier.mean, streams, self.global_step)
        return self._loss(batch._replace(images=images), "train")

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log loss and accuracy."""
        self._loss(batch, "val")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Log loss and accuracy."""
        self._loss(batch, "test")

    def _loss(self, batch: Batch, part: str) -> Tensor:
        logits = self(batch.images)
        loss = cross_entropy(logits, batch.labels)
        accuracy = (logits.argmax(dim=1) == batch.labels).float().mean()
        self.log_dict(
            {f"{part}/loss": loss, f"{part}/accuracy": accuracy},
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            batch_size=len(batch.labels),
            sync_dist=True,
        )
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its cosine schedule, stepped every batch."""
        learning = self.classifier if self.head is None else self.head
        optimizer = torch.optim.AdamW(learning.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(steps, 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def augment(images: Tensor, shift: int, flip: bool, streams: Streams, step: int) -> Tensor:
    """Return images `(B, C, H, W)` each moved by up to `shift` pixels (black comes in) and mirrored half the time.

    Args:
        images: of the batch.
        shift: largest translation in either direction.
        flip: whether to mirror.
        streams: of the images.
        step: what makes an image's draw a new one.
    """
    if not shift and not flip:
        return images
    draws = [streams.numpy(row, step, "augment") for row in range(len(images))]
    if shift:
        height, width = images.shape[-2:]
        corners = [draw.integers(2 * shift + 1, size=2).tolist() for draw in draws]
        windows = zip(pad(images, (shift,) * 4), corners, strict=True)
        images = torch.stack([image[:, top : top + height, left : left + width] for image, (top, left) in windows])
    if flip:
        mirrored = torch.tensor([draw.random() < 0.5 for draw in draws], device=images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    return images


def without_some(images: Tensor, most: float, colour: Tensor, streams: Streams, step: int) -> Tensor:
    """Return images `(B, C, H, W)` in which a random share of the pixels has another colour.

    Args:
        images: of the batch.
        most: the largest share; each image's number of pixels is uniform from 0 to it.
        colour: `(C, 1, 1)` or broadcastable to it.
        streams: of the images.
        step: what makes an image's draw a new one.
    """
    pixels = images.shape[2] * images.shape[3]
    gone = torch.zeros(len(images), pixels, dtype=torch.bool)
    for row in range(len(images)):
        generator = streams.numpy(row, step, "drop")
        gone[row, generator.permutation(pixels)[: generator.integers(int(most * pixels) + 1)]] = True
    return torch.where(gone.view(-1, 1, *images.shape[2:]).to(images.device), colour.to(images), images)
