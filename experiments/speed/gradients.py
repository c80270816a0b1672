"""Time of a gradient and of a forward pass through `ScoreFunction`: run it in two checkouts to compare them.

    PYTHONPATH=<checkout>/src python experiments/speed/gradients.py

Processor time of one thread for one image, the least of five, random weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from diffig.classifiers import cifar_resnet, torchvision_model
from diffig.scores import ScoreFunction


def milliseconds(call: Callable[[], object], images: int) -> float:
    """The least of five, after one call to warm up."""
    call()
    taken = []
    for _ in range(5):
        start = time.process_time()
        call()
        taken.append(1e3 * (time.process_time() - start) / images)
    return min(taken)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks = [(cifar_resnet(depth=depth), 32, 64) for depth in (20, 56)]
    for name, size, batch in (("mobilenet_v2", 160, 16), ("squeezenet1_0", 160, 16), ("resnet18", 224, 8)):
        networks.append((torchvision_model(name=name), size, batch))
    print("| network | pixels | gradient, ms | forward, ms |\n|---|---|---|---|")
    for classifier, size, batch in networks:
        score, images = ScoreFunction(classifier), torch.rand(batch, 3, size, size)
        targets = torch.zeros(batch, dtype=torch.long)
        gradient = milliseconds(lambda s=score, x=images, y=targets: s.value_and_grad(x, y), batch)
        forward = milliseconds(lambda s=score, x=images: s.logits(x), batch)
        print(f"| {classifier.name} | {size} | {gradient:.2f} | {forward:.2f} |", flush=True)


if __name__ == "__main__":
    main()
