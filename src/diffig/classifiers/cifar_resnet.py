"""Residual networks for 32x32 images."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import pad

from diffig.classifiers.base import Classifier, DataInfo, check_fits
from diffig.classifiers.checkpoint import load_weights

STAGES = (16, 32, 64)


class ResidualBlock(nn.Module):
    """Features `(B, out, H / stride, W / stride)` of features `(B, channels, H, W)`; the shortcut has no parameters.

    Where the shape changes, the shortcut drops every other pixel and pads channels with zeros on both sides (option A
    of He et al. 2015, section 3.3).
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        # A module for each activation, as methods that hook activations need.
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.padding = stride, (out - channels) // 2

    def forward(self, features: Tensor) -> Tensor:
        """Return the features after the block."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(features)))))
        shortcut = features[:, :, :: self.stride, :: self.stride]
        if self.padding:
            shortcut = pad(shortcut, (0, 0, 0, 0, self.padding, self.padding))
        out: Tensor = self.relu2(residual + shortcut)
        return out


class CifarResNet(nn.Module):
    """Logits `(B, K)` of normalised images `(B, 3, 32, 32)`; other sizes pass too, as pooling is global.

    `depth = 6 n + 2`: a convolution, three stages of n blocks with 16, 32 and 64 channels, and a linear layer.
    Source: He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2.

    Args:
        depth: 20, 32, 44, 56, 110, or any other 6 n + 2.
        num_classes: K.
    """

    def __init__(self, depth: int = 20, num_classes: int = 10) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth={depth} is not 6 n + 2; set classifier.depth to 20, 32, 44, 56 or 110")
        n_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, STAGES[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGES[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(STAGES[0], STAGES[0], 1, n_blocks)
        self.layer2 = _stage(STAGES[0], STAGES[1], 2, n_blocks)
        self.layer3 = _stage(STAGES[1], STAGES[2], 2, n_blocks)
        self.linear = nn.Linear(STAGES[2], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)`."""
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


def _stage(channels: int, out: int, stride: int, n_blocks: int) -> nn.Sequential:
    rest = [ResidualBlock(out, out, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(ResidualBlock(channels, out, stride), *rest)


def cifar_resnet(
    *,
    datamodule: DataInfo | None = None,
    checkpoint: str | Path | None = None,
    depth: int = 20,
    num_classes: int = 10,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
    name: str | None = None,
) -> Classifier:
    """Return a residual network for CIFAR in evaluation mode.

    Args:
        datamodule: only checked to fit.
        checkpoint: weights file; `None` leaves random weights.
        depth: 6 n + 2.
        num_classes: K.
        mean: per channel; ImageNet's by default, as published CIFAR weights use it.
        std: likewise.
        name: of the classifier in results; `None` means `cifar_resnet<depth>`.

    Raises:
        ValueError: another depth, data that do not fit, or a checkpoint that does not fit.
    """
    net = CifarResNet(depth, num_classes)
    classifier = Classifier(net, mean, std, name or f"cifar_resnet{depth}", num_classes, channels_last=True).eval()
    if datamodule is not None:
        check_fits(classifier, datamodule)
    return classifier if checkpoint is None else load_weights(classifier, checkpoint)
