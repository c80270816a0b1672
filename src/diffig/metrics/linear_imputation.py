"""Linear imputation: each missing pixel becomes the weighted mean of its neighbours, all of them solved together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Relative to the first guess, in the norm that the equations define; pixels then agree with a direct solver's to
# about 1e-6 in float32 and 1e-10 in float64.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-11}

# Elements that a processor works through at once: more leave its cache, and every pass over them waits for memory.
CACHED = 2**17

Step = tuple[Tensor, Tensor, int, Tensor]  # (one, other, alpha, out): one + alpha * other goes to out


@torch.no_grad()
def linear_imputation(images: Tensor, missing: Tensor, tolerance: float | None = None, most: int = 1000) -> Tensor:
    """Return the images `(B, C, H, W)` with missing pixels solved from the rest, in the images' own precision.

    Each missing pixel equals the weighted mean of its neighbours inside the image, 1/6 for those that share an edge and
    1/12 for those that share a corner, divided by the sum of weights at borders (Rong et al., ICML 2022). Where
    nothing is known a plane becomes its own mean. Pixels that are not finite count as 0 and, if known, stay.

    Notation: for a plane `v` that is zero outside the hole, `S v` is `[1 2 1]^T [1 2 1] v - 4 v`, twelve times the
    weighted sum of neighbours, and `w = S 1`. The equations are `A v = w v - S v = S known` on the hole: symmetric, and
    positive definite as long as one pixel is known. Conjugate gradients solve them, preconditioned by one V-cycle over
    a pyramid of holes (`_Hole`), so that about ten iterations do, however large a hole is. A plane stops changing as
    soon as it has converged, so no result depends on the rest of the batch.

    Args:
        images: `(B, C, H, W)`.
        missing: `(B, 1, H, W)` bool.
        tolerance: of the error, in the norm `v.A v`, relative to that of the first guess; None is what the precision
            allows.
        most: iterations.
    """
    height, width = images.shape[2:]
    if min(height, width) == 1:  # a line twice beside itself has the line's solution, and smooths as planes do
        twice = [2 if size == 1 else 1 for size in (height, width)]
        double = linear_imputation(images.repeat(1, 1, *twice), missing.repeat(1, 1, *twice), tolerance, most)
        return double[..., :height, :width].contiguous()
    # Planes share one line of numbers below, and 0 * NaN would cross from one to the next.
    precision = torch.promote_types(images.dtype, torch.float32)
    planes = torch.where(images.isfinite(), images, 0).to(precision).contiguous()
    if tolerance is None:
        tolerance = TOLERANCE[planes.dtype]
    count = len(images) if images.is_cuda else max(1, CACHED // images.shape[1:].numel())
    groups = zip(planes.split(count), missing.split(count), strict=True)
    solved = torch.cat([_solve(part, hole, tolerance, most) for part, hole in groups])
    return torch.where(missing, solved.to(images.dtype), images)


def _solve(images: Tensor, missing: Tensor, tolerance: float, most: int) -> Tensor:
    """The solution `(B, C, H, W)`, right on the hole, of a group of images."""
    known = (~missing).to(images)
    count = _total(known)
    mean = torch.where(count > 0, _total(images * known) / count.clamp(min=1), images.mean((2, 3), keepdim=True))
    hole = _Hole(missing[:, 0], images.shape[1], images.dtype)
    # Around the mean of what is known, so that a plane without any starts, and stays, at its solution.
    residual = hole.box(functional.pad((images - mean) * known, (1, 1, 1, 1))) * hole.inside
    solution, direction, image_of, product = (torch.zeros_like(residual) for _ in range(4))
    power: Tensor | float = 1.0
    limit = torch.zeros_like(mean)
    for step in range(most):
        better = hole.cycle(residual)
        fresh = _total(torch.mul(residual, better, out=product))
        if step == 0:
            limit = fresh * tolerance**2
        active = fresh > limit
        if not bool(active.any()):
            break
        direction.mul_(fresh / power).add_(better)
        power = torch.where(fresh > 0, fresh, 1)
        hole.apply(direction, out=image_of)
        curvature = _total(torch.mul(direction, image_of, out=product))
        length = torch.where(active, fresh / torch.where(curvature > 0, curvature, 1), 0)
        solution.add_(torch.mul(direction, length, out=product))
        residual.sub_(image_of.mul_(length))
    return solution[..., 1:-1, 1:-1] + mean


def _total(planes: Tensor) -> Tensor:
    """Sums `(B, C, 1, 1)`, row by row and then over rows: the same whatever the batch and the number of threads."""
    return planes.sum(3, keepdim=True).sum(2, keepdim=True)


class _Hole:
    """The missing pixels of one level of a pyramid, with the coarser levels below it.

    A cell of the level below stands for 2 x 2 pixels and is missing where all four are; the equations have the same
    stencil on every level. A correction comes up by bilinear interpolation and a residual goes down by its transpose;
    one Jacobi step before and one after keep the cycle symmetric, as conjugate gradients need it. Where few 4 x 4
    pixels of an image are missing together, and no 8 x 8, the known ones are near enough to do without.

    Planes are `(B, C, H + 2, W + 2)`, in a frame of one pixel. They and most views of them are made once: fresh memory
    costs more than the arithmetic, and so do views of small planes. Outside the hole corrections are zero and residuals
    are anything.

    Args:
        missing: `(B, H, W)` bool.
        channels: planes of each image; they share its hole.
        dtype: of the planes.
        top: whether this is the image itself.
    """

    def __init__(self, missing: Tensor, channels: int, dtype: torch.dtype, top: bool = True) -> None:
        batch, height, width = missing.shape
        buffers = torch.zeros((5, batch, channels, height + 2, width + 2), dtype=dtype, device=missing.device)
        self.residual, self.correction, self.fine, pairs, self.sums = buffers
        self.inside = functional.pad(missing, (1, 1, 1, 1))[:, None]
        across, down = (torch.full((size + 2,), 4.0, dtype=dtype, device=missing.device) for size in (width, height))
        for side in (across, down):
            side[[1, -2]] = 3  # [1 2 1] at a border
        weight = down[:, None] * across - 4
        self.diagonal = weight + 4
        self.inverse = torch.where(self.inside, 1 / weight, 0)
        # The frame lets all planes be one line of numbers, along which neighbours are 1 or a row apart.
        one, other, row = pairs.view(-1), self.sums.view(-1), width + 2
        self.pairs = one[1:]
        self.rest_of_box = [
            (one[1:], one[:-1], 1, other[:-1]),
            (other[row:], other[:-row], 1, one[row:]),
            (one[row:], one[:-row], 1, other[:-row]),
        ]
        self.below = self._below(missing, channels, dtype, top)
        if self.below is not None:
            half = torch.zeros((batch, channels, height // 2 + 2, width + 2), dtype=dtype, device=missing.device)
            self.up = _widen(self.below.correction, half) + _widen(half.mT, self.fine.mT)
            self.down = _narrow(self.fine.mT, half.mT)
            self.down += _narrow(half[..., 1:-1, :], self.below.residual[..., 1:-1, :])
            self.below.correction[..., 1:-1, 1:-1] = 1
            _add(self.up)
            # Interpolation's weights add up to one at borders too.
            self.share = torch.where(self.inside, 1 / self.fine[:, :1], 0)

    def _below(self, missing: Tensor, channels: int, dtype: torch.dtype, top: bool) -> _Hole | None:
        if min(missing.shape[1:]) < 4:
            return None
        cells = _all_four(missing)
        if top:
            fours = _all_four(cells)
            many = 256 * fours.sum((1, 2)) > missing.sum((1, 2))  # a sixteenth of the hole
            cells = cells & (many | _all_four(fours).flatten(1).any(1))[:, None, None]
        return _Hole(cells, channels, dtype, top=False) if bool(cells.any()) else None

    def box(self, planes: Tensor) -> Tensor:
        """`[1 2 1]^T [1 2 1] planes`, right inside the frame; in a buffer that the next call overwrites."""
        line = planes.view(-1)
        torch.add(line[1:], line[:-1], out=self.pairs)
        _add(self.rest_of_box)
        return self.sums

    def apply(self, planes: Tensor, out: Tensor) -> Tensor:
        """`A planes`, of planes that are zero outside the hole."""
        return torch.mul(planes, self.diagonal, out=out).sub_(self.box(planes))

    def cycle(self, residual: Tensor) -> Tensor:
        """One V-cycle from zero for the correction `A^-1 residual`; in a buffer that the next call overwrites."""
        correction = torch.mul(residual, self.inverse, out=self.correction)
        if self.below is not None:
            # After a first Jacobi step from zero `w correction` is the residual, and what is left is `S correction`.
            torch.sub(self.box(correction), correction, alpha=4, out=self.fine).mul_(self.share)
            _add(self.down)
            self.below.cycle(self.below.residual)
            _add(self.up)
            correction.add_(self.fine.mul_(self.share))
        torch.sub(self.box(correction), correction, alpha=4, out=self.correction)
        return correction.add_(residual).mul_(self.inverse)


def _add(steps: list[Step]) -> None:
    for one, other, alpha, out in steps:
        torch.add(one, other, alpha=alpha, out=out)


def _widen(cells: Tensor, pixels: Tensor) -> list[Step]:
    """Along the last dimension, each pixel is three times its cell and once the nearest other: bilinear, times 4."""
    end = 2 * cells.shape[-1] - 2
    return [
        (cells[..., :-1], cells[..., 1:], 3, pixels[..., 1:end:2]),
        (cells[..., 1:], cells[..., :-1], 3, pixels[..., 0:end:2]),
    ]


def _narrow(pixels: Tensor, cells: Tensor) -> list[Step]:
    """The transpose of `_widen`."""
    inside, end = cells[..., 1:-1], 2 * cells.shape[-1] - 4
    return [
        (pixels[..., 1:end:2], pixels[..., 2 : end + 1 : 2], 1, inside),
        (pixels[..., 0 : end - 1 : 2], inside, 3, inside),
        (inside, pixels[..., 3 : end + 2 : 2], 1, inside),
    ]


def _all_four(missing: Tensor) -> Tensor:
    """Which 2 x 2 cells `(B, H // 2, W // 2)` are missing altogether; an odd last row or column has no cell."""
    height, width = (size // 2 * 2 for size in missing.shape[1:])
    rows = missing[:, 0:height:2, :width] & missing[:, 1:height:2, :width]
    return rows[..., 0::2] & rows[..., 1::2]
