"""Enhanced IG's path: the straight line between two latents, decoded (Jha et al. 2020, hidden-linear).

Notation: `z' = E(x')`, `z = E(x)`, `z_k = z' + (k / T) (z - z')`, points `P_k = D(z_k)`, `k = 0 ... T`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.codec import Codec, encode
from diffig.paths.decoded import DecodedPath, Ends, check_ends
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.randomness import Streams


class LatentLinePath(PathGenerator):
    """Even steps in an autoencoder's latent space.

    Args:
        autoencoder: encodes both ends and decodes what lies between.
        n_segments: `T`.
        ends: how the decoded path meets the exact images, see `DecodedPath`.
    """

    def __init__(self, autoencoder: Codec, n_segments: int = 128, ends: Ends = "overwrite") -> None:
        self.autoencoder, self.ends = autoencoder, check_ends(ends)
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "T segments join T + 1 decoded points")

    def latents(self, images: Tensor, baselines: Tensor, chunk_size: int) -> Tensor:
        """Return the latents `(B, T + 1, c, h, w)` of the sequences, exact at both ends."""
        start, end = encode(self.autoencoder, torch.cat([baselines, images]), chunk_size).chunk(2)
        share = torch.linspace(0, 1, self.n_segments + 1, device=start.device, dtype=start.dtype)
        return torch.lerp(start[:, None], end[:, None], share[:, None, None, None])

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> DecodedPath:
        """Return the decoded sequences, a batch of `B * n_paths` (all candidates of an image are alike)."""
        images, baselines, _, score = batch
        latents = candidates(self.latents(images, baselines, score.chunk_size), n_paths)
        images, baselines = candidates(images, n_paths), candidates(baselines, n_paths)
        return DecodedPath(images, baselines, latents, self.autoencoder.decode, self.ends, score.chunk_size)
