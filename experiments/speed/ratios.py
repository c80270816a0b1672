"""How fast diffig is beside its peers, in one process: ratios of processor time beside what they should be.

    python experiments/speed/ratios.py [--repeats 3] [--only ig gig field diffid sticks] [--output FILE.csv]

Random weights, one thread. Ours and the peer's run in turn, each as often, and a ratio is the median over repeats of
the two that ran beside each other: what else the machine does then falls on both. Guided IG's peer needs `pip install
saliency` and is left out without it; of it two images are explained, since it takes one at a time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torchvision
from captum.attr import IntegratedGradients as CaptumIG
from torch import Tensor

import diffig
from diffig.classifiers import cifar_resnet
from diffig.metrics import DiffID, Explained
from diffig.paths.stick_breaking import dirichlet_increments, truncated_increments
from diffig.scores import ScoreFunction

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Call = Callable[[], object]


class Pair(NamedTuple):
    """Two calls, how many images each explains, and what `ours / theirs` (or its inverse, `faster`) should be."""

    what: str
    ours: Call
    peer: str
    theirs: Call
    target: float
    faster: bool = False
    images: tuple[int, int] = (1, 1)


def seconds(call: Call, images: int) -> float:
    """Processor seconds for each image."""
    start = time.process_time()
    call()
    return (time.process_time() - start) / images


def measured(pair: Pair, repeats: int) -> dict[str, object]:
    """The medians of both, and of their ratio, after one call of each to warm up."""
    sides = (pair.ours, pair.images[0]), (pair.theirs, pair.images[1])
    for call, _ in sides:
        call()
    found = []
    for turn in range(repeats):
        first, second = (seconds(*side) for side in (sides if turn % 2 else sides[::-1]))
        found.append((first, second) if turn % 2 else (second, first))
    ours, theirs = (1e3 * statistics.median(side) for side in zip(*found, strict=True))
    ratio = statistics.median(b / a if pair.faster else a / b for a, b in found)
    target = f">= {pair.target:g} x faster" if pair.faster else f"<= {pair.target:g}"
    held = ratio >= pair.target if pair.faster else ratio <= pair.target
    numbers = {"ours_ms": round(ours, 2), "theirs_ms": round(theirs, 2), "ratio": round(ratio, 3)}
    return {"what": pair.what, "beside": pair.peer, **numbers, "target": target, "held": "yes" if held else "no"}


def saliency_guided(classifier: torch.nn.Module, images: Tensor, targets: Tensor, steps: int) -> Call:
    """Guided IG of the `saliency` package, one image at a time, as it is used."""
    import saliency.core as peer

    if not hasattr(np, "quantile_before"):  # it calls np.quantile by an argument that NumPy 2.4 has dropped
        np.quantile_before = np.quantile  # type: ignore[attr-defined]
        np.quantile = lambda *a, interpolation="linear", **k: np.quantile_before(*a, method=interpolation, **k)  # type: ignore[attr-defined]

    def gradient(batch: np.ndarray, call_model_args: dict, expected_keys: list) -> dict:
        leaf = torch.from_numpy(batch).float().permute(0, 3, 1, 2).contiguous().requires_grad_()
        score = classifier(leaf).softmax(1)[:, call_model_args["target"]].sum()
        (found,) = torch.autograd.grad(score, leaf)
        return {peer.INPUT_OUTPUT_GRADIENTS: found.permute(0, 2, 3, 1).numpy()}

    def call() -> None:
        for image, target in zip(images, targets.tolist(), strict=True):
            pixels = image.permute(1, 2, 0).numpy()
            peer.GuidedIG().GetMask(
                pixels, gradient, {"target": target}, x_steps=steps, x_baseline=np.zeros_like(pixels)
            )

    return call


def guided(classifier: diffig.Classifier, size: int, batch: int, target: float, steps: int = 20) -> Iterator[Pair]:
    images, few = torch.rand(batch, 3, size, size), 2
    targets = classifier(images).argmax(1)
    ours = diffig.from_config("gig", ScoreFunction(classifier), [f"steps={steps}"])
    try:
        theirs = saliency_guided(classifier, images[:few], targets[:few], steps)
    except ImportError:
        print("saliency is not installed: pip install saliency")
        return
    what = f"Guided IG, {steps} steps, {size} pixels, batch of {batch}"
    yield Pair(what, lambda: ours.attribute(images, target=targets), "saliency", theirs, target, True, (batch, few))


def field(classifier: diffig.Classifier, images: Tensor, targets: Tensor) -> Pair:
    """`diffig_field` beside IG with as many backward images, and the forward images it asks for besides."""
    score = ScoreFunction(classifier)
    ours = diffig.from_config("diffig_field", score)

    def cost(method: diffig.Attributor) -> tuple[int, int]:
        method.score.reset_cost()
        method.attribute(images, target=targets)
        return tuple(method.score.cost)

    forwards, backwards = cost(ours)
    straight = diffig.from_config("ig", ScoreFunction(classifier), [f"steps={backwards // len(images)}"])
    copies = torch.rand(forwards - cost(straight)[0], *images.shape[1:])

    def theirs() -> None:
        straight.attribute(images, target=targets)
        score.logits(copies)

    each = f"{backwards // len(images)} backward and {forwards // len(images)} forward images"
    return Pair(
        f"diffig_field, {each}", lambda: ours.attribute(images, target=targets), "IG and forwards", theirs, 1.25
    )


def pairs(only: list[str]) -> Iterator[Pair]:
    torch.manual_seed(0)
    classifier = diffig.Classifier(torchvision.models.resnet18(weights=None).eval(), MEAN, STD, num_classes=1000).eval()
    images = torch.rand(4, 3, 64, 64)
    targets = classifier(images).argmax(1)
    score = ScoreFunction(classifier)
    if "ig" in only:
        ours = diffig.from_config("ig", score, ["steps=16"])
        captum = CaptumIG(torch.nn.Sequential(classifier, torch.nn.Softmax(1)))
        asked = {"target": targets, "n_steps": 16, "internal_batch_size": 64}
        for peer, more in (("Captum, chunks of 64", {}), ("Captum with its gap", {"return_convergence_delta": True})):
            yield Pair(
                "IG with its gap, 16 steps",
                lambda: ours.attribute(images, target=targets),
                peer,
                lambda more=more: captum.attribute(images, **asked, **more),
                1.0,
            )
    if "gig" in only:
        yield from guided(cifar_resnet(depth=20), 32, 32, 4.0)
        yield from guided(classifier, 64, 16, 2.5)
    if "field" in only:
        yield field(classifier, images, targets)
    if "diffid" in only:
        maps, zero = torch.rand_like(images) - 0.5, torch.zeros(len(images))
        black, places = torch.zeros_like(images), torch.arange(len(images))
        explained = Explained(images, maps, targets, targets, black, score, places, zero)
        metric, bare = DiffID(units=("element",), readouts=("hard",)), torch.cat([images] * 18)
        yield Pair("DiffID, 18 forwards", lambda: metric(explained), "its forwards", lambda: score.logits(bare), 1.05)
    if "sticks" in only:
        rng, masses, shape = np.random.default_rng(0), np.full(32, 1 / 32), (3, 64, 64)
        for concentration in (8.0, 2.0):
            yield Pair(
                f"stick breaking, exact, 32 steps, concentration {concentration:g}",
                lambda a=concentration: dirichlet_increments(rng, a, masses, shape),
                "truncated at 200 breaks",
                lambda a=concentration: truncated_increments(rng, a, masses, shape),
                50.0,
                True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("outputs/speed/ratios.csv"))
    parser.add_argument("--only", nargs="+", default=["ig", "gig", "field", "diffid", "sticks"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    print("| what | ms | beside | ms | ratio | target | held |\n|---|---|---|---|---|---|---|")
    for pair in pairs(asked.only):
        lines.append(measured(pair, asked.repeats))
        what, beside, ours, theirs, ratio, *rest = lines[-1].values()
        print(f"| {' | '.join(map(str, (what, ours, beside, theirs, ratio, *rest)))} |", flush=True)
        pd.DataFrame(lines).to_csv(asked.output, index=False)
