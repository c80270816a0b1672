"""A small vision transformer for 28x28 grey images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from diffig.classifiers.base import Classifier, DataInfo, check_fits
from diffig.classifiers.checkpoint import load_weights


class TransformerBlock(nn.Module):
    """Tokens `(B, N, D)` after attention and a two-layer perceptron, each behind a layer norm and added to its input.

    Attention is divided by sqrt(D), not by the root of the width of one head as usual: the trained weights that this
    network exists for were made so.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)
        self.heads, self.scale = heads, dim**-0.5

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after the block."""
        tokens = tokens + self.proj(self._attend(self.norm1(tokens)))
        out: Tensor = tokens + self.fc2(self.act(self.fc1(self.norm2(tokens))))
        return out

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, length, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, D / heads) each
        weights = (query @ key.mT * self.scale).softmax(dim=-1)
        mixed: Tensor = (weights @ value).transpose(1, 2).reshape(batch, length, dim)
        return mixed


class VisionTransformer(nn.Module):
    """Logits `(B, K)` of normalised grey images `(B, 1, size, size)`.

    Square patches and a class token go through the blocks; two linear layers read the class token, without a last
    layer norm. Source: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", in small.
    """

    def __init__(
        self,
        *,
        size: int = 28,
        patch: int = 7,
        dim: int = 64,
        depth: int = 6,
        heads: int = 8,
        hidden: int = 128,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        if size % patch or dim % heads:
            raise ValueError(
                f"size={size}, patch={patch}, dim={dim}, heads={heads}: patch divides size, heads divide dim"
            )
        self.size, self.patch = size, patch
        self.patch_embed = nn.Linear(patch * patch, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads, hidden) for _ in range(depth)))
        self.head1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.head2 = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)`; ValueError for another size."""
        batch, _, height, width = images.shape
        if (height, width) != (self.size, self.size):
            raise ValueError(f"images are {height}x{width}; mnist_vit takes exactly {self.size}x{self.size} pixels")
        side = self.size // self.patch
        patches = images.reshape(batch, side, self.patch, side, self.patch).transpose(2, 3)
        tokens = self.patch_embed(patches.reshape(batch, side * side, self.patch**2))
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), tokens], dim=1) + self.pos_embed
        logits: Tensor = self.head2(self.act(self.head1(self.blocks(tokens)[:, 0])))
        return logits


def mnist_vit(
    *,
    datamodule: DataInfo | None = None,
    checkpoint: str | Path | None = None,
    num_classes: int = 10,
    mean: Sequence[float] = (0.1307,),
    std: Sequence[float] = (0.3081,),
    name: str = "mnist_vit",
) -> Classifier:
    """Return a vision transformer for MNIST (6 blocks, patches of 7, width 64) in evaluation mode.

    Args:
        datamodule: only checked to fit.
        checkpoint: weights file; `None` leaves random weights.
        num_classes: K.
        mean: of MNIST.
        std: likewise.
        name: of the classifier in results.

    Raises:
        ValueError: data that do not fit (28x28 grey images), or a checkpoint that does not fit.
    """
    net = VisionTransformer(num_classes=num_classes)
    classifier = Classifier(net, mean, std, name, num_classes).eval()
    if datamodule is not None:
        check_fits(classifier, datamodule)
        if datamodule.image_shape[1:] != (net.size, net.size):
            raise ValueError(
                f"images of dataset {datamodule.name!r} are {datamodule.image_shape}; mnist_vit takes (1, {net.size},"
                f" {net.size}): use dataset=mnist, or dataset.size={net.size} where the dataset has that key"
            )
    return classifier if checkpoint is None else load_weights(classifier, checkpoint)
