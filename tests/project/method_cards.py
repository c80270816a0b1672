"""docs/cards.md, a card for each method: `python tests/project/method_cards.py` writes it anew.

Words are in docs/cards.yaml, facts in configs and docs/methods.md. `--pictures PARTS` also draws docs/pictures/methods,
or of these the methods that are named behind it; PARTS is the folder of generative parts that
`IMAGE_DIFFUSION=1 experiments/latent/train.sh small` leaves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from project.methods_page import PAGE, asks_baseline, class_of, costs_of, needs_of  # noqa: E402

CARDS, PICTURES = ROOT / "docs" / "cards.md", ROOT / "docs" / "pictures" / "methods"
WORDS = ROOT / "docs" / "cards.yaml"
HEAD = """# Method cards

Made by `python tests/project/method_cards.py` from configs, classes and `docs/cards.yaml`; a test says when it is out
of date. [All methods](methods.md) has the same in one table, [Which method when](which_method.md) what was measured.

Pictures: the digit 0 of scikit-learn's, beside its map of a small CNN at the defaults of each method (red for, blue
against). Generative parts were trained for a minute or two. **Cost** is for one image at the defaults. In formulas `x`
is the image, `x'` the baseline, `a` the place on the path, `F` the score.

"""
PLACE, ZOOM, SIDE = 12, 7, 16


def words() -> dict[str, dict[str, dict[str, str]]]:
    """What the cards say, by family and method."""
    said: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(WORDS.read_text())
    return said


def page() -> str:
    """The whole page."""
    costs = costs_of(PAGE.read_text())
    lines = [HEAD]
    for family, cards in words().items():
        lines.append(f"## {family.capitalize()}\n\n")
        lines += [card(method, said, *costs[method]) for method, said in cards.items()]
    return "".join(lines)


def card(method: str, said: dict[str, str], backward: int, forward: int) -> str:
    """One card."""
    kind = class_of(method)
    needs = [*needs_of(method, kind), *(["a baseline"] if asks_baseline(kind) else [])]
    facts = {
        "Formula": f"`{said['formula']}`",
        "Source": said["source"],
        "Cost": f"{backward} backward, {forward} forward images",
        "Needs": ", ".join(needs) or "nothing else",
        "Take it when": said["when"],
        "Call": f'`method={method}`, `diffig.explainer("{method}", model)`, `diffig.{kind.__name__}`',
    }
    told = "".join(f"* **{name}**: {text.rstrip('.')}\n" for name, text in facts.items())
    return f"### {method}\n\n![{method} of a digit](pictures/methods/{method}.png)\n\n{said['does']}\n\n{told}\n"


def draw(parts: Path, methods: list[str]) -> None:
    """Write a picture for each of some methods, or of all: the digit and its map."""
    import torch

    from diffig.classifiers.training import fit_or_load
    from diffig.config import build, build_method, compose
    from diffig.data.digits import Digits
    from diffig.evaluation.preparation import fill_banks

    digits = Digits(size=SIDE)
    model = build(compose("evaluate", []).classifier, datamodule=digits)
    fit_or_load(model, digits, "outputs/cache/classifiers", progress=False)
    image, label, index = digits.test_set[PLACE]
    PICTURES.mkdir(parents=True, exist_ok=True)
    for method in methods or [method for cards in words().values() for method in cards]:
        cfg = compose("evaluate", [f"method={method}", f"latent.folder={parts}", "latent.sample_steps=20"])
        attributor: Any = build_method(cfg, build(cfg.objective)(model), build(cfg.baseline))
        fill_banks(attributor, digits, 0)
        keys = {"target": torch.tensor([label]), "indices": torch.tensor([index])}
        found = attributor.explain(image[None], **keys).attribution
        save(PICTURES / f"{method}.png", image, found[0])


def save(file: Path, image: Any, attribution: Any) -> None:
    """Write the image `(1, H, W)` and its map side by side, as a PNG of few colours."""
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    from diffig.evaluation.gallery import heat

    shown = colormaps["RdBu_r"](heat(attribution[None])[0].add(1).div(2).numpy())[..., :3]
    grey = np.repeat(image[0].numpy()[..., None], 3, 2)
    both = np.concatenate([grey, np.ones((len(grey), 1, 3)), shown], 1)
    pixels = np.kron(np.rint(both * 255).astype(np.uint8), np.ones((ZOOM, ZOOM, 1), np.uint8))
    Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    if "--pictures" in sys.argv:
        parts, *methods = sys.argv[sys.argv.index("--pictures") + 1 :]
        draw(Path(parts), methods)
    CARDS.write_text(page())
