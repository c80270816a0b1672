"""How many images go through a classifier at once: as asked, or as images and memory say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diffig import chunks
from diffig.attribution import FieldDiffIG, IntegratedGradients
from diffig.method import Guidance
from diffig.scores import ScoreFunction
from oracle.models import SoftplusNet


class Watched(nn.Module):
    """A network that notes how many images come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.seen = SoftplusNet(), []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.net(images)


def images(batch: int = 3, size: int = 12) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_chunk_shrinks_with_the_image_and_grows_with_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "memory_of", lambda device: 16 * 2**30)
    found = [chunks.fitting(torch.zeros(1, 3, side, side)) for side in (32, 160, 224, 512, 2048, 8192)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 64
    assert found[-1] == 1
    held = found[3] * 3 * 512 * 512 * 4 * chunks.HELD
    assert 2 * 2**30 < held <= 4 * 2**30
    monkeypatch.setattr(chunks, "memory_of", lambda device: 64 * 2**30)
    assert chunks.fitting(torch.zeros(1, 3, 512, 512)) > found[3]


def test_a_machine_says_what_it_has() -> None:
    assert 2**28 < chunks.memory_of(torch.device("cpu")) < 2**44


def test_what_is_asked_for_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "memory_of", lambda device: 0)
    for given, largest in ((None, 1), (5, 5)):
        net = Watched()
        maps = IntegratedGradients(ScoreFunction(net, chunk_size=given), steps=8).attribute(images(), target=1)
        assert max(net.seen) == largest
        expected = IntegratedGradients(SoftplusNet(), steps=8).attribute(images(), target=1)
        torch.testing.assert_close(maps, expected)
    like = ScoreFunction(net, None, 5).settled("margin").like()
    assert (like.chunk_size, like.objective, like.is_fitted) == (5, "margin", True)


def test_images_beyond_a_chunk_are_explained_one_after_the_other() -> None:
    batch = images(5)
    for region in (None, torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(1))):
        guidance = Guidance(proposals=2, region=0.2 if region is not None else 0.0)

        def explained(size: int, guidance: Guidance = guidance, region: Tensor | None = region):
            method = FieldDiffIG(ScoreFunction(SoftplusNet(), None, size), guidance=guidance, steps=40)
            return method.explain(batch, target=torch.tensor([0, 1, 2, 3, 4]), region=region)

        for mine, other in zip(explained(4), explained(64), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
