"""Images from config to files: attributions by one or more methods, pictures, films, and what they cost."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from diffig.attribution.integrate import Integral
from diffig.attribution.regional import RegionalAttributor
from diffig.checks import check_at_least
from diffig.config import build
from diffig.evaluation.environment import environment
from diffig.evaluation.explanation.film import save_film, save_strip
from diffig.evaluation.explanation.inputs import class_names, folder_names, read_image, sources_of, target_of
from diffig.evaluation.explanation.page import write_list, write_page
from diffig.evaluation.explanation.side_by_side import save_side_by_side
from diffig.evaluation.explanation.tracks import path_track, removal_tracks
from diffig.evaluation.rows import write_json, write_text
from diffig.evaluation.run import explain_with, prepare

if TYPE_CHECKING:
    from diffig.attribution.base import Attributor
    from diffig.classifiers.base import Classifier

log = logging.getLogger("diffig")


class Asked(NamedTuple):
    """The classifier with its classes' names, the methods, and the dataset where there is one."""

    classifier: Classifier
    names: list[str]
    methods: list[Attributor]
    datamodule: Any


def explain(cfg: DictConfig, methods: list[DictConfig] | None = None) -> str:
    """Return a few lines that say what was explained; leave pictures, films, attributions, a summary and a page.

    Args:
        cfg: of `diffig-explain`; `cfg.image` is a file, a folder of files, or a position in the dataset's test set.
        methods: configs that differ from `cfg` in the method, for several; `cfg` alone otherwise.

    Raises:
        FileNotFoundError, ValueError: an image or mask cannot be read, or the target is unknown. In a folder a file
            that cannot be read is left out and named, as long as there is another.
    """
    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    if cfg.task not in ("attribution", "counterfactual"):
        raise ValueError(f"task={cfg.task} is unknown; choose attribution or counterfactual")
    if cfg.films:
        check_at_least(cfg.frames, 2, "frames", "pictures of a film, of its first and its last place at least")
    if cfg.task == "counterfactual":
        from diffig.evaluation.counterfactual import find_counterfactual

        return find_counterfactual(cfg)
    sources = sources_of(cfg.image)
    asked = _asked(cfg, methods or [cfg])
    if cfg.region is not None and not any(isinstance(method, RegionalAttributor) for method in asked.methods):
        raise ValueError(
            f"region={cfg.region} is for diffig_field and diffig_latent, and method={asked.methods[0].name} takes none;"
            " choose one of them, or region=null"
        )
    if len(sources) == 1:
        return _explain_one(cfg, asked, sources[0], output)
    if cfg.region is not None:
        raise ValueError(
            f"region={cfg.region} is a mask of one image and image={cfg.image} holds {len(sources)}; give one"
        )
    from rich.progress import track

    found, failures = [], []
    for source, name in track(list(zip(sources, folder_names(sources, cfg.image), strict=True)), "images"):
        try:
            _explain_one(cfg, asked, source, output / name)
        except (ValueError, OSError) as error:
            log.error("%s is left out: %s", source, error)
            failures.append((str(source), str(error)))
        else:
            found.append((name, _read_summary(output / name)))
    if not found:
        raise ValueError(f"none of the {len(failures)} images of {cfg.image} could be explained: {failures[0][1]}")
    page = write_list(output, found, failures)
    return f"{len(found)} images explained, {len(failures)} left out\npage: {page}"


