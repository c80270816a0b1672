"""The same function written otherwise, or given the same pixels in another order of memory: the same results."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from torch import Tensor, nn

from diffig.metrics import (
    AbsoluteMass,
    Completeness,
    DiffID,
    EfficientRandomization,
    FFidelity,
    Infidelity,
    InformationCurves,
    InsertionDeletion,
    Localisation,
    MuFidelity,
    Randomization,
    Road,
    Sensitivity,
    SensitivityN,
    Sparseness,
)
from diffig.scores import ScoreFunction
from invariance.methods import METHODS, NETS
from oracle.explained import SmallNet, explained_batch
from oracle.models import Deep, pictures

TARGETS = torch.tensor([0, 3])
METRICS = {
    "completeness": lambda: Completeness(),
    "diffid": lambda: DiffID(),
    "emprt": lambda: EfficientRandomization(),
    "f_fidelity": lambda: FFidelity(sizes=(0.25, 0.5), n_samples=2),
    "infidelity": lambda: Infidelity(grid=2),
    "information_curves": lambda: InformationCurves(),
    "insertion_deletion": lambda: InsertionDeletion(n_steps=4),
    "localisation": lambda: Localisation(),
    "mu_fidelity": lambda: MuFidelity(n_sets=4),
    "randomization": lambda: Randomization(depths=(0.5,)),
    "road": lambda: Road(),
    "sensitivity": lambda: Sensitivity(n_draws=2),
    "sensitivity_n": lambda: SensitivityN(n_sets=4),
    "sparseness": lambda: Sparseness(),
    "absolute_mass": lambda: AbsoluteMass(),
}


class Shifted(nn.Module):
    """A network with its normalisation before it, which may write into the images it is given."""

    def __init__(self, net: nn.Module, in_place: bool) -> None:
        super().__init__()
        self.net, self.in_place = net, in_place
        self.register_buffer("mean", torch.full((3, 1, 1), 0.3))  # what some metrics fill holes with

    def forward(self, images: Tensor) -> Tensor:
        if self.in_place:
            images.sub_(0.3)
            images.div_(0.5)
            return self.net(images)
        return self.net((images - 0.3) / 0.5)


def of_another_layout(images: Tensor) -> Tensor:
    """The same images as `permute` makes them from arrays whose channels come last."""
    return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def explained_by(name, images, in_place=False, kind=Shifted):
    net = next((make for start, make in NETS.items() if name.startswith(start)), Deep)()
    method = METHODS[name](ScoreFunction(kind(net, in_place), chunk_size=5))
    options = {}
    if getattr(method, "guidance_strengths", {}).get("region"):
        options["region"] = torch.arange(8).lt(4).double().expand(len(images), 1, 8, 8)
    return method.explain(images, target=TARGETS, **options)


@functools.cache
def wanted_of(name):
    return explained_by(name, pictures(2)[0])


def same(found, wanted):
    assert wanted.attribution.abs().max() > 1e-4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("name", METHODS)
def test_a_classifier_that_writes_into_its_input_is_explained_as_one_that_does_not(name):
    images, _ = pictures(2)
    kept = images.clone()
    same(explained_by(name, images, in_place=True), wanted_of(name))
    assert torch.equal(images, kept)


@pytest.mark.parametrize("name", METRICS)
def test_a_classifier_that_writes_into_its_input_is_judged_on_the_images_as_they_are(name):
    found = []
    for in_place in (False, True):
        explained = explained_batch(3)
        explained = dataclasses.replace(explained, score=ScoreFunction(Shifted(SmallNet(), in_place), chunk_size=7))
        explained.explain.score = explained.score
        kept = explained.images.clone()
        found.append(METRICS[name]()(explained))
        assert torch.equal(explained.images, kept)
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-9, atol=1e-11, equal_nan=True)


def test_gradients_and_logits_of_a_classifier_that_writes_into_its_input():
    images, _ = pictures(2)
    found, wanted = (ScoreFunction(Shifted(Deep(), in_place), "logit") for in_place in (True, False))
    with torch.inference_mode():
        for given in (images, images.clone()):  # the second is a tensor of inference mode
            assert torch.equal(found.logits(given), wanted.logits(given))
            pairs = zip(found.value_and_grad(given, TARGETS), wanted.value_and_grad(given, TARGETS), strict=True)
            for one, other in pairs:
                torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
            assert torch.equal(given, pictures(2)[0])


class Viewed(Shifted):
    """A network that views its images as rows, which only contiguous ones allow."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.view(len(images), -1).view(images.shape))


LAYOUTS = {
    "channels last": of_another_layout,
    "transposed": lambda images: images.mT.contiguous().mT,
    "cut out": lambda images: torch.nn.functional.pad(images, (1, 2, 1, 1))[..., 1:-1, 1:-2],
}


@pytest.mark.parametrize("name", METHODS)
def test_images_of_another_layout_are_explained_alike(name):
    same(explained_by(name, of_another_layout(pictures(2)[0]), kind=Viewed), wanted_of(name))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", METRICS)
def test_images_and_maps_of_another_layout_are_judged_alike(name, layout):
    explained = explained_batch(3)
    score = ScoreFunction(Viewed(SmallNet(), in_place=False), chunk_size=7)
    explained = dataclasses.replace(explained, score=score)
    explained.explain.score = score
    names = ("images", "attributions", "baselines", "masks")
    other = {field: LAYOUTS[layout](getattr(explained, field)) for field in names}
    assert not other["images"].is_contiguous()
    wanted, found = METRICS[name]()(explained), METRICS[name]()(dataclasses.replace(explained, **other))
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-11, equal_nan=True)
