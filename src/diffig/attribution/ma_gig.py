"""MA-GIG (arXiv 2605.02167): Guided IG's greedy walk through an autoencoder's latent space."""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.gig import GuidedIntegratedGradients
from diffig.baselines import Baseline
from diffig.credit import Credit
from diffig.integration.integrate import Integral
from diffig.paths.codec import Codec, borrowed
from diffig.paths.decoded import Ends
from diffig.paths.ma_gig import LatentGreedyPath, Partial
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class ManifoldGuidedIG(GuidedIntegratedGradients):
    """Integrates in pixels along the decoded walk while it is walked, as Guided IG does.

    The classifier's gradient that is pulled back to choose a step is the left rule's gradient of that step, so `steps`
    gradients do for both; released code computes the same numbers twice. The first is that of the path's own start, the
    exact baseline unless ends are decoded.

    Args:
        score, baseline, seed: as in `Attributor`.
        autoencoder: of images like those explained.
        steps: `T`, and backward images for each path.
        fraction, max_distance, partial: of the walk, see `LatentGreedyPath`.
        credit: how steps are divided, see `GuidedIntegratedGradients`.
        ends: `residual` spreads what reconstructions miss over the walk, which is then complete in the limit of many
            steps; `overwrite` leaves it to the first and the last step and a left rule crosses each with one gradient,
            however many steps there are; `decoded` is the published walk, see `EnhancedIntegratedGradients`.
    """

    name = "ma_gig"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        autoencoder: Codec,
        steps: int = 128,
        fraction: float = 0.1,
        max_distance: float = 1.0,
        partial: Partial = "lerp",
        ends: Ends = "residual",
        credit: Credit | str | None = None,
    ) -> None:
        options = {"fraction": fraction, "max_distance": max_distance, "credit": credit}
        super().__init__(score, baseline, seed, steps=steps, **options)  # type: ignore[arg-type]
        self.autoencoder = autoencoder
        self.path = LatentGreedyPath(autoencoder, steps, fraction, max_distance, partial=partial, ends=ends)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        with borrowed(self.autoencoder, images.device):
            return super()._explain(images, baselines, targets, streams)
