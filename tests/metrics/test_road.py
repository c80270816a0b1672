"""ROAD: the batched solver against dense and sparse solutions, the metric against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.metrics import Road
from diffig.metrics.road import linear_imputation
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


def test_imputation_equals_the_sparse_solver_on_large_connected_holes() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.linalg import spsolve

    side = 48
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    missing = torch.zeros(1, 1, side, side, dtype=torch.bool)
    missing[..., 2:40, 5:] = True  # reaches the right border
    ones = np.ones(side)
    chain = sparse.diags([ones[1:], ones, ones[1:]], [-1, 0, 1])
    line = sparse.diags([ones[1:], ones[1:]], [-1, 1])
    eye = sparse.eye(side)
    corners = sparse.kron(line, line) / 12
    edges = (sparse.kron(chain, chain) - sparse.kron(line, line) - sparse.kron(eye, eye)) / 6
    weights = (corners + edges).tocsr()
    gone = missing.flatten().numpy()
    system = sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights
    values = image.flatten().numpy()
    solved = spsolve(system[gone][:, gone].tocsc(), weights[gone][:, ~gone] @ values[~gone])
    filled = linear_imputation(image, missing).flatten().numpy()
    np.testing.assert_allclose(filled[gone], solved, atol=1e-6)


def test_imputation_of_a_constant_image_is_the_constant_and_of_nothing_known_the_mean() -> None:
    flat = torch.full((1, 2, 8, 8), 0.37)
    close(linear_imputation(flat, holes(1, 8, 0.95)), flat, atol=1e-6)
    image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = linear_imputation(image, torch.ones(1, 1, 8, 8, dtype=torch.bool))
    close(whole, image.mean((2, 3), keepdim=True).expand_as(image), atol=1e-6)


def test_a_plane_does_not_depend_on_the_others() -> None:
    images, missing = explained_batch(4, size=9).images, torch.cat([holes(2, 9, 0.1), holes(2, 9, 0.95)])
    together = linear_imputation(images, missing)
    alone = torch.cat([linear_imputation(images[k : k + 1], missing[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-14)


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
