"""ROAD: the multigrid solver against dense and sparse solutions, the metric against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.metrics import Road
from diffig.metrics.linear_imputation import linear_imputation
from diffig.randomness import Streams
from oracle import perturbation_oracle as oracle
from oracle.explained import classify, close, explained_batch, with_maps


def holes(count: int, size: int, share: float, seed: int = 0) -> torch.Tensor:
    draw = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed))
    return draw < share


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputation_solves_the_dense_system(share: float) -> None:
    images = explained_batch(4, size=9).images
    missing = holes(4, 9, share)
    filled = linear_imputation(images, missing)
    for row in range(4):
        for channel in range(3):
            expected = oracle.imputed(images[row, channel].numpy(), missing[row, 0].numpy())
            np.testing.assert_allclose(filled[row, channel], expected, atol=1e-7)
    assert torch.equal(filled[~missing.expand_as(images)], images[~missing.expand_as(images)])


def solved_directly(image: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """An image `(C, H, W)` by scipy's direct solver, its sparse matrix from Kronecker products."""
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.linalg import spsolve

    channels, height, width = image.shape

    def along(size: int, middle: float):
        ones = np.ones(size)
        return sparse.diags([ones[1:], middle * ones, ones[1:]], [-1, 0, 1])

    near = sparse.kron(along(height, 2), along(width, 2)) - 4 * sparse.eye(height * width)
    weights = (near / 12).tocsr()
    gone = missing.flatten().numpy()
    system = (sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()
    values = image.double().numpy().reshape(channels, -1).T.copy()
    right = weights[gone][:, ~gone] @ values[~gone]
    values[gone] = spsolve(system[gone][:, gone].tocsc(), right).reshape(right.shape)
    return torch.from_numpy(values.T.reshape(image.shape).copy())


def blobs(count: int, height: int, width: int, share: float) -> torch.Tensor:
    """Connected holes, the highest pixels of smoothed noise, as maps make them."""
    noise = torch.randn(count, 1, height, width, generator=torch.Generator().manual_seed(2))
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)
    return smooth > smooth.flatten(1).quantile(1 - share, dim=1)[:, None, None, None]


def borders(count: int, height: int, width: int, share: float) -> torch.Tensor:
    """All missing from a column on, to the right border and into its corners."""
    return (torch.arange(width) >= (1 - share) * width).expand(count, 1, height, width).contiguous()


def scattered(count: int, height: int, width: int, share: float) -> torch.Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(3)) < share


@pytest.mark.parametrize("shape", [(48, 48), (37, 50), (64, 5), (2, 30), (1, 40), (40, 1)])
@pytest.mark.parametrize("holes_of", [scattered, blobs, borders])
@pytest.mark.parametrize("channels", [1, 3])
def test_imputation_equals_the_sparse_solver(shape, holes_of, channels) -> None:
    shares = (0.1, 0.5, 0.9)
    images = torch.rand(3, channels, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    missing = torch.cat([holes_of(1, *shape, share) for share in shares])
    expected = torch.stack([solved_directly(*pair) for pair in zip(images, missing, strict=True)])
    close(linear_imputation(images, missing), expected, atol=1e-8)
    single = linear_imputation(images.float(), missing)
    assert single.dtype == torch.float32
    close(single.double(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [224, 299])
@pytest.mark.parametrize("holes_of", [scattered, blobs])
def test_imputation_of_photographs_sizes_needs_few_cycles(size, holes_of) -> None:
    image = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    image = torch.nn.functional.interpolate(image, (size, size), mode="bilinear")
    image = (image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    missing = holes_of(1, size, size, 0.9)
    filled = linear_imputation(image, missing, most=20)
    close(filled.double()[0], solved_directly(image[0], missing), atol=1e-5)


def test_a_few_known_pixels_far_apart() -> None:
    image = torch.rand(1, 2, 61, 64, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    missing = torch.ones(1, 1, 61, 64, dtype=torch.bool)
    missing[..., 3, 60] = False
    close(linear_imputation(image, missing), image[..., 3:4, 60:61].expand_as(image), atol=1e-9)
    missing[..., 50, 2] = False
    missing[..., 30, 31] = False
    close(linear_imputation(image, missing, most=30)[0], solved_directly(image[0], missing[0]), atol=1e-8)


def test_nothing_missing_leaves_the_bits() -> None:
    images = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(5))
    assert torch.equal(linear_imputation(images, torch.zeros(2, 1, 9, 9, dtype=torch.bool)), images)


def test_what_is_not_finite_stays_with_its_pixel() -> None:
    images = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(8))
    missing = blobs(3, 16, 16, 0.5)
    expected = linear_imputation(images, missing)
    broken = torch.where(missing & (torch.arange(3) == 1)[:, None, None, None], torch.nan, images)
    broken[1, 0, -1, -1] = torch.inf
    filled = linear_imputation(broken, missing)
    assert torch.equal(filled[::2], expected[::2])
    assert filled.isfinite().flatten(2).all(2).tolist() == [
        [True, True],
        [bool(missing[1, 0, -1, -1]), True],
        [True, True],
    ]
    assert linear_imputation(images[:0], missing[:0]).shape == (0, 2, 16, 16)


def test_half_precision_is_solved_in_single() -> None:
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(6)).bfloat16()
    missing = scattered(2, 24, 24, 0.5)
    filled = linear_imputation(images, missing)
    assert filled.dtype == torch.bfloat16
    assert torch.equal(filled, linear_imputation(images.float(), missing).bfloat16())


def test_imputation_of_a_constant_image_is_the_constant_and_of_nothing_known_the_mean() -> None:
    flat = torch.full((1, 2, 8, 8), 0.37)
    close(linear_imputation(flat, holes(1, 8, 0.95)), flat, atol=1e-6)
    image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = linear_imputation(image, torch.ones(1, 1, 8, 8, dtype=torch.bool))
    close(whole, image.mean((2, 3), keepdim=True).expand_as(image), atol=1e-6)


@pytest.mark.parametrize("size", [9, 40, 300])
def test_an_image_has_the_same_bits_in_any_batch_and_order(size) -> None:
    images = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(7))
    missing = torch.cat([scattered(2, size, size, 0.1), blobs(2, size, size, 0.5), scattered(2, size, size, 0.95)])
    together = linear_imputation(images, missing)
    alone = torch.cat([linear_imputation(images[k : k + 1], missing[k : k + 1]) for k in range(6)])
    assert torch.equal(together, alone)
    assert torch.equal(linear_imputation(images.flip(0), missing.flip(0)).flip(0), together)
    assert torch.equal(linear_imputation(images, missing), together)


