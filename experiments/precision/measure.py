"""How far attributions and gaps move when the classifier computes in half precision.

    python experiments/precision/measure.py [--images 16] [--steps 32] [--output outputs/precision/table.csv]

Needs `DIFFIG_SHARED_DATA`, the folder with CIFAR-10's ResNet-20 and test images. The network is in float32 (what is
right), under autocast, or itself half; with half images a method adds up in float32, and `all in half` adds up in half
as well, by a loop of its own. Distances are those of whole maps, as a share of the size of the right one; medians over
images.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

import diffig
from diffig.classifiers import cifar_resnet
from diffig.data.npz import Npz

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def ours(net: torch.nn.Module, images: Tensor, targets: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """IG of the logit, map and gap."""
    method = diffig.from_config("ig", diffig.ScoreFunction(net, "logit"), [f"steps={steps}"])
    maps, gap = method.attribute(images, target=targets, return_convergence_delta=True)
    return maps, gap


def all_in_half(net: torch.nn.Module, images: Tensor, targets: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The same sum with points, gradients and sums of the images' own type."""
    total = torch.zeros_like(images)
    for step in range(steps):
        leaf = (images * ((step + 0.5) / steps)).requires_grad_()
        (gradient,) = torch.autograd.grad(net(leaf).gather(1, targets[:, None]).sum(), leaf)
        total += gradient / steps
    maps = images * total
    with torch.no_grad():
        change = (net(images) - net(torch.zeros_like(images))).gather(1, targets[:, None])[:, 0]
    return maps, maps.flatten(1).sum(1) - change


def line(name: str, found: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], change: Tensor) -> dict[str, object]:
    """Medians of the distance, and of the gap's and the sum's error as shares of the change of the score."""
    maps, gap = (value.float() for value in found)
    away = (maps - right[0]).flatten(1).norm(dim=1) / right[0].flatten(1).norm(dim=1)
    return {
        "classifier": name,
        "distance": float(away.median()),
        "largest distance": float(away.max()),
        "correlation": float(torch.corrcoef(torch.stack([maps.flatten(), right[0].flatten()]))[0, 1]),
        "gap": float((gap.abs() / change.abs()).median()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("outputs/precision/table.csv"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shared = Path(os.environ["DIFFIG_SHARED_DATA"])
    net = cifar_resnet(checkpoint=shared / "cifar10_resnet20.safetensors").eval().requires_grad_(False)
    data = Npz(shared / "cifar10_test_lossless.npz").test_set
    chosen = [data[number] for number in range(asked.images)]
    images, targets = torch.stack([one[0] for one in chosen]), torch.tensor([int(one[1]) for one in chosen])
    right = ours(net, images, targets, asked.steps)
    change = right[0].flatten(1).sum(1) - right[1]
    rows = []

    def add(name: str, found: tuple[Tensor, Tensor]) -> None:
        rows.append(line(name, found, right, change))
        print(rows[-1], flush=True)

    add("float32", right)
    for name, kind in HALVES.items():
        with torch.autocast("cpu", dtype=kind):
            add(f"autocast to {name}", ours(net, images, targets, asked.steps))
        half, given = net.to(kind), images.to(kind)
        add(f"{name}, added up in float32", ours(half, given, targets, asked.steps))
        add(f"all in {name}", all_in_half(half, given, targets, asked.steps))
        net = cifar_resnet(checkpoint=shared / "cifar10_resnet20.safetensors").eval().requires_grad_(False)
    table = pd.DataFrame(rows).round(4)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(asked.output, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