def _explain_one(cfg: DictConfig, asked: Asked, source: int | str, folder: Path) -> str:
    from safetensors.torch import save_file

    image, index = _image(cfg, asked, source), _index(asked, source)
    folder.mkdir(parents=True, exist_ok=True)
    probabilities = asked.methods[0].score.logits(image).softmax(1)[0]
    target = target_of(cfg.target, probabilities, asked.names)
    region = None if cfg.region is None else read_image(cfg.region, (image.shape[-2], image.shape[-1]), grey=True)
    lines, maps = [], {}
    for method in asked.methods:
        integral, line = _timed(method, image, target, index, region)
        lines.append(line)
        maps[method.name] = integral.attribution[0]
    top = probabilities.topk(min(5, len(probabilities)))
    first, name = asked.methods[0], asked.names[target]
    summary = {
        "image": str(source),
        "classifier": asked.classifier.name,
        "baseline": first.baseline.name,
        "objective": first.score.objective,
        "target": name,
        "target_index": target,
        "probability": float(probabilities[target]),
        "top": [(asked.names[i], round(p, 4)) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)],
        **lines[0],
        "methods": lines,
        "environment": environment(),
    }
    write_json(folder / "summary.json", summary)
    kept = {"image": image[0].contiguous(), "attribution": maps[first.name].contiguous()}
    if len(maps) > 1:
        kept |= {f"attribution.{method}": attribution.clone() for method, attribution in maps.items()}
    save_file(kept, folder / "attribution.safetensors")
    title = f"{', '.join(maps)}: {name} ({float(probabilities[target]):.2f})"
    save_side_by_side(folder / "attribution.png", image[0], maps, summary["top"], name, title)
    if cfg.films:
        _films(folder, asked.methods, image, maps[first.name], target, name, cfg.frames, index, region)
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
        "sum": float(integral.attribution.sum()),
        "gap": _finite(integral.gap),
        "waste": _finite(integral.waste),
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
        what = f"score ({methods[0].score.objective} of {name}) along the path"
        save_film(folder / "path.gif", tracks, share, "share of the path", what)
        save_strip(folder / "path.png", tracks, share, "share of the path", what)
    removal = removal_tracks(methods[0].score, image, attribution[None], target, frames)
    what = f"{methods[0].name}: probability of {name}, the pixels named first put in and taken out"
    save_film(folder / "removal.gif", removal, share, "share of the pixels", what)
    save_strip(folder / "removal.png", removal, share, "share of the pixels", what)


def _asked(cfg: DictConfig, methods: list[DictConfig]) -> Asked:
    if not isinstance(cfg.image, int) and cfg.classifier._target_.rsplit(".", 1)[-1] != "small_cnn":
        from diffig.baselines import Dataset

        classifier = build(cfg.classifier)
        # A network of the user's own may hold its weights from the start.
        if "checkpoint" in cfg.classifier and getattr(classifier, "checkpoint", None) is None:
            raise ValueError(f"classifier {classifier.name!r} has random weights; set classifier.checkpoint=...")
        baseline, score = build(cfg.baseline), build(cfg.objective)(classifier)
        attributors = [build(each.method)(score, baseline=baseline, seed=cfg.seed) for each in methods]
        for part in [baseline, *(getattr(attributor, "references", None) for attributor in attributors)]:
            if isinstance(part, Dataset) and part.bank is None:
                raise ValueError(
                    "baseline=dataset and methods with reference images need training images; explain an image of a "
                    "dataset (image=<number>)"
                )
        return Asked(classifier, class_names(classifier), attributors, None)
    datamodule, classifier = prepare(cfg)
    names = [str(name) for name in datamodule.class_names]
    names += [str(index) for index in range(len(names), classifier.num_classes)]
    return Asked(classifier, names, [explain_with(each, datamodule, classifier) for each in methods], datamodule)


def _index(asked: Asked, source: int | str) -> Tensor:
    """The key of the image's randomness: that of its dataset, so that its maps are those of diffig-evaluate."""
    known = asked.datamodule is not None and isinstance(source, int)
    return torch.tensor([int(asked.datamodule.test_set.indices[source]) if known else 0])


def _image(cfg: DictConfig, asked: Asked, source: int | str) -> Tensor:
    if asked.datamodule is None:
        return read_image(source, (cfg.size, cfg.size), grey=asked.classifier.in_channels == 1)  # type: ignore[arg-type]
    if not isinstance(source, int):
        channels, height, width = asked.datamodule.image_shape
        return read_image(source, (height, width), grey=channels == 1)
    images = asked.datamodule.test_set
    if not 0 <= source < len(images):
        raise ValueError(
            f"image={source} is not in the test set of {asked.datamodule.name!r}; choose 0 to {len(images) - 1}"
        )
    image: Tensor = images[source][0][None]
    return image


def _read_summary(folder: Path) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4f}"
