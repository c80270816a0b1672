"""A small convolutional network that trains in seconds on a CPU."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from diffig.checks import check_at_least
from diffig.classifiers.base import Classifier, DataInfo, check_fits
from diffig.classifiers.checkpoint import load_weights

MIN_SIDE = 8


class SmallCNN(nn.Module):
    """Logits `(B, K)` of normalised images `(B, C, H, W)` with sides of 8 pixels or more.

    Four 3x3 convolutions with batch norm and SiLU in two stages, average pooling throughout: no kinks and no maxima,
    so that the score changes smoothly along a path. About 61 000 parameters at width 32.

    Args:
        in_channels: C.
        num_classes: K.
        width: channels after the first stage, 2 or more; twice as many after the second.
    """

    def __init__(self, in_channels: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        check_at_least(in_channels, 1, "in_channels", "1 for grey, 3 for colour (classifier.in_channels)")
        check_at_least(num_classes, 1, "num_classes", "as many as the dataset has (classifier.num_classes)")
        if width < 2:
            raise ValueError(f"width={width}; set classifier.width to 2 or more")
        self.in_channels, self.num_classes, self.width = in_channels, num_classes, width
        self.stage1 = nn.Sequential(*_convolution(in_channels, width // 2), *_convolution(width // 2, width))
        self.pool = nn.AvgPool2d(2)
        self.stage2 = nn.Sequential(*_convolution(width, 2 * width), *_convolution(2 * width, 2 * width))
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)`; ValueError below 8 pixels."""
        if min(images.shape[-2:]) < MIN_SIDE:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels are too small for small_cnn; it takes"
                f" {MIN_SIDE} pixels or more (dataset.size=...)"
            )
        features = self.stage2(self.pool(self.stage1(images)))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _convolution(channels: int, out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.SiLU()


def small_cnn(
    *,
    datamodule: DataInfo | None = None,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    width: int = 32,
    name: str = "small_cnn",
) -> Classifier:
    """Return a small CNN in evaluation mode; what is not given is taken from the data.

    Args:
        datamodule: gives the number of classes and channels and the normalisation.
        checkpoint: weights file; `None` leaves random weights (`fit_or_load` trains them).
        num_classes: K.
        in_channels: C.
        mean: per channel; 0.5 without data.
        std: per channel; 0.5 without data.
        width: channels after the first stage.
        name: of the classifier in results.

    Raises:
        ValueError: neither data nor `num_classes` and `in_channels`, a data set with more classes or other
            channels, or a checkpoint that does not fit.
    """
    if datamodule is not None:
        num_classes = datamodule.num_classes if num_classes is None else num_classes
        in_channels = datamodule.image_shape[0] if in_channels is None else in_channels
        if mean is None and std is None:
            mean, std = datamodule.mean, datamodule.std
    if num_classes is None or in_channels is None:
        raise ValueError(
            f"small_cnn got num_classes={num_classes}, in_channels={in_channels}; give it a datamodule, or set"
            " classifier.num_classes and classifier.in_channels"
        )
    mean = [0.5] * in_channels if mean is None else mean
    std = [0.5] * in_channels if std is None else std
    classifier = Classifier(SmallCNN(in_channels, num_classes, width), mean, std, name, num_classes).eval()
    if datamodule is not None:
        check_fits(classifier, datamodule)
    return classifier if checkpoint is None else load_weights(classifier, checkpoint)
