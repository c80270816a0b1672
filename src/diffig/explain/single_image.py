"""One image under one or more methods: attributions, pictures, films, and what they cost."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from diffig.attribution.regional import RegionalAttributor
from diffig.explain.film import save_film, save_strip
from diffig.explain.inputs import read_image, target_of
from diffig.explain.page import write_page
from diffig.explain.session import Session, image_of, index_of
from diffig.explain.side_by_side import save_side_by_side
from diffig.explain.tracks import path_track, removal_tracks
from diffig.integration.integrate import Integral
from diffig.io import write_json, write_tensors
from diffig.tracking.environment import environment

if TYPE_CHECKING:
    from diffig.attribution.base import Attributor

log = logging.getLogger("diffig")
TOLERATED = 0.2  # share of the score's change that a map may miss without a word


def explain_one(cfg: DictConfig, session: Session, source: int | str, folder: Path) -> str:
    """Return a few lines that say what was explained; leave pictures, films, attributions and a page in a folder.

    Args:
        cfg: of `diffig-explain`.
        session: classifier and methods.
        source: a file, or a position in the dataset's test set.
        folder: is made.

    Raises:
        FileNotFoundError, ValueError: image or mask cannot be read, or the target is unknown.
    """
    image, index = image_of(cfg, session, source), index_of(session, source)
    folder.mkdir(parents=True, exist_ok=True)
    probabilities = session.methods[0].score.logits(image).softmax(1)[0]
    target = target_of(cfg.target, probabilities, session.names)
    size = (image.shape[-2], image.shape[-1])
    region = None if cfg.region is None else read_image(cfg.region, size, grey=True, ground="black")
    lines, maps = [], {}
    for method in session.methods:
        integral, line = _timed(method, image, target, index, region)
        lines.append(line)
        if line["gap"] is not None:
            change = line["sum"] - line["gap"]
            if note := incomplete(line["gap"], change):
                advice = "take more steps=, or credit=agreeing" if hasattr(method, "steps") else "its sum says little"
                log.warning("%s: %s; %s", method.name, note, advice)
            of = line["objective"], session.names[target], method.baseline.name
            if method.asks_baseline and (note := fallen(change, *of)):
                log.warning("%s: %s", method.name, note)
        maps[method.name] = integral.attribution[0]
    top = probabilities.topk(min(5, len(probabilities)))
    first, name = session.methods[0], session.names[target]
    summary = {
        "image": str(source),
        "classifier": session.classifier.name,
        "baseline": first.baseline.name,
        "objective": first.score.objective,
        "target": name,
        "target_index": target,
        "probability": float(probabilities[target]),
        "top": [(session.names[i], p) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)],
        **lines[0],
        "methods": lines,
        "environment": environment(),
    }
    write_json(folder / "summary.json", summary)
    kept = {"image": image[0], "attribution": maps[first.name]}
    if len(maps) > 1:
        kept |= {f"attribution.{method}": attribution.clone() for method, attribution in maps.items()}
    write_tensors(folder / "attribution.safetensors", kept)
    title = f"{', '.join(maps)}: {name} ({float(probabilities[target]):.2f})"
    save_side_by_side(folder / "attribution.png", image[0], maps, summary["top"], name, title)
    if cfg.films:
        _films(folder, session.methods, image, maps[first.name], target, name, cfg.frames, index, region)
    page = write_page(folder, summary)
    said = [
        f"{line['method']}: completeness gap {_signed(line['gap'])}, {line['backward_images']} backward images, "
        f"{line['seconds']:.1f} s"
        for line in lines
    ]
    return "\n".join([title, *said, f"picture: {folder / 'attribution.png'}", f"page: {page}"])


def _timed(
    method: Attributor, image: Tensor, target: int, index: Tensor, region: Tensor | None
) -> tuple[Integral, dict[str, Any]]:
    options = {"region": region} if isinstance(method, RegionalAttributor) else {}
    method.score.reset_cost()
    start = time.perf_counter()
    integral = method.explain(image, target=target, indices=index, **options)
    seconds, cost = time.perf_counter() - start, method.score.cost
    return integral, {
        "method": method.name,
        "objective": method.score.objective,
        "sum": float(integral.attribution.sum()),
        "gap": _finite(integral.gap),
        "absolute_mass": _finite(integral.absolute_mass),
        "seconds": seconds,
        "forward_images": cost.forward_images,
        "backward_images": cost.backward_images,
    }


def _films(
    folder: Path,
    methods: list[Attributor],
    image: Tensor,
    attribution: Tensor,
    target: int,
    name: str,
    frames: int,
    index: Tensor,
    region: Tensor | None,
) -> None:
    found = [path_track(method, image, target, method.name, frames, index, region) for method in methods]
    tracks = [track for track in found if track is not None][:4]
    share = torch.linspace(0, 1, frames)
    if tracks:
        objectives = dict.fromkeys(method.score.objective for method in methods)
        what = f"score ({' or '.join(objectives)} of {name}) along the path"
        save_film(folder / "path.gif", tracks, share, "share of the path", what)
        save_strip(folder / "path.png", tracks, share, "share of the path", what)
    removal = removal_tracks(methods[0].score, image, attribution[None], target, frames)
    what = f"{methods[0].name}: probability of {name}, the pixels named first put in and taken out"
    save_film(folder / "removal.gif", removal, share, "share of the pixels", what)
    save_strip(folder / "removal.png", removal, share, "share of the pixels", what)


def incomplete(gap: float, change: float) -> str:
    """Return what a large completeness gap means, in words; nothing where it is small.

    Args:
        gap: the sum of the map minus the score's change.
        change: the score at the image minus that at the baseline.
    """
    if abs(gap) <= max(TOLERATED * abs(change), 0.01):
        return ""
    share = f"{abs(gap / change):.0%} of" if abs(change) > 1e-6 else "more than"
    return f"the map does not add up: the completeness gap {gap:+.3g} is {share} the score's change {change:+.3g}"


def fallen(change: float, objective: str, name: str, baseline: str) -> str:
    """Return what it means that the image has a lower score than its baseline, in words; nothing where it has not.

    Args:
        change: the score at the image minus that at the baseline.
        objective: what the score is.
        name: of the class.
        baseline: its name.
    """
    if change > -0.01:
        return ""
    return (
        f"the {objective} of {name} is {-change:.3g} lower at the image than at baseline={baseline}, so the map is "
        f"mostly negative, what speaks against {name}; objective=margin or another baseline asks what speaks for it"
    )


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4f}"
