"""Remove and retrain: measure.py SCALE FOLDER [options] [settings of diffig-evaluate].

SCALE is a file of conf/scale (small, cifar10). Every method explains every training and test image once; for each share
of removed pixels and each seed a classifier is trained on what is left. FOLDER/{attributions,trainings} keep what is
done, so that the same command goes on where it was killed. It leaves FOLDER/hits.csv, one row for each training, and
FOLDER/removed.npz, a test image with half of its pixels removed by each method; table.py makes tables and picture.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from diffig.config import build, compose
from diffig.data.image_sets import ImageSet
from diffig.evaluation.fingerprint import fingerprint
from diffig.evaluation.preparation import explain_with, prepare
from diffig.evaluation.roar import Retraining, Roar, explained_set
from diffig.metrics.roar import SHARES, Removal, without_relevant
from diffig.tracking.progress import duration

METHODS = (
    *("ig", "gig", "spi", "coarse_to_fine", "blur_ig", "diffig_field", "gradient_x_input", "lrp", "grad_cam"),
    *("smoothgrad_squared", "random", "centre_gaussian", "sobel", "input_magnitude"),
)
RECIPES = {
    "small": Retraining(max_epochs=8),
    "cifar10": Retraining(max_epochs=60, batch_size=64, learning_rate=3e-3, shift=4, flip=True),
}
# Trainings on the masks alone are a control and not the measure.
MASK_SHARES, MASK_SEEDS = (0.5, 0.9), 1


def part_of(images: ImageSet, limit: int | None) -> ImageSet:
    """Return a seeded choice of `limit` images, all of them for None."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).tolist()
    return images if limit is None else images.subset(sorted(order[:limit]))


def key(*parts: object) -> str:
    """Return 12 digits that change with the parts: results of other settings lie in other folders."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def options(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scale", choices=RECIPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", type=lambda names: names.split(","), default=METHODS, help="names with commas")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each method and share")
    parser.add_argument("--epochs", type=int, help="passes of each training")
    parser.add_argument("--images", type=int, help="training and test images, all by default")
    parser.add_argument("overrides", nargs="*", help="such as steps=64")
    return parser.parse_intermixed_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Run the study, or what is left of it."""
    args = options(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    cuda = torch.cuda.is_available()
    how = RECIPES[args.scale]._replace(accelerator="gpu" if cuda else "cpu")
    how = how if args.epochs is None else how._replace(max_epochs=args.epochs)
    settings = [f"scale={args.scale}", f"dirs.output={args.folder}", *args.overrides]
    cfg = compose("evaluate", settings)
    datamodule, classifier = prepare(cfg)
    classifier.to("cuda" if cuda else "cpu")
    train, test = part_of(datamodule.train_set, args.images), part_of(datamodule.test_set, args.images)
    # `none` is the constant map with nothing removed: what the same training reaches on whole images.
    plan = [("none", 0.0, "images", args.seeds)]
    for method, share in itertools.product(args.methods, SHARES):
        masked = min(args.seeds, MASK_SEEDS) if share in MASK_SHARES else 0
        plan += [(method, share, "images", args.seeds), (method, share, "masks", masked)]
    total, done, spent = sum(seeds for *_, seeds in plan), 0, 0.0
    rows, examples = [], {}
    for method, works in itertools.groupby(plan, key=lambda work: work[0]):
        own = compose("evaluate", [*settings, f"method={'constant' if method == 'none' else method}"])
        attributor = explain_with(own, datamodule, classifier)
        mark = key(fingerprint(own), args.images)
        kept = args.folder / "attributions" / f"{method}-{mark}"
        begin = time.perf_counter()
        maps = explained_set(attributor, train, kept / "train"), explained_set(attributor, test, kept / "test")
        seconds = time.perf_counter() - begin
        print(f"{method}: {len(train) + len(test)} images are explained, {duration(seconds)}", flush=True)
        examples[method] = without_relevant(
            test.subset([0]), maps[1][:1], Removal(0.0 if method == "none" else 0.5), attributor.score
        ).images[0]
        roar = Roar(
            train, test, lambda: build(cfg.classifier, datamodule=datamodule, checkpoint=None), how, attributor.score
        )
        trainings = args.folder / "trainings" / f"{method}-{key(mark, how)}"
        for _, share, what, seeds in works:
            for outcome in roar.outcomes(maps, Removal(share), seeds, trainings, what):
                done, spent = done + 1, spent + outcome.seconds
                for form, hits in outcome.hits.items():
                    rows.append({"method": method, "share": share, "form": form, "seed": outcome.seed, "hits": hits})
                said = ", ".join(f"{form} {hits.count('1') / len(hits):.3f}" for form, hits in outcome.hits.items())
                left = f"{duration(spent / done * (total - done))} of training left"
                print(f"[{done}/{total}] {method} {share:.0%} seed {outcome.seed}: {said}; {left}", flush=True)
    pd.DataFrame(rows).to_csv(args.folder / "hits.csv", index=False)
    np.savez_compressed(args.folder / "removed.npz", **examples)


if __name__ == "__main__":
    main()
