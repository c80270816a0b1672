"""Latent DiffIG, the published method: integration along decoded samples of a guided latent diffusion model.

Kim, Lee and Choi 2026 (arXiv 2606.22314). What the paper leaves open is an argument here: the number of points of a
sequence, how the decoded path meets its exact ends, the form of guidance and the operator that joins candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Literal

import torch
from torch import Tensor, nn

from diffig.attribution.regional import RegionalAttributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, Rule
from diffig.integration.aggregate import Aggregation, aggregate
from diffig.integration.combine import combine
from diffig.integration.integrate import Integral, integrate
from diffig.integration.quadrature import Nodes
from diffig.method import Guidance
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.method.latent.path import LatentPath
from diffig.method.latent.prior import LatentPrior, Sampler
from diffig.method.latent.space import LatentSpace
from diffig.paths.basis import Basis
from diffig.paths.codec import Codec, borrowed
from diffig.paths.decoded import DecodedPath, Ends
from diffig.paths.generator import ExplainBatch, candidates
from diffig.paths.path import Path
from diffig.paths.schedule import Schedule
from diffig.paths.scheduled import Scheduled, ScheduledPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class LatentDiffIG(RegionalAttributor):
    """Samples latent sequences, guides them, decodes them and integrates gradients along them.

    Args:
        score, baseline, seed: as in `Attributor`.
        autoencoder: encodes images and decodes sequences; one that `prior` was trained with.
        prior: a `LatentPrior` or the path of its file.
        learned: the paper's guidance by trained networks.
        energies: guidance by the classifier's own gradients, its gradients taken out of `steps`.
        sampler, sample_steps, concentration, clip: of the sampling, see `LatentPath`.
        ends: how decoded paths meet the exact images, see `DecodedPath`.
        steps: backward images for each path.
        n_paths: candidates `N` for each image, sampled, decoded and integrated in one batch.
        aggregation: of the candidates; `best_of` judges them by soft insertion minus deletion, `best_guided` by what
            guidance climbs.
        rule, credit, nodes: of the integral, see `PathAttributor`.
        schedule: lets the bands of `basis` follow the decoded path one after another, see `ScheduledPath`; none moves
            the image whole, as published.
        basis: the bands of the schedule, Laplacian ones where none is given.
    """

    name = "diffig_latent"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        autoencoder: Codec,
        prior: LatentPrior | str | FilePath,
        learned: LearnedGuidance | None = None,
        energies: Guidance | None = None,
        sampler: Sampler = "ddpm",
        sample_steps: int = 100,
        concentration: float | Sequence[float] = (1.0, 20.0),
        clip: bool = True,
        ends: Ends = "overwrite",
        steps: int = 128,
        n_paths: int = 1,
        aggregation: Aggregation | Literal["best_guided"] = "mean",
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
        schedule: Schedule | None = None,
        basis: Basis | None = None,
    ) -> None:
        loaded = prior if isinstance(prior, LatentPrior) else LatentPrior.load(prior)
        guidance = energies or Guidance()
        spent = guidance.backward_images(sample_steps)
        if check_at_least(steps, 1, "steps", "backward images for each path") <= spent:
            raise ValueError(
                f"steps={steps} backward images do not pay for the {spent} gradients of the energies; raise steps, or "
                "lower guidance.gradients, guidance.stop or method.sample_steps"
            )
        space = LatentSpace(autoencoder, loaded.n_segments, ends=ends)
        self.sequences = LatentPath(space, loaded, learned, guidance, sampler, sample_steps, concentration, clip)
        if aggregation == "best_guided" and not self.sequences.learned.active:
            raise ValueError(
                "aggregation=best_guided ranks candidates by the learned guidance, and learned.lambda_faith and "
                "learned.lambda_comp are both 0; set one, or choose aggregation=best_of"
            )
        self.autoencoder, self.best_guided = autoencoder, aggregation == "best_guided"
        options = {"rule": rule, "credit": credit, "nodes": nodes, "n_paths": n_paths, "aggregation": aggregation}
        paths = self.sequences if schedule is None else Scheduled(self.sequences, basis, schedule)
        super().__init__(score, paths, baseline, seed, steps=steps - spent, **options)  # type: ignore[arg-type]

    @property
    def guidance_strengths(self) -> dict[str, float]:
        """Strength of each term of the guidance by name."""
        learned = self.sequences.learned
        return {**self.sequences.energies.strengths, **learned.strengths, "omega": learned.omega}

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        judged = ExplainBatch(images, baselines, targets, self.score)
        repeated = candidates(targets, self.n_paths)
        with borrowed(self.autoencoder, images.device):
            path = self.path.generate(*judged, n_paths=self.n_paths, streams=streams, region=self._region)
            integral = integrate(path, self.score, repeated, self.credit, steps=self.steps, nodes=self.nodes)
        if self.best_guided:
            return self._best_guided(integral, path)
        return combine(integral, self.aggregation, judged)

    def _best_guided(self, integral: Integral, path: Path) -> Integral:
        path = path.path if isinstance(path, ScheduledPath) else path
        assert isinstance(path, DecodedPath)
        quality = self.sequences.learned.quality(path.latents.flatten(2)).view(-1, self.n_paths)
        attribution, gap, mass = (part.unflatten(0, (-1, self.n_paths)) for part in integral)
        best = quality.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        return Integral(aggregate(attribution, "best_of", quality), gap[rows, best], mass[rows, best])
