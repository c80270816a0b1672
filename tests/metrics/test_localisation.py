"""Localisation: against a loop, on maps whose values are plain, and with masks that are missing or partly ignored."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from diffig.metrics import Localisation
from diffig.metrics.localisation import KINDS, centre_gaussian
from oracle import perturbation_oracle as oracle
from oracle.explained import close, explained_batch, take, with_maps


@pytest.mark.parametrize("tolerance", [0, 1.5, 3])
def test_every_kind_equals_the_loop(tolerance: float) -> None:
    explained = explained_batch(5, size=9)
    metric = Localisation(tolerance)
    values = metric(explained)
    assert set(values) == set(metric.names)
    bump = centre_gaussian(9, 9)
    bump = bump + 1e-6 * torch.rand(9, 9, generator=torch.Generator().manual_seed(0))  # no ties for the loop
    centred = metric(with_maps(explained, (bump / 3).expand_as(explained.images)))
    for row in range(5):
        mask = explained.masks[row, 0].numpy()
        found = oracle.localisation(explained.attributions[row].sum(0).numpy(), mask, tolerance)
        for name, value in found.items():
            assert values[name][row] == pytest.approx(value, abs=1e-12), name
        for name, value in oracle.localisation(bump.numpy(), mask, tolerance).items():
            assert centred[name][row] == pytest.approx(value, abs=1e-9), name
    for kind in ("energy_pointing", "relevance_mass"):
        close(values[f"{kind}_centre"], centred[kind], atol=1e-5)


def test_the_mask_itself_is_the_best_map_and_its_complement_the_worst() -> None:
    explained = explained_batch(4)
    inside = (explained.masks == 1).double().expand_as(explained.images)
    best = Localisation(tolerance=0)(with_maps(explained, inside))
    worst = Localisation(tolerance=0)(with_maps(explained, 1 - inside))
    for kind in KINDS:
        assert (best[kind] == 1).all(), kind
        assert (worst[kind] == 0).all() or kind == "energy_pointing", kind


def test_a_constant_map_gets_the_share_of_the_mask() -> None:
    explained = explained_batch(4)
    for maps in (
        torch.ones_like(explained.images),
        torch.zeros_like(explained.images),
        -torch.rand(explained.images.shape),
    ):
        values = Localisation()(with_maps(explained, maps.double()))
        close(values["relevance_mass"], values["mask_share"])


def test_ties_are_broken_at_random_so_that_rank_is_the_share_on_average() -> None:
    explained = explained_batch(5)
    constant = with_maps(explained, torch.ones_like(explained.images))
    values = [Localisation(seed=seed)(constant) for seed in range(200)]
    found = torch.stack([value["relevance_rank"] for value in values]).mean(0)
    torch.testing.assert_close(found, values[0]["mask_share"], rtol=0, atol=0.03)


def test_only_positive_relevance_counts_for_mass() -> None:
    explained = explained_batch(2)
    maps = torch.full_like(explained.images, -5.0)
    maps[:, :, 2, 2] = 1.0  # on the object
    maps[:, :, 5, 5] = 3.0  # beside it
    values = Localisation(tolerance=0)(with_maps(explained, maps))
    close(values["relevance_mass"], torch.full((2,), 0.25, dtype=torch.float64))
    assert (values["pointing"] == 0).all()


def test_tolerance_is_a_distance_in_pixels() -> None:
    explained = take(explained_batch(2, size=20), [0])
    maps = torch.zeros_like(explained.images)
    maps[0, :, 1, 7] = 1.0  # the object's nearest pixel is (1, 3)
    assert [float(Localisation(radius)(with_maps(explained, maps))["pointing"]) for radius in (3.9, 4.0)] == [0, 1]


def test_ignored_pixels_are_not_there() -> None:
    explained = explained_batch(3)
    maps = explained.attributions.clone()
    maps[:, :, 0, 0] = 100.0  # the ignored corner
    plain, odd = Localisation(0)(explained), Localisation(0)(with_maps(explained, maps))
    for name, value in plain.items():
        close(odd[name], value, name=name)
    assert plain["mask_share"][0] == pytest.approx(4 / 35)


def test_an_image_without_an_object_is_nan_and_a_dataset_without_masks_has_no_values() -> None:
    explained = explained_batch(3)
    masks = explained.masks.clone()
    masks[1] = 0
    values = Localisation()(dataclasses.replace(explained, masks=masks))
    for name, value in values.items():
        assert value.isnan().tolist() == [False, True, False], name
    assert Localisation()(dataclasses.replace(explained, masks=None)) == {}
    assert explained.score.cost.forward_images == 0


def test_values_do_not_depend_on_the_batch() -> None:
    explained = explained_batch(5)
    together = Localisation(1)(explained)
    alone = [Localisation(1)(take(explained, [row])) for row in range(5)]
    for name, value in together.items():
        close(torch.cat([one[name] for one in alone]), value, name=name)


def test_bad_input_is_named() -> None:
    explained = explained_batch(2)
    with pytest.raises(ValueError, match="tolerance=-1 must be at least 0"):
        Localisation(-1)
    with pytest.raises(ValueError, match=r"masks are torch.float64 .*; give uint8 \(2, 1, 6, 6\)"):
        dataclasses.replace(explained, masks=explained.masks.double())
    with pytest.raises(ValueError, match=r"masks are torch.uint8 \(2, 6, 6\)"):
        dataclasses.replace(explained, masks=explained.masks[:, 0])


def test_a_map_without_a_positive_part_has_the_shares_of_a_constant_one_and_its_own_order() -> None:
    explained = explained_batch(3)
    negative = with_maps(explained, -1 - explained.images)
    constant = with_maps(explained, torch.ones_like(explained.images))
    found, flat = Localisation()(negative), Localisation()(constant)
    for name in ("energy_pointing", "relevance_mass"):
        close(found[name], flat[name])
    brightest = with_maps(explained, 4 - explained.images)
    close(found["relevance_rank"], Localisation()(brightest)["relevance_rank"])
