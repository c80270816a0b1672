"""Manifold IG (Zaher et al. 2024): gradients along a geodesic of the images that a decoder can make.

Notation: the path's points `P(s)`, `s` in [0, T]. Released code returns `(P_T - P_0) * mean_k grad F(P_k)`: the
gradients of a curve with the steps of a straight line, so it is complete for no two images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.integrate import Integral
from diffig.integration.quadrature import Nodes
from diffig.paths.codec import Codec, borrowed
from diffig.paths.decoded import Ends
from diffig.paths.mig import LatentGeodesicPath, Sweep
from diffig.paths.path import Path
from diffig.randomness import Streams
from diffig.renamed import old_arguments
from diffig.scores import ScoreFunction


@old_arguments(n_knots="n_segments")
class ManifoldIntegratedGradients(PathAttributor):
    """Integrates in pixels along the decoded geodesic.

    Args:
        score, baseline, seed: as in `Attributor`.
        autoencoder: of images like those explained.
        steps: backward images for each path; the decoder's own backward passes (`sweeps * n_segments` at most) are no
            images of the classifier.
        n_segments: segments `T` of the geodesic.
        sweeps, step_size, line_search, tolerance, sweep: of its relaxation, see `LatentGeodesicPath`.
        rule, credit, nodes: of the integral, see `PathAttributor`.
        ends: as in `EnhancedIntegratedGradients`.
        as_released: the released code's attribution, between reconstructions whatever `ends` says; its `steps`
            gradients lie evenly from `P_0` to `P_T` (on the points themselves where `steps = n_segments + 1`), `rule`
            and `nodes` have no part in it, and its gap is measured against `F(x) - F(x')`.
    """

    name = "mig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        autoencoder: Codec,
        steps: int = 128,
        n_segments: int = 20,
        sweeps: int = 300,
        step_size: float | None = None,
        line_search: bool = True,
        tolerance: float = 1e-2,
        sweep: Sweep = "red_black",
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
        ends: Ends = "overwrite",
        as_released: bool = False,
    ) -> None:
        self.autoencoder, self.as_released = autoencoder, bool(as_released)
        path = LatentGeodesicPath(
            autoencoder,
            n_segments,
            "decoded" if as_released else ends,
            sweeps=sweeps,
            step_size=step_size,
            line_search=line_search,
            tolerance=tolerance,
            sweep=sweep,
        )
        super().__init__(score, path, baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        with borrowed(self.autoencoder, images.device):
            if not self.as_released:
                return super()._explain(images, baselines, targets, streams)
            path = self._path(images, baselines, targets, streams)
            attribution, mass = self._as_released(path, targets)
        start, end = self.score.score(torch.cat([baselines, images]), targets.repeat(2)).chunk(2)
        return Integral(attribution, attribution.flatten(1).sum(1) - (end - start), mass)

    def _as_released(self, path: Path, targets: Tensor) -> tuple[Tensor, Tensor]:
        first, last = path.endpoints
        step = (last - first) / self.steps
        attribution, mass = torch.zeros_like(first), first.new_zeros(len(first))
        places = torch.linspace(0, path.n_segments, self.steps, device=first.device, dtype=first.dtype)
        for some in places.split(max(1, self.score.chunk_size // len(path))):
            points = path.at(some.expand(len(path), -1))
            gradient = self.score.value_and_grad(points.flatten(0, 1), targets.repeat_interleave(len(some)))[1]
            products = gradient.view_as(points) * step[:, None]
            attribution += products.sum(1)
            mass += products.abs().flatten(1).sum(1)
        return attribution, mass
