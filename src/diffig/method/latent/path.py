"""Latent DiffIG's paths: sequences sampled from the trained prior, guided by networks or by the classifier itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffig.method.guidance.guidance import Guidance
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.method.latent.prior import Ends, LatentPrior, Sampler
from diffig.method.latent.space import LatentSpace
from diffig.method.sampled_path import SampledPath
from diffig.paths.decoded import DecodedPath
from diffig.paths.generator import ExplainBatch, candidates
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class LatentPath(SampledPath):
    """Paths from the diffusion prior over latent sequences.

    Args:
        space: the coordinates.
        prior: the trained prior over sequences.
        learned: the paper's guidance.
        energies: the classifier's own gradients on the decoded path; strengths are shifts in standard deviations of
            the latents.
        sampler, sample_steps: `ddpm` or `ddim`, and its steps; the paper's are 100 of DDPM.
        concentration: asked of a denoiser that listens to it, or a range drawn from for each path.
        clip: keep predicted paths between their ends, coordinate by coordinate.
    """

    def __init__(
        self,
        space: LatentSpace,
        prior: LatentPrior,
        learned: LearnedGuidance | None = None,
        energies: Guidance | None = None,
        sampler: Sampler = "ddpm",
        sample_steps: int = 100,
        concentration: float | Sequence[float] = (1.0, 20.0),
        clip: bool = True,
    ) -> None:
        super().__init__(space.n_segments, prior, learned, sample_steps, concentration)
        self.space, self.prior, self.energies = space, prior, energies or Guidance()
        self.sampler, self.clip = sampler, clip

    def _generate(
        self, batch: ExplainBatch, n_paths: int, streams: Streams, region: Tensor | None = None
    ) -> DecodedPath:
        """Return sampled paths of batch `B * n_paths`.

        Args:
            batch, n_paths, streams: as in `PathGenerator._generate`.
            region: `(B, 1, H, W)` mask for the energy `region`.
        """
        images, baselines, targets, score = batch
        ends = Ends(*(candidates(self.space.encode(part), n_paths) for part in (baselines, images)))
        expected = int(self.prior.denoiser.config["dim"])  # type: ignore[index]
        if ends.end.shape[1] != expected:
            raise ValueError(
                f"the autoencoder gives {ends.end.shape[1]} latent numbers for images {tuple(images.shape[1:])}, the "
                f"prior was trained on {expected}; use the two that were trained together"
            )
        concentration = self.concentrations(streams, len(images), n_paths, ends.end)
        shape = (self.space.n_segments + 1, expected)
        images, baselines, targets = (candidates(part, n_paths) for part in (images, baselines, targets))
        prior = self.prior.to(device=images.device)
        times = prior.noise_schedule.grid(self.sample_steps, ends.end)
        alphas, sigmas = prior.noise_schedule(times)

        def fresh(step: int) -> Tensor:
            return streams.normal(shape, n_paths, f"latent {step}").to(ends.end)

        def push(mean: Tensor, variance: Tensor, time: Tensor) -> Tensor:
            return self.learned.omega * variance * self.learned.gradient(mean, time)

        def shift(clean: Tensor, noisy: Tensor, step: int) -> Tensor:
            total = torch.zeros_like(clean)
            if self.learned.shifts:
                scale = self.learned.omega * sigmas[step].square() / alphas[step]
                total += scale * self.learned.gradient(noisy, times[step])
            if self.energies.acts(step, self.sample_steps):
                total += self._steered(clean, step, images, baselines, targets, score, region)
            return total

        sequences = prior.sample(
            ends,
            streams.normal(shape, n_paths, "latent").to(ends.end),
            concentration,
            self.sample_steps,
            sampler=self.sampler,
            fresh=fresh,
            shift=shift if self.learned.shifts or self.energies.active else None,
            push=push if self.learned.pushes else None,
            clip=self.clip,
        )
        return self.space.path(images, baselines, sequences)

    def _steered(
        self,
        clean: Tensor,
        step: int,
        images: Tensor,
        baselines: Tensor,
        targets: Tensor,
        score: ScoreFunction,
        region: Tensor | None,
    ) -> Tensor:
        """What the energies add to clean sequences `(N, T + 1, d)`, a chunk of paths at a time."""
        width = max(1, score.chunk_size // self.energies.gradients)
        repeats = 1 if region is None else len(images) // len(region)
        masks = None if region is None else candidates(region.to(images), repeats)
        parts = []
        for rows in torch.arange(len(clean), device=clean.device).split(width):
            with torch.inference_mode(False), torch.enable_grad():
                leaf = clean[rows].clone().requires_grad_()  # clones leave inference mode
                path = self.space.path(images[rows].clone(), baselines[rows].clone(), leaf)
                progress = self.space.progress(leaf, images)
                mask = None if masks is None else masks[rows].clone()
                chosen = targets[rows].clone()
                view = self.energies.view(path.at, path.n_segments, progress, step, score, chosen, mask)
                parts.append(self.energies.shift(view, leaf))
        return torch.cat(parts)