def test_road_equals_the_loop() -> None:
    explained = explained_batch(3)
    fractions = (0.25, 0.5, 0.75)
    metric = Road(fractions)
    values, curves, _ = metric.measure(explained)
    run = classify(explained.score.classifier)
    noise = Streams(0, explained.indices).normal((3, 6, 6), purpose="road").double() * 0.01
    for row in range(3):
        image, target = explained.images[row].numpy(), int(explained.targets[row])
        worth = explained.attributions[row].sum(0).abs().flatten().tolist()
        ranking = sorted(range(36), key=lambda k: -worth[k])
        for place, fraction in enumerate(fractions):
            count = int(fraction * 36)
            for name, gone in (("morf", ranking[:count]), ("lerf", ranking[36 - count :])):
                missing = np.zeros(36, dtype=bool)
                missing[gone] = True
                missing = missing.reshape(6, 6)
                filled = np.stack([oracle.imputed(image[c], missing) for c in range(3)])
                filled += noise[row].numpy() * missing
                logits = np.array(run(filled))
                probability = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
                assert curves[f"road_{name}"][row, place] == float(logits.argmax() == target)
                assert curves[f"road_{name}_probability"][row, place] == pytest.approx(probability[target], abs=1e-6)
    close(values["road_gap"], (curves["road_lerf"] - curves["road_morf"]).mean(1))
    gap = (curves["road_lerf_probability"] - curves["road_morf_probability"]).mean(1)
    close(values["road_gap_probability"], gap)


def test_turning_the_order_round_turns_the_sign() -> None:
    explained = explained_batch(4)
    one = explained.attributions.sum(1, keepdim=True).abs().expand_as(explained.images).clone()
    metric = Road((0.5,))
    values = metric(with_maps(explained, one))
    turned = metric(with_maps(explained, one.max() + 1 - one))
    assert values["road_gap_probability"].abs().max() > 1e-3
    close(turned["road_gap_probability"], -values["road_gap_probability"], atol=1e-12)


def test_the_same_seed_gives_the_same_noise_and_another_another() -> None:
    explained = explained_batch(3)
    first, again, other = (Road((0.5,), seed=seed)(explained) for seed in (0, 0, 1))
    assert torch.equal(first["road_gap_probability"], again["road_gap_probability"])
    assert not torch.equal(first["road_gap_probability"], other["road_gap_probability"])


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"fractions=\[0.0, 0.5\] must lie strictly"):
        Road((0.0, 0.5))
    with pytest.raises(ValueError, match=r"noise=-1 must be at least 0"):
        Road(noise=-1)
    with pytest.raises(ValueError, match="reduce='mean' is unknown"):
        Road(reduce="mean")
