"""Magnitude aligned scoring: an insertion or deletion curve, less a penalty where mass and response differ.

Notation: fractions `k / n`; `p_k` the target's probability on the insertion or deletion curve; `R_k` the response,
`p_k` scaled so that the reference (blurred or erased) image is 0 and the clean one 1, clipped, and made monotone;
`M_k` the share of the map's mass that is in the image. The penalty is `|M_k - R_k|`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def aligned_curve(response: Tensor, shown: Tensor, rising: bool) -> Tensor:
    """Return corrected curves `(B, n + 1)` in [0, 1] of probabilities `(B, n + 1)` (Walker et al., IJCAI 2024).

    `R - |M - R|` for insertion, `R + |M - R|` for deletion, clipped, then scaled to fill [0, 1]. Where the clean
    image is not more probable than the reference, or nothing is left to scale, there is no response to share out: the
    curve is the diagonal, whose area is a half.

    Args:
        response: probabilities from the reference to the clean image (insertion) or back (deletion).
        shown: `(B, n + 1)` share of the map's mass in the image at each point.
        rising: whether this is the insertion curve.
    """
    # Read both curves from the reference to the clean image, so that one rule serves them.
    towards = response if rising else response.flip(1)
    share = shown if rising else shown.flip(1)
    low, high = towards[:, :1], towards[:, -1:]
    span = high - low
    scaled = ((towards - low) / torch.where(span > 0, span, 1)).clamp(0, 1)
    # A response never falls as pixels come; a deletion is walked from the other end, so its minimum runs backwards.
    steady = scaled.cummax(1).values if rising else scaled.flip(1).cummin(1).values.flip(1)
    penalty = (share - steady).abs()
    corrected = (steady - penalty if rising else steady + penalty).clamp(0, 1)
    least, most = corrected.amin(1, keepdim=True), corrected.amax(1, keepdim=True)
    width = most - least
    filled = (corrected - least) / torch.where(width > 0, width, 1)
    diagonal = torch.linspace(0, 1, response.shape[1], dtype=response.dtype, device=response.device)
    curve = torch.where((span > 0) & (width > 0), filled, diagonal)
    return curve if rising else curve.flip(1)


def mass_shown(values: Tensor, order: Tensor, counts: list[int]) -> Tensor:
    """Return the share `(B, n + 1)` of the mass `|values|` `(B, P)` in the first `counts` of `order` `(B, P)`.

    A map of zeros counts as spread evenly.
    """
    mass = values.abs()
    mass = torch.where(mass.amax(1, keepdim=True) > 0, mass, torch.ones_like(mass))
    mass = mass / mass.amax(1, keepdim=True)
    running = torch.nn.functional.pad(mass.gather(1, order).cumsum(1), (1, 0))
    return running[:, counts] / running[:, -1:]
