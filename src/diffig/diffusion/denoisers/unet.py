"""A small U-Net over fields of progress: the points between two segments are channels, bands share the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffig.checks import check_at_least
from diffig.renamed import old_arguments


@old_arguments(n_knots="n_segments")
class FieldUNet(nn.Module):
    """Predicts noise (or v) for one band of a field, told the noise level, the concentration and the cell size.

    Args:
        n_segments: `T` of the path; its field has `T - 1` channels.
        grid: `(h, w)` of the training fields; it is convolutional, so other grids run too.
        channels: width of each resolution.
        layers: residual blocks at each resolution.
    """

    def __init__(
        self, n_segments: int = 16, grid: Sequence[int] = (8, 8), channels: Sequence[int] = (32, 48), layers: int = 1
    ) -> None:
        from diffusers.models.unets.unet_2d import UNet2DModel  # seconds to import, so only where it is built

        super().__init__()
        check_at_least(layers, 1, "layers", "residual blocks at each resolution")
        # `n_knots` is the word of weights files, older and newer ones.
        self.config = {"n_knots": n_segments, "grid": list(grid), "channels": list(channels), "layers": layers}
        stages = len(channels)
        self.net = UNet2DModel(
            sample_size=tuple(grid),
            in_channels=n_segments - 1,
            out_channels=n_segments - 1,
            layers_per_block=layers,
            block_out_channels=tuple(channels),
            down_block_types=("DownBlock2D",) * stages,
            up_block_types=("UpBlock2D",) * stages,
            attention_head_dim=16,
            norm_num_groups=8,
            class_embed_type="identity",
        )
        width = 4 * channels[0]
        # `law` is its name in weights files.
        self.law = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, noisy: Tensor, times: Tensor, concentration: Tensor, cell_size: Tensor) -> Tensor:
        """Return the prediction `(N, T - 1, h, w)` for noisy fields of the same shape.

        Args:
            noisy: fields at noise level `times`.
            times: `(N,)` in [0, 1].
            concentration, cell_size: `(N,)` of the distribution; cells in grid places.
        """
        told = torch.stack([concentration.log(), cell_size.log()], 1).to(noisy)
        prediction: Tensor = self.net(noisy, times * 1000, class_labels=self.law(told), return_dict=False)[0]
        return prediction
