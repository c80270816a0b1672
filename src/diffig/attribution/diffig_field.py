"""Field DiffIG: integration along generated, guided fields of progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath

import torch
from torch import Tensor, nn

from diffig.attribution.regional import RegionalAttributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least, check_widths
from diffig.credit import Agreeing, Credit
from diffig.integration.aggregate import Aggregation
from diffig.integration.combine import combine
from diffig.integration.integrate import Integral, integrate
from diffig.integration.quadrature import Nodes
from diffig.method import FieldPath, Guidance
from diffig.method.field.prior import FieldPrior
from diffig.method.field.space import FieldSpace
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.paths.basis import Basis
from diffig.paths.generator import ExplainBatch, candidates
from diffig.paths.schedule import Schedule
from diffig.randomness import Streams
from diffig.renamed import old_arguments
from diffig.scores import Objective, ScoreFunction

FOOTPRINTS = (0.0, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1)
"""Shares of the side: a tenth of a place of the field's grid at least, a place of it at most."""


@old_arguments(n_knots="n_segments")
class FieldDiffIG(RegionalAttributor):
    """Samples fields from a diffusion prior, guides them, integrates along the paths they stand for.

    Args:
        score, baseline, seed: as in `Attributor`.
        basis, schedule, n_segments, grid: of the field, see `FieldSpace`.
        guidance: energies and strengths.
        learned: guidance by trained networks, see `LearnedGuidance`.
        prior: a `FieldPrior` or the path of its file; the shipped one where none is given.
        sample_steps, concentration, cell_size: of the sampling, see `FieldPath`.
        steps: backward images for each path, all proposals and their guidance included: what guidance spends the
            quadrature does without.
        n_paths, aggregation: candidates for each image.
        credit: how pieces are divided among the features, an object of `diffig.credit` or its name; to those that
            agree where none is given.
        footprint: widths by which the attribution may be shared with the neighbourhood, of the side; each image gets
            the one judged best, for forward passes only. One width is not judged, none shares nothing.
        nodes: where the path is cut; where the score changes.
    """

    name = "diffig_field"
    objective: Objective = "logit"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        basis: Basis | None = None,
        schedule: Schedule | None = None,
        n_segments: int = 16,
        grid: Sequence[int] = (8, 8),
        guidance: Guidance | None = None,
        learned: LearnedGuidance | None = None,
        prior: FieldPrior | str | FilePath | None = None,
        sample_steps: int = 10,
        concentration: float | Sequence[float] = 2.0,
        cell_size: int = 2,
        steps: int = 32,
        n_paths: int = 1,
        aggregation: Aggregation = "mean",
        credit: Credit | str | None = None,
        footprint: float | Sequence[float] = FOOTPRINTS,
        nodes: Nodes = "score",
    ) -> None:
        guidance = guidance or Guidance(proposals=4, keep=("consensus", "mean"))
        check_at_least(steps, 1, "steps", "backward images for each path")
        spent = guidance.backward_images(sample_steps)
        share = steps // guidance.proposals  # backward images of one proposal
        if share <= spent:
            raise ValueError(
                f"steps={steps} backward images do not pay for {guidance.proposals} proposals with {spent} guidance "
                f"gradients each; raise steps above {guidance.proposals * (spent + 1) - 1}, or lower "
                "guidance.proposals, guidance.gradients or guidance.stop"
            )
        self.space = FieldSpace(basis, schedule, n_segments, (int(grid[0]), int(grid[1])))
        loaded = prior if isinstance(prior, FieldPrior) else FieldPrior.load(prior)
        self.field = FieldPath(self.space, loaded, guidance, sample_steps, concentration, cell_size, learned)
        options = {
            "credit": credit or Agreeing(p=2),
            "nodes": nodes,
            "n_paths": n_paths,
            "aggregation": aggregation,
        }
        super().__init__(score, self.field, baseline, seed, steps=share - spent, **options)  # type: ignore[arg-type]
        self.footprints = check_widths(footprint)
        self.judged_by = guidance.units, guidance.fill

    @property
    def guidance_strengths(self) -> dict[str, float]:
        """Strength of each guidance energy by name, and the number of proposals."""
        learned = self.field.learned
        strengths = {**learned.strengths, "omega": learned.omega} if learned.active else {}
        return {**self.field.guidance.strengths, "proposals": float(self.field.guidance.proposals), **strengths}

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        choices = self._choices(images, baselines, targets, streams)
        return choices._replace(attribution=choices.attribution[:, 0])

    def _choices(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        """What each way of `guidance.keep` makes of the same samples."""
        # A few images at a time: the bands of all their proposals are many times as large as they are.
        width = max(1, self.score.chunk_size // (self.n_paths * self.field.guidance.proposals))
        parts = []
        for rows in torch.arange(len(images), device=images.device).split(width):
            judged = ExplainBatch(images[rows], baselines[rows], targets[rows], self.score)
            region = None if self._region is None else self._region[rows.to(self._region.device)]
            parts.append(self._integrated(judged, streams.of(rows), region))
        return Integral(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _integrated(self, judged: ExplainBatch, streams: Streams, region: Tensor | None) -> Integral:
        """One integral for each image, of all its candidates and their proposals, with a map for each way to keep."""
        count = self.n_paths * self.field.guidance.proposals
        path = self.field.generate(*judged, n_paths=count, streams=streams, region=region)
        repeated = candidates(judged.targets, count)
        integral = integrate(path, self.score, repeated, self.credit, steps=self.steps, nodes=self.nodes)
        ways, guidance = [], self.field.guidance
        for keep in guidance.keep if guidance.proposals > 1 else guidance.keep[:1]:  # one is kept in one way
            kept = combine(integral, keep, judged.repeated(self.n_paths), *self.judged_by)
            ways.append(combine(kept, self.aggregation, judged, *self.judged_by))
        return ways[0]._replace(attribution=torch.stack([way.attribution for way in ways], 1))
