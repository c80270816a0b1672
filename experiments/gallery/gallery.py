"""Draw attributions of many methods side by side: gallery.py FOLDER leaves FOLDER/gallery_1.png and so on.

Rows are ImageNet photographs that the classifier gets right, columns are methods: files of `conf/method`, by default
all but those whose generative parts are not in `latent.folder`. Maps are kept in FOLDER/maps, so a command that was
interrupted goes on where it stopped, and one with the same settings draws anew in seconds;
delete them where the code has changed.
"""

from __future__ import annotations

import argparse
import os
import textwrap
import time
import traceback
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from omegaconf import OmegaConf

from diffig.attribution.base import Attributor
from diffig.baselines import Dataset
from diffig.config import CONF_DIR, build, compose
from diffig.evaluation.run import prepare
from diffig.evaluation.selection import select

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DEPENDS = ("dataset", "classifier", "objective", "baseline", "method")
PARTS = ("autoencoder", "prior", "image_diffusion")


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where pictures and maps go")
    parser.add_argument("overrides", nargs="*", help="settings as of diffig-evaluate, e.g. steps=64 baseline=blur")
    parser.add_argument("--methods", help="names of conf/method with commas between; all by default")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--size", type=int, default=160, help="side of the images in pixels")
    parser.add_argument("--columns", type=int, default=9, help="methods on a page")
    parser.add_argument("--scale", choices=("method", "image"), default="method", help="what shares a colour scale")
    return parser.parse_intermixed_args()


def config(method: str, options: argparse.Namespace) -> Any:
    """Return the config of one method on the photographs."""
    size = [f"dataset.size={options.size}", f"dataset.resize={options.size}"]
    return compose("evaluate", ["experiment=photos", f"method={method}", *size, *options.overrides])


def default_methods(options: argparse.Namespace) -> list[str]:
    """Return every method but those that need a generative part which `latent.folder` has not got."""
    names = []
    for file in sorted(Path(CONF_DIR, "method").glob("*.yaml")):
        cfg = config(file.stem, options)
        used = str(OmegaConf.to_container(cfg.method, resolve=True))
        missing = [
            cfg.latent[part] for part in PARTS if cfg.latent[part] in used and not Path(cfg.latent[part]).exists()
        ]
        if missing:
            print(f"{file.stem}: left out, {missing[0]} is not there")
        else:
            names.append(file.stem)
    return names


class Scene:
    """The photographs shown, and the classifier that is explained.

    Args:
        cfg: of any method.
        count: photographs wanted.
    """

    def __init__(self, cfg: Any, count: int) -> None:
        self.datamodule, self.classifier = prepare(cfg)
        photographs = self.datamodule.test_set
        positions = select(self.datamodule, self.classifier, count, True, cfg.seed, cfg.batch_size)
        shown = [photographs[position] for position in positions]
        self.images = torch.stack([image for image, _, _ in shown])
        self.labels = torch.tensor([label for _, label, _ in shown])
        self.indices = torch.tensor([index for _, _, index in shown])
        self.names = [self.datamodule.class_names[label].split(",")[0] for _, label, _ in shown]
        self.others = [position for position in range(len(photographs)) if position not in set(positions)]
        with torch.no_grad():
            chances = self.classifier.eval()(self.images).softmax(1)
        self.chances = chances.gather(1, self.labels[:, None])[:, 0].tolist()

    def attributor(self, cfg: Any) -> Attributor:
        """Return the method; one with references draws them from the photographs that are not shown."""
        method: Attributor = build(cfg.method)(
            build(cfg.objective)(self.classifier), baseline=build(cfg.baseline), seed=cfg.seed
        )
        references = getattr(method, "references", None)
        if isinstance(references, Dataset) and references.bank is None:
            references.bank = torch.stack([self.datamodule.test_set[position][0] for position in self.others])
        return method

    def explain(self, cfg: Any) -> dict[str, np.ndarray]:
        """Return maps `(B, H, W)`, gaps `(B,)`, gradients for each image and one error message each, mostly empty."""
        count, (height, width) = len(self.images), self.images.shape[-2:]
        maps, gaps = np.full((count, height, width), np.nan), np.full(count, np.nan)
        errors, gradients = [""] * count, np.nan
        try:
            method = self.attributor(cfg)
        except Exception as error:  # any failure of one method is for its own column to show
            traceback.print_exc()
            errors = [f"{type(error).__name__}: {error}"] * count
            return {"maps": maps, "gaps": gaps, "gradients": np.array(gradients), "errors": np.array(errors)}
        for row in range(count):
            here = slice(row, row + 1)
            method.score.reset_cost()
            try:
                found = method.explain(self.images[here], target=self.labels[here], indices=self.indices[here])
            except Exception as error:
                traceback.print_exc()
                errors[row] = f"{type(error).__name__}: {error}"
                continue
            maps[row], gaps[row] = found.attribution.sum(1)[0].cpu().numpy(), float(found.gap)
            gradients = method.score.cost.backward_images
        return {"maps": maps, "gaps": gaps, "gradients": np.array(gradients), "errors": np.array(errors)}


