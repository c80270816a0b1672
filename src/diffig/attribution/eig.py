"""Enhanced IG (Jha et al. 2020), hidden-linear: gradients along the decoded line between two latents."""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.credit import Credit, Rule
from diffig.integration.integrate import Integral
from diffig.integration.quadrature import Nodes
from diffig.paths.codec import Codec, borrowed
from diffig.paths.decoded import Ends
from diffig.paths.eig import LatentLinePath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class EnhancedIntegratedGradients(PathAttributor):
    """Integrates in pixels along `steps` decoded segments of the straight latent line.

    Args:
        score, baseline, seed: as in `Attributor`.
        autoencoder: of images like those explained.
        steps: backward images for each path, and segments of the line; 200 in the comparisons of other papers.
        rule, credit, nodes: of the integral, see `PathAttributor` (published comparisons take a left sum).
        ends: `overwrite` or `residual` put the exact images back, at once (one gradient each for what the first and the
            last reconstruction miss) or spread over the line; `decoded` is the published path between reconstructions,
            whose gap to `F(x) - F(x')` does not go away with more steps.
    """

    name = "eig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        autoencoder: Codec,
        steps: int = 128,
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
        ends: Ends = "overwrite",
    ) -> None:
        self.autoencoder = autoencoder
        path = LatentLinePath(autoencoder, steps, ends)
        super().__init__(score, path, baseline, seed, steps=steps, rule=rule, credit=credit, nodes=nodes)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        with borrowed(self.autoencoder, images.device):
            return super()._explain(images, baselines, targets, streams)
