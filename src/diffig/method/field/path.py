"""Field DiffIG's paths: sampled from the prior over fields, steered by the classifier's own gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffig.method.field.prior import FieldPrior
from diffig.method.field.sequence import FieldSequence
from diffig.method.field.space import FieldSpace
from diffig.method.guidance.guidance import Guidance
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.method.sampled_path import SampledPath
from diffig.paths.generator import ExplainBatch, candidates
from diffig.paths.path import AlphaPath, blend
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class FieldPath(SampledPath):
    """Paths from the diffusion prior over fields of progress.

    Args:
        space: the coordinates.
        prior: the trained prior over fields.
        guidance: energies and strengths; none leaves the samples alone.
        sample_steps: `S`, denoising steps.
        concentration: asked of the prior, or a range drawn from for each path.
        cell_size: side of the cells, in places of the field's grid.
        learned: guidance by networks that were trained on `FieldSequence`s of the same space.
    """

    def __init__(
        self,
        space: FieldSpace,
        prior: FieldPrior,
        guidance: Guidance | None = None,
        sample_steps: int = 10,
        concentration: float | Sequence[float] = 1.0,
        cell_size: int = 2,
        learned: LearnedGuidance | None = None,
    ) -> None:
        super().__init__(space.n_segments, prior, learned, sample_steps, concentration)
        self.space, self.prior, self.guidance, self.cell_size = space, prior, guidance or Guidance(), cell_size

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams, region: Tensor | None = None) -> AlphaPath:
        """Return sampled paths of batch `B * n_paths`.

        Args:
            batch, n_paths, streams: as in `PathGenerator._generate`.
            region: `(B, 1, H, W)` mask for the energy `region`.
        """
        images, baselines, targets, score = batch
        noise = streams.normal(self.space.shape, n_paths, "field").to(images)
        concentration = self.concentrations(streams, len(images), n_paths, images)
        images, baselines, targets = (candidates(tensor, n_paths) for tensor in (images, baselines, targets))
        components = self.space.basis.components(images - baselines)
        masks = None if region is None else candidates(region.to(images), n_paths)

        sequences = FieldSequence(self.space)
        ends = (sequences.encode(baselines), sequences.encode(images)) if self.learned.active else None
        levels = self.prior.noise_schedule.grid(self.sample_steps, images)
        alphas, sigmas = self.prior.noise_schedule(levels)

        def climb(field: Tensor, time: Tensor) -> Tensor:
            assert ends is not None
            whole = sequences.join(field.to(images), *ends)
            return self.learned.omega * sequences.inner(self.learned.gradient(whole, time)).to(field)

        def push(mean: Tensor, variance: Tensor, time: Tensor) -> Tensor:
            return variance * climb(mean, time)

        def shift(field: Tensor, noisy: Tensor, step: int) -> Tensor:
            if self.learned.shifts:
                learnt = sigmas[step].square() / alphas[step] * climb(noisy, levels[step])
                return learnt + energies(field, step)
            return energies(field, step)

        def energies(field: Tensor, step: int) -> Tensor:
            if not self.guidance.acts(step, self.sample_steps):
                return torch.zeros_like(field)
            width = max(1, score.chunk_size // self.guidance.gradients)
            parts = []
            for rows in torch.arange(len(field), device=field.device).split(width):
                given = images[rows], baselines[rows], components[rows], targets[rows]
                mask = None if masks is None else masks[rows]
                parts.append(self._shift(field[rows], step, concentration[rows], *given, score, mask))
            return torch.cat(parts)

        prior = self.prior.to(device=images.device)
        cell_size = torch.full_like(concentration, float(self.cell_size))
        steer = shift if self.guidance.active or self.learned.shifts else None
        moved = push if self.learned.pushes else None
        field = prior.sample(noise.float(), concentration, cell_size, self.sample_steps, steer, moved).to(images)
        return self.space.path(images, baselines, self.space.decode(field, concentration), components)

    def _shift(
        self,
        field: Tensor,
        step: int,
        concentration: Tensor,
        images: Tensor,
        baselines: Tensor,
        components: Tensor,
        targets: Tensor,
        score: ScoreFunction,
        region: Tensor | None,
    ) -> Tensor:
        """What guidance adds to the predicted clean `field` `(n, bands, T - 1, h, w)`."""
        with torch.inference_mode(False), torch.enable_grad():
            # Clones leave inference mode: autograd cannot save tensors that were made in it.
            leaf = field.clone().to(images.dtype).requires_grad_()
            parts, start = components.clone(), baselines.clone()
            progress = self.space.decode(leaf, concentration.clone())

            def at(times: Tensor) -> Tensor:
                return blend(self.space.alpha(progress, times[0]), start, parts.sum(1), parts)

            mask = None if region is None else region.clone()
            view = self.guidance.view(at, 1.0, progress, step, score, targets.clone(), mask)
            return self.guidance.shift(view, leaf).to(field)
