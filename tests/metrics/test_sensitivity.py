"""Sensitivity: by hand, against captum on a method that is linear, and the floor of methods with a seed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from diffig.metrics import Sensitivity
from diffig.randomness import Streams
from oracle.explained import close, explained_batch, with_maps


class Method:
    """`images ** 2`, and noise of a given size that knows its seed; remembers what it was asked."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.asked = noise, []

    def __call__(self, images, targets, indices, *, seed_shift=0, classifier=None):
        self.asked.append((images, targets, indices, seed_shift, classifier))
        draw = Streams(seed_shift, indices).normal(tuple(images.shape[1:]), purpose="test").to(images)
        return images**2 + self.noise * draw


def batch(method: Method, count: int = 4):
    explained = explained_batch(count)
    maps = method(explained.images, explained.targets, explained.indices)
    method.asked.clear()
    return with_maps(dataclasses.replace(explained, explain=method), maps)


def test_the_largest_relative_change_over_the_draws() -> None:
    method = Method()
    explained = batch(method)
    values = Sensitivity(radius=0.1, n_draws=5)(explained)
    changed, (last,) = method.asked[:5], method.asked[5:]
    expected = [
        max(float((images[row] ** 2 - explained.attributions[row]).norm()) for images, *_ in changed)
        / float(explained.attributions[row].norm())
        for row in range(4)
    ]
    close(values["sensitivity_max"], torch.tensor(expected, dtype=torch.float64))
    moves = torch.stack([images - explained.images for images, *_ in changed])
    assert moves.abs().max() <= 0.1
    assert moves.abs().max() > 0.09
    assert all(images.min() >= 0 and images.max() <= 1 for images, *_ in changed)
    assert len({float(move.sum()) for move in moves}) == 5
    assert all(shift == 0 and classifier is None for *_, shift, classifier in changed)
    assert all(torch.equal(entry[2], explained.indices) for entry in method.asked)
    assert torch.equal(last[0], explained.images)
    assert last[3] == 1


def test_the_floor_is_what_the_seed_alone_does() -> None:
    assert (Sensitivity(n_draws=1)(batch(Method()))["sensitivity_floor"] == 0).all()
    explained = batch(Method(noise=0.3))
    other = Method(noise=0.3)(explained.images, explained.targets, explained.indices, seed_shift=1)
    moved = (other - explained.attributions).flatten(1).norm(dim=1) / explained.attributions.flatten(1).norm(dim=1)
    values = Sensitivity(n_draws=1)(explained)
    close(values["sensitivity_floor"], moved)
    assert (values["sensitivity_floor"] > values["sensitivity_max"]).all()


def test_sensitivity_agrees_with_captum_on_its_own_draws() -> None:
    captum = pytest.importorskip("captum.metrics")
    method = Method()
    explained = batch(method)
    values = Sensitivity(radius=0.05, n_draws=6)(explained)
    changed = torch.stack([images for images, *_ in method.asked[:6]], 1).flatten(0, 1)  # image by image
    expected = captum.sensitivity_max(
        lambda images: (images[0] ** 2,),
        explained.images,
        perturb_func=lambda images, radius: (changed,),
        n_perturb_samples=6,
    )
    close(values["sensitivity_max"], expected)


def test_the_relative_change_does_not_depend_on_the_unit() -> None:
    class Tiny(Method):
        def __call__(self, *asked, **options):
            return super().__call__(*asked, **options) * 1e-200  # its square is 0

    values, tiny = (Sensitivity(n_draws=2)(batch(method(noise=0.3))) for method in (Method, Tiny))
    for name, value in values.items():
        close(tiny[name], value)


def test_a_zero_map_has_no_relative_change() -> None:
    explained = with_maps(batch(Method()), torch.zeros_like(explained_batch(4).images))
    assert Sensitivity(n_draws=1)(explained)["sensitivity_max"].isnan().all()


def test_a_map_that_breaks_on_a_changed_image_is_nan_for_that_image_alone() -> None:
    class Breaks(Method):
        def __call__(self, images, *rest, **options):
            maps = super().__call__(images, *rest, **options)
            maps[2] = torch.nan
            return maps

    sound = batch(Method())
    values = Sensitivity(n_draws=2)(dataclasses.replace(sound, explain=Breaks()))
    assert values["sensitivity_max"].isnan().tolist() == [False, False, True, False]


def test_without_the_method_it_says_what_is_missing() -> None:
    explained = dataclasses.replace(explained_batch(2), explain=None)
    with pytest.raises(ValueError, match=r"Explained.explain is None, but this metric explains the images again"):
        Sensitivity()(explained)
    with pytest.raises(ValueError, match=r"radius=0 must lie in"):
        Sensitivity(radius=0)
    with pytest.raises(ValueError, match="n_draws=0 must be"):
        Sensitivity(n_draws=0)
