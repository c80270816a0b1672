"""MA-GIG's path: Guided IG's greedy walk on latent coordinates (arXiv 2605.02167, after Kapishnikov et al. 2021).

Notation: latents `z_k`, points `P_k = D(z_k)` tied to the exact ends, score `F`. At every step the latent coordinates
with the smallest `|J_D(z_k)^T grad F(P_k)|` move first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice
from diffig.paths.codec import Codec, encode
from diffig.paths.decoded import DecodedPath, Ends, check_ends
from diffig.paths.generator import ExplainBatch, candidates
from diffig.paths.gig import GuidedPath
from diffig.paths.path import PointPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

Partial = Literal["lerp", "slerp"]


class LatentGreedyPath(GuidedPath):
    """Guided IG's walk through an autoencoder, a whole batch in lock-step.

    Args:
        autoencoder: encodes both ends and decodes what lies between.
        n_segments: `T`, and the number of gradients for each image.
        fraction, max_distance: of the walk in latent space, see `GuidedPath`; no bound by default.
        partial: how the last block of a step goes part of its way: straight, or on the arc between where it is and
            where it goes, taken as two vectors.
        ends: how the decoded path meets the exact images, see `DecodedPath`.
    """

    def __init__(
        self,
        autoencoder: Codec,
        n_segments: int = 128,
        fraction: float = 0.1,
        max_distance: float = 1.0,
        *,
        partial: Partial = "lerp",
        ends: Ends = "residual",
    ) -> None:
        super().__init__(n_segments, fraction, max_distance)
        check_choice(partial, Partial, "partial")
        self.autoencoder, self.partial, self.ends = autoencoder, partial, check_ends(ends)

    def walk(
        self, images: Tensor, baselines: Tensor, targets: Tensor, score: ScoreFunction
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each step's old point, new point and the pixels' gradient at the old one, all `(B, C, H, W)`.

        The gradient that is pulled back to choose the step is the one integrated over it: left rule, as published, with
        `T` backward images in all.
        """
        start, end = encode(self.autoencoder, torch.cat([baselines, images]), score.chunk_size).chunk(2)
        knots = torch.stack([start, end], 1)
        ties = DecodedPath(images, baselines, knots, self.autoencoder.decode, self.ends, score.chunk_size)
        first, last = start.flatten(1), end.flatten(1)
        latent = first
        point, gradient, pulled = self._look(start, ties, 0.0, targets, score)
        for step in range(1, self.n_segments + 1):
            latent = self._step(latent, pulled.flatten(1), step, first, last)
            if step == self.n_segments:
                yield point, ties.images, gradient
                return
            share = step / self.n_segments
            new, fresh, pulled = self._look(latent.view_as(start), ties, share, targets, score)
            yield point, new, gradient
            point, gradient = new, fresh

    def _look(
        self, latents: Tensor, ties: DecodedPath, share: float, targets: Tensor, score: ScoreFunction
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return points, the score's gradients there, and these pulled back to the latents."""
        found = []
        for rows in torch.arange(len(latents), device=latents.device).split(score.chunk_size):
            with torch.inference_mode(False), torch.enable_grad():
                leaf = latents[rows].detach().clone().requires_grad_()
                decoded = self.autoencoder.decode(leaf)
                point = ties.tied(decoded.detach(), rows, leaf.new_full((len(rows),), share))
                gradient = score.value_and_grad(point, targets[rows])[1]
                (pulled,) = torch.autograd.grad(decoded, leaf, gradient)
            found.append((point, gradient, pulled))
        point, gradient, pulled = (torch.cat(parts) for parts in zip(*found, strict=True))
        return point, gradient, pulled

    def _partial(self, point: Tensor, highest: Tensor, ratio: Tensor, chosen: Tensor) -> Tensor:
        straight = super()._partial(point, highest, ratio, chosen)
        if self.partial == "lerp":
            return straight
        here, there = torch.where(chosen, point, 0), torch.where(chosen, highest, 0)
        lengths = here.norm(dim=1, keepdim=True) * there.norm(dim=1, keepdim=True)
        cosine = (here * there).sum(1, keepdim=True) / torch.where(lengths > 0, lengths, 1)
        angle = cosine.clamp(-1, 1).acos()
        arc = ((1 - ratio) * angle).sin() * here + (ratio * angle).sin() * there
        # Parallel vectors span no arc, opposite ones too many.
        return torch.where((lengths > 0) & (angle.sin() > 1e-4), arc / angle.sin().clamp(min=1e-4), straight)

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the decoded paths, `PointPath` of batch `B * n_paths` (all candidates of an image are alike)."""
        path = super()._generate(batch, n_paths, streams)
        if self.ends == "decoded":
            path.intended = candidates(batch.baselines, n_paths), candidates(batch.images, n_paths)
        return path
