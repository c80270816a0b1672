"""One image from config to files: its attribution, a picture and what it cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from diffig.config import build
from diffig.evaluation.environment import environment
from diffig.evaluation.gallery import save_explanation
from diffig.evaluation.rows import write_json, write_text
from diffig.evaluation.run import explain_with, prepare

if TYPE_CHECKING:
    from diffig.classifiers.base import Classifier


def explain(cfg: DictConfig) -> str:
    """Return a few lines that say what was explained; leave `attribution.png`, `.safetensors` and `summary.json`.

    Raises:
        FileNotFoundError, ValueError: the image or mask cannot be read, or the target is unknown.
    """
    from safetensors.torch import save_file

    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    image, classifier, names, attributor = _ready(cfg)
    probabilities = attributor.score.logits(image).softmax(1)[0]
    target = _target(cfg.target, probabilities, names)
    options: dict[str, Any] = {}
    if cfg.region is not None:
        options["region"] = read_image(cfg.region, (image.shape[-2], image.shape[-1]), grey=True)
    attributor.score.reset_cost()
    start = time.perf_counter()
    integral = attributor.explain(image, target=target, **options)
    seconds, cost = time.perf_counter() - start, attributor.score.cost
    top = probabilities.topk(min(5, len(probabilities)))
    ranking = [(names[i], round(p, 4)) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
    summary = {
        "image": str(cfg.image),
        "classifier": classifier.name,
        "method": attributor.name,
        "baseline": attributor.baseline.name,
        "objective": attributor.score.objective,
        "target": names[target],
        "target_index": target,
        "probability": float(probabilities[target]),
        "top": ranking,
        "gap": float(integral.gap),
        "waste": float(integral.waste),
        "seconds": seconds,
        "forward_images": cost.forward_images,
        "backward_images": cost.backward_images,
        "environment": environment(),
    }
    write_json(output / "summary.json", summary)
    kept = {"image": image[0].contiguous(), "attribution": integral.attribution[0].contiguous()}
    save_file(kept, output / "attribution.safetensors")
    title = f"{attributor.name}: {names[target]} ({float(probabilities[target]):.2f})"
    save_explanation(output / "attribution.png", image[0], integral.attribution[0], title)
    return (
        f"{title}, completeness gap {float(integral.gap):+.4f}, {cost.backward_images} backward images, "
        f"{seconds:.1f} s\npicture: {output / 'attribution.png'}"
    )


def _ready(cfg: DictConfig) -> tuple[Tensor, Classifier, list[str], Any]:
    """Image `(1, C, H, W)`, classifier, class names and attributor."""
    position = cfg.image if isinstance(cfg.image, int) else None
    if position is None and cfg.classifier._target_.rsplit(".", 1)[-1] != "small_cnn":
        from diffig.baselines import Dataset

        classifier = build(cfg.classifier)
        if classifier.checkpoint is None:
            raise ValueError(f"classifier {classifier.name!r} has random weights; set classifier.checkpoint=...")
        baseline = build(cfg.baseline)
        if isinstance(baseline, Dataset):
            raise ValueError("baseline=dataset needs training images; explain an image of a dataset (image=<number>)")
        attributor = build(cfg.method)(build(cfg.objective)(classifier), baseline=baseline, seed=cfg.seed)
        image = read_image(cfg.image, (cfg.size, cfg.size), grey=classifier.in_channels == 1)
        return image, classifier, class_names(classifier), attributor
    datamodule, classifier = prepare(cfg)
    if position is None:
        channels, height, width = datamodule.image_shape
        image = read_image(cfg.image, (height, width), grey=channels == 1)
    else:
        images = datamodule.test_set
        if not 0 <= position < len(images):
            raise ValueError(
                f"image={position} is not in the test set of {datamodule.name!r}; choose 0 to {len(images) - 1}"
            )
        image = images[position][0][None]
    names = [str(name) for name in datamodule.class_names]
    names += [str(index) for index in range(len(names), classifier.num_classes)]
    return image, classifier, names, explain_with(cfg, datamodule, classifier)


def class_names(classifier: Classifier) -> list[str]:
    """Return the classes' names: ImageNet's for a thousand classes, their numbers otherwise."""
    if classifier.num_classes == 1000:
        from torchvision.models import ResNet18_Weights

        return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    return [str(index) for index in range(classifier.num_classes)]


def read_image(file: str | Path, size: tuple[int, int], grey: bool = False) -> Tensor:
    """Return an image file as `(1, C, H, W)` in [0, 1]: shorter side resized, centre cropped to `size`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no image.
    """
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms.v2 import functional as vision

    if not Path(file).is_file():
        raise FileNotFoundError(f"no image at {file}; give a file, or image=<number> for an image of the dataset")
    try:
        with Image.open(file) as picture:
            pixels = vision.pil_to_tensor(picture.convert("L" if grey else "RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{file} cannot be read as an image ({error}); give a PNG or JPEG") from error
    scale = max(size[0] / pixels.shape[-2], size[1] / pixels.shape[-1])
    shape = [max(size[0], round(pixels.shape[-2] * scale)), max(size[1], round(pixels.shape[-1] * scale))]
    resized = vision.resize(pixels.float() / 255, shape, antialias=True)
    return vision.center_crop(resized, list(size)).clamp(0, 1)[None]


def _target(wanted: Any, probabilities: Tensor, names: list[str]) -> int:
    if wanted == "auto":
        return int(probabilities.argmax())
    if isinstance(wanted, int):
        if not 0 <= wanted < len(probabilities):
            raise ValueError(f"target={wanted} is no class; choose 0 to {len(probabilities) - 1}, a name, or auto")
        return wanted
    if wanted in names:
        return names.index(wanted)
    import difflib

    near = difflib.get_close_matches(str(wanted), names, 5, 0.5)
    raise ValueError(
        f"target={wanted!r} is no class name; {'did you mean ' + str(near) if near else 'use a number, or auto'}"
    )
