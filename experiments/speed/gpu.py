"""What methods cost on a GPU: seconds for an image, beside IG and beside the classifier's own passes.

    python experiments/speed/gpu.py [--minutes 8] [--dry] [--output outputs/speed/gpu.csv]

ResNet-50 and ViT-B/16 at 224 pixels with random weights, in float32, under bfloat16 autocast, in channels-last memory
and compiled. `share` is the time of the classifier's own passes that a method asks for, as they take in full chunks,
over what the method took: 1 is a method that costs nothing beside the classifier. `error` is the distance of the map
from that of float32, as a share of its size. Latent DiffIG has untrained parts of small width. Lines are written as
they are measured, and none is begun after `--minutes`. `--dry` runs all of it on a CPU with small networks.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
import torchvision
from torch import Tensor, nn

import diffig

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
METHODS = {"ig": [], "gig": [], "diffig_field": [], "diffig_latent": ["n_paths=10", "latent.sample_steps=10"]}
FORMS = ("float32", "bfloat16", "channels_last", "compiled", "bfloat16, channels_last, compiled")


def networks(dry: bool) -> dict[str, Callable[[], nn.Module]]:
    if dry:
        models = torchvision.models
        return {
            "resnet18": lambda: models.resnet18(num_classes=10),
            "vit": lambda: models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=10),
        }
    return {name: getattr(torchvision.models, name) for name in ("resnet50", "vit_b_16")}


def latent_parts(folder: Path, side: int) -> list[str]:
    """Write an untrained autoencoder, with 4 numbers for 16 pixels squared, and a prior of its latents' paths."""
    diffig.Autoencoder.small(3, channels=(8, 8, 8, 8, 8)).save(folder / "autoencoder" / "autoencoder")
    diffig.LatentPrior.new(17, 4 * (side // 16) ** 2, width=64, depth=2, heads=2).save(
        folder / "path_model" / "prior.safetensors"
    )
    return [f"latent.folder={folder}"]


def taken(call: Callable[[], object], device: str) -> float:
    """Seconds of a call, with what it left running on the device."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(
    network: Callable[[], nn.Module], form: str, device: str, side: int, steps: int, parts: list[str], until: float
) -> Iterator[tuple[str, dict[str, float], Tensor]]:
    """Yield each method's name, numbers and map."""
    torch.manual_seed(0)
    net = network().eval().to(device)
    for weight in net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.02)  # a ViT's head begins with zeros, and its score would be flat
    if "channels_last" in form:
        net = net.to(memory_format=torch.channels_last)
    classifier = diffig.Classifier(torch.compile(net) if "compiled" in form else net, MEAN, STD).eval().to(device)
    score = diffig.ScoreFunction(classifier, "probability", chunk_size=64 if device == "cuda" else 8)
    images = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    target, chunk = torch.zeros(4, dtype=torch.long, device=device), torch.rand(score.chunk_size, 3, side, side)
    chunk, labels = chunk.to(device), torch.zeros(score.chunk_size, dtype=torch.long, device=device)
    half = torch.autocast(device, torch.bfloat16) if "bfloat16" in form else contextlib.nullcontext()
    with half:
        for call in (lambda: score.logits(chunk), lambda: score.value_and_grad(chunk, labels)):
            call()
        forward = taken(lambda: score.logits(chunk), device) / len(chunk)
        gradient = taken(lambda: score.value_and_grad(chunk, labels), device) / len(chunk)
        for name, words in METHODS.items():
            if time.monotonic() > until:
                return
            words = [f"steps={steps}", *(words + parts if name == "diffig_latent" else [])]
            method = diffig.from_config(name, score, words)
            method.attribute(images[:1], target=target[:1])  # kernels are chosen
            score.reset_cost()
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found: list[Tensor] = []
            seconds = taken(lambda: found.append(method.attribute(images, target=target)), device)  # noqa: B023
            passes = (score.cost[0] - score.cost[1]) * forward + score.cost[1] * gradient
            peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else float("nan")
            numbers = {"seconds": seconds / len(images), "forward": forward, "gradient": gradient}
            yield name, {**numbers, "share": passes / seconds, "peak_mb": peak}, found[0].float().cpu()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--dry", action="store_true", help="small networks on a CPU")
    parser.add_argument("--output", type=Path, default=Path("outputs/speed/gpu.csv"))
    asked = parser.parse_args()
    device = "cpu" if asked.dry else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --dry runs all of it on a CPU with small networks")
    until = time.monotonic() + 60 * asked.minutes
    side, steps = (32, 16) if asked.dry else (224, 32)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        parts = latent_parts(Path(folder), side)
        for named, network in networks(asked.dry).items():
            whole: dict[str, Tensor] = {}
            for form in FORMS[:3] if asked.dry else FORMS:
                if time.monotonic() > until:
                    break
                for name, numbers, maps in measured(network, form, device, side, steps, parts, until):
                    wanted = whole.setdefault(name, maps)
                    error = float((maps - wanted).norm() / wanted.norm())
                    told = {key: float(f"{value:.4g}") for key, value in {**numbers, "error": error}.items()}
                    lines.append({"network": named, "form": form, "method": name, **told})
                    print(lines[-1], flush=True)
                    pd.DataFrame(lines).to_csv(asked.output, index=False)
