"""On CUDA every method and metric gives what it gives on a CPU, where its inputs lie.

`DIFFIG_DEVICE=cpu python -m pytest -m gpu` runs the tests themselves where there is no CUDA device.
"""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from diffig.attribution import Attributor, GuidedIntegratedGradients, IntegratedGradients
from diffig.classifiers import cifar_resnet
from diffig.metrics import Explained
from diffig.scores import ScoreFunction
from invariance.methods import METHODS
from invariance.test_attributors import INDICES, TARGETS, net_of
from metrics.test_metrics import every_metric
from oracle.explained import explained_batch
from oracle.models import pictures

DEVICE = os.environ.get("DIFFIG_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    images = pictures(6)[0][:2]
    found = []
    for device in ("cpu", DEVICE):
        method = METHODS[name](ScoreFunction(net_of(name).to(device), chunk_size=5))
        options = {}
        if getattr(method, "guidance_strengths", {}).get("region"):
            options["region"] = torch.arange(8).lt(4).double().expand(2, 1, 8, 8).to(device)
        given = images.to(device)
        found.append(method.explain(given, target=TARGETS[:2].to(device), indices=INDICES[:2], **options))
    assert all(value.device.type == DEVICE for value in found[1])
    for one, other in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_metrics() -> None:
    def moved(value: object) -> object:
        return value.to(DEVICE) if isinstance(value, torch.Tensor) else value

    plain = explained_batch(3, size=8)
    fields = {field.name: moved(getattr(plain, field.name)) for field in dataclasses.fields(Explained)}
    score = plain.score
    expected = every_metric()(plain)
    score.classifier.to(DEVICE)
    found = every_metric()(dataclasses.replace(plain, **fields))
    assert set(found) == set(expected)
    for name, value in found.items():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-5, atol=1e-8, equal_nan=True, msg=name)


@pytest.mark.parametrize("make", [IntegratedGradients, GuidedIntegratedGradients])
def test_bfloat16_is_the_classifiers_alone(make: type[Attributor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = cifar_resnet(depth=20).to(DEVICE)
    images = pictures(2, height=32, width=32, dtype=torch.float32)[0].to(DEVICE)
    method = make(ScoreFunction(net), steps=8)
    target = torch.tensor([0, 3], device=DEVICE)
    wanted = method.explain(images, target=target)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        found = method.explain(images, target=target)
    assert found.attribution.dtype == torch.float32
    assert (found.attribution - wanted.attribution).norm() < 0.3 * wanted.attribution.norm()
