"""A counterfactual of one image from config to files: the picture, the tensors and how far it had to go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from torch import Tensor

from diffig.config import build
from diffig.explain.inputs import sources_of, target_of
from diffig.explain.session import image_of, open_session
from diffig.io import write_figure, write_json, write_tensors
from diffig.tracking.environment import environment

if TYPE_CHECKING:
    from diffig.generative import Counterfactual


def find_counterfactual(cfg: DictConfig) -> str:
    """Return a few lines that say what was found; leave `counterfactual.png`, `.safetensors` and `summary.json`.

    Raises:
        FileNotFoundError, ValueError: the image cannot be read, or the target is unknown or seen already.
    """
    output, sources = Path(cfg.dirs.output), sources_of(cfg.image)
    if len(sources) != 1:
        raise ValueError(f"image={cfg.image} holds {len(sources)} images; task=counterfactual takes one: name a file")
    session = open_session(cfg, [])
    score = build(cfg.objective)(session.classifier)
    image = image_of(cfg, session, sources[0])
    before = score.logits(image).softmax(1)[0]
    # Given no target, the class that the classifier thinks of next.
    target = int(before.topk(2).indices[1]) if cfg.target == "auto" else target_of(cfg.target, before, session.names)
    if target == int(before.argmax()):
        raise ValueError(f"target={session.names[target]} is what the classifier sees already; choose another class")
    search = build(cfg.counterfactual)(score, seed=cfg.seed)
    index = sources[0] if isinstance(sources[0], int) else 0
    score.reset_cost()
    start = time.perf_counter()
    found = search.search(image, torch.tensor([target], device=image.device), torch.tensor([index]))
    seconds = time.perf_counter() - start
    source, name = session.names[int(before.argmax())], session.names[target]
    summary = {
        "image": str(sources[0]),
        "classifier": session.classifier.name,
        "predicted": source,
        "target": name,
        "target_index": target,
        "flipped": bool(found.flipped),
        "sees_now": session.names[int(found.after[0].argmax())],
        "l1": float(found.l1),
        "l2": float(found.l2),
        "target_before": float(found.before[0, target]),
        "target_after": float(found.after[0, target]),
        "trajectory": [round(value, 4) for value in found.trajectory[0].tolist()],
        "seconds": seconds,
        "forward_images": score.cost.forward_images,
        "backward_images": score.cost.backward_images,
        "environment": environment(),
    }
    write_json(output / "summary.json", summary)
    kept = {"image": image[0], "counterfactual": found.images[0], "trajectory": found.trajectory[0]}
    write_tensors(output / "counterfactual.safetensors", kept)
    save_counterfactual(output / "counterfactual.png", image[0], found, source, target, session.names)
    verdict = "flipped" if summary["flipped"] else f"not flipped, seen as {summary['sees_now']}"
    return (
        f"{source} to {name}: {verdict}; probability {summary['target_before']:.3f} to {summary['target_after']:.3f}, "
        f"L1 {summary['l1']:.3f}, L2 {summary['l2']:.3f}, {summary['forward_images']} forward images, {seconds:.1f} s\n"
        f"picture: {output / 'counterfactual.png'}"
    )


def save_counterfactual(
    path: Path, image: Tensor, found: Counterfactual, source: str, target: int, names: list[str]
) -> None:
    """Write a PNG: the image, the counterfactual, their difference, probabilities before and after, and the way there.

    Args:
        path: of the PNG.
        image: `(C, H, W)`.
        found: of one image.
        source: name of the class seen before.
        target: class asked for.
        names: of all classes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    made, before, after = found.images[0].cpu(), found.before[0].cpu(), found.after[0].cpu()
    difference = (made - image.cpu()).float().mean(0).numpy()
    limit = max(float(abs(difference).max()), 1e-3)
    figure, axes = plt.subplots(1, 5, figsize=(14, 3.1))
    for axis, pixels in zip(axes, (image, made), strict=False):
        axis.imshow(pixels.float().cpu().permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
    shown = axes[2].imshow(difference, cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(shown, ax=axes[2], fraction=0.046, pad=0.03).ax.tick_params(labelsize=7)
    titles = (
        f"original: {source} ({float(before.max()):.2f})",
        f"counterfactual: {names[int(after.argmax())]} ({float(after.max()):.2f})",
        "difference (red: brighter)",
    )
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    chosen = torch.maximum(before, after).topk(min(5, len(before))).indices.tolist()
    chosen = sorted({*chosen, target})
    places = torch.arange(len(chosen)).numpy()
    axes[3].bar(places - 0.2, before[chosen].numpy(), 0.4, label="before", color="0.6")
    axes[3].bar(places + 0.2, after[chosen].numpy(), 0.4, label="after", color="tab:red")
    axes[3].set_xticks(places, [names[index] for index in chosen], fontsize=7, rotation=0 if len(image) < 3 else 30)
    axes[3].set_title("probabilities", fontsize=9)
    axes[3].legend(frameon=False, fontsize=7)
    axes[4].plot(found.trajectory[0].cpu().numpy(), color="tab:red", lw=1.2)
    axes[4].set_title(f"mean p of {names[target]}, particles", fontsize=9)
    axes[4].set_xlabel("denoising step", fontsize=8)
    for axis in axes[3:]:
        axis.set_ylim(0, 1.02)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    write_figure(path, figure, dpi=140)
    plt.close(figure)