def explained(method: str, scene: Scene, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return what a method says of the photographs, from FOLDER/maps where the same has been asked before."""
    try:
        cfg = config(method, options)
        settings = {group: OmegaConf.to_container(cfg[group], resolve=True) for group in DEPENDS}
        mark = f"{settings} seed {cfg.seed} images {scene.indices.tolist()}"
    except Exception as error:
        raise SystemExit(f"method={method} has no config: {error}") from error
    file = options.folder / "maps" / f"{method}.npz"
    if file.is_file():
        kept = dict(np.load(file))
        if str(kept["mark"]) == mark and not any(kept["errors"]):
            print(f"{method}: taken from {file}")
            return kept
    start = time.perf_counter()
    found = scene.explain(cfg) | {"mark": np.array(mark)}
    print(f"{method}: {time.perf_counter() - start:.0f} s{', FAILED' if any(found['errors']) else ''}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez(part, **found)
    os.replace(part, file)
    return found


def draw_map(axis: plt.Axes, shown: np.ndarray, scale: float, gap: float, error: str) -> None:
    """Draw one signed map in red and blue, or the error in its place."""
    axis.set_facecolor("0.95")
    if error or not np.isfinite(shown).all():
        text = textwrap.fill(error[:140] or "not finite", 20)
        axis.imshow(np.full_like(shown, np.nan))
        axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=5.5, color="firebrick", transform=axis.transAxes)
        return
    axis.imshow(shown / scale if scale > 0 else shown, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axis.set_xlabel("no gap" if np.isnan(gap) else f"gap {gap:+.3g}", fontsize=6.5, labelpad=2)


def spread(maps: np.ndarray) -> float:
    """Return the 99th percentile of the finite absolute values, 0 where there are none."""
    finite = np.abs(maps[np.isfinite(maps)])
    return float(np.quantile(finite, 0.99)) if finite.size else 0.0


def draw(
    path: Path, scene: Scene, columns: dict[str, dict[str, np.ndarray]], foot: str, options: argparse.Namespace
) -> None:
    """Write one page: photographs, and the methods of `columns`, which are no more than `options.columns`."""
    rows, width = len(scene.images), options.columns
    size = (1.35 * (1 + width) + 0.5, 1.5 * rows + 0.9)
    figure, axes = plt.subplots(rows, 1 + width, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    for row in range(rows):
        axes[row][0].imshow(scene.images[row].permute(1, 2, 0).numpy())
        axes[row][0].set_ylabel(textwrap.fill(scene.names[row], 16), fontsize=7.5)
        axes[row][0].set_xlabel(f"probability {scene.chances[row]:.2f}", fontsize=6.5, labelpad=2)
    for column, (name, found) in enumerate(columns.items(), start=1):
        shared = spread(found["maps"])
        cost = "" if np.isnan(found["gradients"]) else f"{int(found['gradients'])} gradients"
        axes[0][column].set_title(
            f"{name}\n{cost}" + (f", ±{shared:.1g}" if options.scale == "method" else ""), fontsize=6.5
        )
        for row in range(rows):
            scale = shared if options.scale == "method" else spread(found["maps"][row])
            cell = found["maps"][row], scale, float(found["gaps"][row]), str(found["errors"][row])
            draw_map(axes[row][column], *cell)
    for axis in axes[:, 1 + len(columns) :].flat:
        axis.set_visible(False)
    figure.supxlabel(textwrap.fill(foot, 22 * (1 + width)), fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Explain, then draw page by page."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    methods = options.methods.split(",") if options.methods else default_methods(options)
    options.columns = min(options.columns, len(methods))
    first = config("ig", options)
    scene = Scene(first, options.images)
    foot = (
        f"Red speaks for the class, blue against it; each {options.scale} has one scale (±, the 99th percentile). "
        f"{scene.classifier.name}, {first.objective.objective}, baseline {build(first.baseline).name}, "
        f"{options.size} pixels, {first.steps} steps."
    )
    found = {method: explained(method, scene, options) for method in methods}
    for number, start in enumerate(range(0, len(methods), options.columns), start=1):
        page = {method: found[method] for method in methods[start : start + options.columns]}
        path = options.folder / f"gallery_{number}.png"
        draw(path, scene, page, foot, options)
        print(path)


if __name__ == "__main__":
    main()
