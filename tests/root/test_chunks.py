"""How many images go through a classifier at once: as asked, or as images and memory say."""

from __future__ import annotations

from pathlib import Path

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


def system(root: Path, cgroup: str, limits: dict[str, str]) -> Path:
    """A root folder whose process is in these control groups."""
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{k}": v for k, v in limits.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


GIB = 2**30
UNLIMITED = str(2**63 - 4096)


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": f"{4 * GIB}\n"}, 4 * GIB),  # a container, version 2
        ("0::/slurm/job_7/step_0\n", {"slurm/job_7/memory.max": str(6 * GIB), "slurm/memory.max": "max\n"}, 6 * GIB),
        ("0::/a/b\n", {"a/b/memory.max": str(8 * GIB), "a/memory.max": str(3 * GIB)}, 3 * GIB),
        ("4:cpu:/x\n3:memory:/docker/1f\n", {"memory/memory.limit_in_bytes": str(4 * GIB)}, 4 * GIB),  # version 1
        ("3:hugetlb,memory:/u\n0::/\n", {"memory/u/memory.limit_in_bytes": str(5 * GIB)}, 5 * GIB),
        ("3:memory:/u\n", {"memory/u/memory.limit_in_bytes": UNLIMITED}, 64 * GIB),
        ("0::/\n", {"memory.max": "max\n"}, 64 * GIB),
        ("0::/\n", {}, 64 * GIB),
        ("0::/../outside\n", {"memory.max": str(2 * GIB)}, 2 * GIB),
    ],
)
def test_a_container_has_what_it_is_granted_and_not_what_its_host_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, limits: dict[str, str], expected: int
) -> None:
    told = chunks.granted_bytes(system(tmp_path, cgroup, limits))
    monkeypatch.setattr(chunks.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * 2**20}.__getitem__)
    monkeypatch.setattr(chunks, "granted_bytes", lambda: told)
    assert chunks.memory_of(torch.device("cpu")) == expected


def test_a_system_without_control_groups_grants_everything(tmp_path: Path) -> None:
    assert list(chunks.granted_bytes(tmp_path)) == []


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
