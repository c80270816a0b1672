"""How fast diffig's methods and metrics are beside their peers', in one process: ratios of processor time.

peers.py [--size 64] [--batch 16] [--steps 200]     needs captum and, for Guided IG, `pip install saliency`
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torchvision
from captum.attr import IntegratedGradients as CaptumIG
from torch import Tensor

import diffig
from diffig.metrics import DiffID, Explained
from diffig.scores import ScoreFunction

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def seconds(call: Callable[[], object], images: int) -> float:
    """Processor seconds for each image, the better of two."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        call()
        taken.append((time.process_time() - start) / images)
    return min(taken)


def saliency_guided(classifier: torch.nn.Module, images: Tensor, targets: Tensor, steps: int) -> Callable[[], object]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 64), ("batch", 16), ("steps", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    classifier = diffig.Classifier(network, MEAN, STD, num_classes=1000).eval()
    images = torch.rand(asked.batch, 3, asked.size, asked.size)
    targets = classifier(images).argmax(1)
    score = ScoreFunction(classifier)
    lines = []

    def line(what: str, ours: float, peer: str, theirs: float) -> None:
        lines.append(f"| {what} | {1e3 * ours:.1f} | {peer} | {1e3 * theirs:.1f} | {theirs / ours:.2f} |")
        print(lines[-1], flush=True)

    print("| what | ms / image | peer | ms / image | peer / ours |\n|---|---|---|---|---|")
    ours = diffig.from_config("ig", score, ["steps=50"])
    probability = torch.nn.Sequential(classifier, torch.nn.Softmax(1))
    captum = CaptumIG(probability)
    line(
        "IG, 50 steps",
        seconds(lambda: ours.attribute(images, target=targets), len(images)),
        "captum, chunks of 64",
        seconds(lambda: captum.attribute(images, target=targets, n_steps=50, internal_batch_size=64), len(images)),
    )
    guided = diffig.from_config("gig", score, [f"steps={asked.steps}"])
    few = slice(0, 2)
    try:
        theirs = seconds(saliency_guided(classifier, images[few], targets[few], asked.steps), 2)
        mine = seconds(lambda: guided.attribute(images, target=targets), len(images))
        line(f"Guided IG, {asked.steps} steps", mine, "saliency", theirs)
    except ImportError:
        print("saliency is not installed: pip install saliency")
    maps = ours.attribute(images, target=targets)
    zero = torch.zeros(len(images))
    explained = Explained(
        images, maps, targets, targets, torch.zeros_like(images), score, torch.arange(len(images)), zero
    )
    bare = torch.cat([images] * 18)
    line(
        "DiffID, 18 forwards",
        seconds(lambda: DiffID(units=("element",), readouts=("hard",))(explained), len(images)),
        "its bare forwards",
        seconds(lambda: score.logits(bare), len(images)),
    )


if __name__ == "__main__":
    main()
