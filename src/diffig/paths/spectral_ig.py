"""Spectral paths: strong patterns of the difference image appear first, fine ones last (Spectral IG, 2026).

Notation: `D = x - x'` as patterns `c_j E_j` of strength `r_j`, overlap `w`, gate `f` on [0, 1]. Pattern `j` starts at
`b_j = (1 - w)(1 - r_j)` and takes `w`: `g_j(a) = f(clip((a - b_j) / w, 0, 1))`, `P(a) = x' + sum_j g_j(a) c_j E_j`.
Told as `P(a) = x' + a D + sum_j (g_j(a) - a) c_j E_j`, both ends and `w = 1`, the straight line, are exact.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.paths.basis import HaarBasis, LaplacianBasis
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import AlphaPath, Path
from diffig.paths.spectra import CosineSpectrum, SingularSpectrum, Spectrum
from diffig.randomness import Streams

Pattern = Literal["svd", "svd_joint", "dct", "haar", "laplacian"]
Gate = Literal["linear", "cosine", "sigmoid", "step"]


def progress(times: Tensor, strengths: Tensor, overlap: float, gate: Gate = "linear") -> Tensor:
    """Return how far patterns of `strengths` have come at `times`, in [0, 1]; the two are broadcast.

    Args:
        times: `a` in [0, 1].
        strengths: `r_j` in [0, 1].
        overlap: `w`; 1: all move at once; 0: patterns appear one by one, each at once.
        gate: `linear`; `cosine`, slow at both ends; `sigmoid`, a logistic curve of slope 12 stretched to reach both
            ends; `step`, at once in the middle.
    """
    # At w = 0 the share is 0 up to the start and 1 right after it.
    width = max(overlap, torch.finfo(times.dtype).tiny)
    share = ((times - (1 - overlap) * (1 - strengths)) / width).clamp(0, 1)
    if gate == "linear":
        return share
    if gate == "cosine":
        return (1 - torch.cos(math.pi * share)) / 2
    if gate == "sigmoid":
        low, high = (1 / (1 + math.exp(side * 6.0)) for side in (1, -1))
        return ((torch.sigmoid(12 * (share - 0.5)) - low) / (high - low)).clamp(0, 1)
    return (share >= 0.5).to(share)


class GatedPath(Path):
    """A batch of spectral paths, put together where they are looked at; smooth between their points too."""

    def __init__(
        self, images: Tensor, baselines: Tensor, spectrum: Spectrum, n_segments: int, overlap: float, gate: Gate
    ) -> None:
        super().__init__(images, baselines, n_segments)
        self.spectrum, self.overlap, self.gate = spectrum, overlap, gate
        self._difference = images - baselines

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        times = (lower + fraction) / self.n_segments
        strengths = self.spectrum.strengths[:, None]
        clock = times.reshape(*times.shape, *[1] * (strengths.ndim - 2))
        ahead = self.spectrum.combine(progress(clock, strengths, self.overlap, self.gate) - clock)
        return self.baselines[:, None] + times[..., None, None, None] * self._difference[:, None] + ahead


class SpectralPath(PathGenerator):
    """The paths of Spectral IG. Equivariant to flips, and with `svd` to transposition; not to moving single pixels.

    Args:
        basis: `svd` of each channel; `svd_joint` of the channels stacked; `dct`; `haar` and `laplacian`, bands from
            coarse to fine with even strengths. (The authors' program lets the finest band follow the coarsest.)
        overlap: `w` in [0, 1].
        gate: see `progress`.
        n_bands: of `haar` and `laplacian`.
        n_segments: `T`, the points on which bands are scheduled; the others are curves, alike for every `T`.
    """

    def __init__(
        self,
        basis: Pattern = "svd",
        overlap: float = 0.4,
        gate: Gate = "linear",
        n_bands: int = 5,
        n_segments: int = 128,
    ) -> None:
        check_choice(basis, Pattern, "basis")
        check_choice(gate, Gate, "gate")
        if not 0 <= overlap <= 1:
            raise ValueError(f"overlap={overlap} must lie in [0, 1]; the paper's value is 0.4, 1 is the straight line")
        self.basis, self.gate, self.overlap = basis, gate, float(overlap)
        self.n_bands = check_at_least(n_bands, 1, "n_bands", "1 is the straight line")
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> Path:
        """Return the paths of batch `B * n_paths` (all candidates of an image are alike)."""
        images, baselines = candidates(batch.images, n_paths), candidates(batch.baselines, n_paths)
        difference = images - baselines
        if self.basis in ("haar", "laplacian"):
            bands = HaarBasis(self.n_bands) if self.basis == "haar" else LaplacianBasis(self.n_bands)
            return AlphaPath(images, baselines, self._clock(images), bands.components(difference))
        spectrum = (
            CosineSpectrum(difference)
            if self.basis == "dct"
            else SingularSpectrum(difference, joint=self.basis == "svd_joint")
        )
        return GatedPath(images, baselines, spectrum, self.n_segments, self.overlap, self.gate)

    def _clock(self, images: Tensor) -> Tensor:
        """Progress `(B, T + 1, bands, 1, 1)` of bands with even strengths."""
        times = torch.linspace(0, 1, self.n_segments + 1, device=images.device, dtype=images.dtype)
        strengths = torch.linspace(1, 0, self.n_bands, device=images.device, dtype=images.dtype)
        clock = progress(times[:, None], strengths, self.overlap, self.gate).cummax(0).values
        clock[0], clock[-1] = 0, 1
        return clock[None, :, :, None, None].repeat(len(images), 1, 1, 1, 1)
