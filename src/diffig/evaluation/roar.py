"""Remove and retrain: a dataset explained once, classifiers trained from scratch and asked, all of it resumable."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import lightning.pytorch as pl
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import DataLoader

from diffig.attribution.base import Attributor
from diffig.checks import check_at_least, check_choice
from diffig.classifiers.base import Classifier
from diffig.classifiers.module import ClassifierModule
from diffig.data.batch import collate
from diffig.data.image_sets import ArrayImages, ImageSet
from diffig.files import write_bytes, write_json
from diffig.metrics.roar import Removal, kept_masks, without_relevant
from diffig.scores import ScoreFunction

What = Literal["images", "masks"]


class Outcome(NamedTuple):
    """Hits of one retrained classifier: by form, one character `1` or `0` for each test image; seconds of training."""

    seed: int
    hits: dict[str, str]
    seconds: float


class Retraining(NamedTuple):
    """How a classifier is trained anew; the same for every method, share and seed.

    Attributes:
        max_epochs: passes over the training images.
        batch_size: images of a step; a last batch that is not full is left out.
        learning_rate, shift, flip: as in `ClassifierModule`.
        accelerator: Lightning's name of the device, `cpu`, `gpu` or `auto`.
    """

    max_epochs: int
    batch_size: int = 32
    learning_rate: float = 5e-3
    shift: int = 0
    flip: bool = False
    accelerator: str = "cpu"


def retrained(fresh: Callable[[], Classifier], images: ImageSet, how: Retraining, seed: int) -> Classifier:
    """Return a classifier trained from scratch, in evaluation mode on the CPU.

    Equal arguments give equal weights on one device; the global state of random numbers stays as it was, and seeds pair
    methods: weights at the start and order of images depend on the seed alone.

    Args:
        fresh: builds the classifier; its random weights are drawn under `seed`.
        images: what it is trained on.
        how: the recipe.
        seed: of weights, order of images and augmentation.

    Raises:
        ValueError: the classifier has weights from a file.
    """
    check_at_least(how.max_epochs, 1, "max_epochs", "passes over the training images")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # no validation images, few workers: both are meant
        torch.manual_seed(seed)
        classifier = fresh()
        if classifier.checkpoint is not None:
            raise ValueError(f"{classifier.name!r} comes from {classifier.checkpoint}; retraining starts from scratch")
        module = ClassifierModule(classifier, learning_rate=how.learning_rate, shift=how.shift, flip=how.flip)
        loader = DataLoader(
            images,
            batch_size=min(how.batch_size, len(images)),
            shuffle=True,
            drop_last=True,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(seed),
        )
        trainer = pl.Trainer(
            accelerator=how.accelerator,
            devices=1,
            max_epochs=how.max_epochs,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
    return classifier.cpu().eval()


@torch.no_grad()
def hits(classifier: Classifier, images: ImageSet, batch_size: int = 256) -> str:
    """Return one character for each image, `1` where its label has the highest logit and `0` elsewhere."""
    device = classifier.mean.device
    found: list[str] = []
    for start in range(0, len(images), batch_size):
        batch = collate(images[position] for position in range(start, min(start + batch_size, len(images))))
        right = classifier(batch.images.to(device)).argmax(1).cpu() == batch.labels
        found += ["1" if hit else "0" for hit in right.tolist()]
    return "".join(found)


def explained_set(
    attributor: Attributor, images: ImageSet, folder: Path, *, batch_size: int = 64, per_file: int = 256
) -> Tensor:
    """Return attributions `(N, C, H, W)` of all images, each of its label, float32 on the CPU.

    They lie in `folder`, `per_file` images in a file that is written whole or not at all; files that are there are
    read and not computed. The folder must belong to this method, classifier and dataset, which only the caller knows.

    Args:
        attributor: its classifier's device is where images go.
        images: a dataset.
        folder: of the files, made if missing.
        batch_size: images explained together; attributions do not depend on it.
        per_file: images of a file.

    Raises:
        ValueError: a file holds attributions of other images.
    """
    device = next((tensor.device for tensor in attributor.score.classifier.parameters()), torch.device("cpu"))
    parts: list[Tensor] = []
    for start in range(0, len(images), per_file):
        positions = range(start, min(start + per_file, len(images)))
        indices = torch.from_numpy(images.indices[positions.start : positions.stop]).contiguous()
        path = folder / f"{start:06d}.safetensors"
        if not path.is_file():
            found = []
            for low in range(positions.start, positions.stop, batch_size):
                batch = collate(images[position] for position in range(low, min(low + batch_size, positions.stop)))
                integral = attributor.explain(
                    batch.images.to(device), target=batch.labels.to(device), indices=batch.indices
                )
                found.append(integral.attribution.detach().float().cpu())
            write_bytes(path, save({"attributions": torch.cat(found).contiguous(), "indices": indices}))
        content = load_file(path)
        if not torch.equal(content["indices"], indices):
            raise ValueError(f"{path} holds attributions of other images; delete it, or choose another folder")
        parts.append(content["attributions"])
    return torch.cat(parts)


class Roar:
    """Remove and retrain on one dataset (Hooker et al., NeurIPS 2019); lower accuracy means better attributions.

    Args:
        train: training images, without removal.
        test: test images, without removal.
        fresh: builds the classifier with random weights.
        how: its training.
        score: see `Removal`.
    """

    def __init__(
        self, train: ImageSet, test: ImageSet, fresh: Callable[[], Classifier], how: Retraining, score: ScoreFunction
    ) -> None:
        self.train, self.test, self.fresh, self.how, self.score = train, test, fresh, how, score

    def outcomes(
        self, maps: tuple[Tensor, Tensor], removal: Removal, seeds: int, folder: Path, what: What = "images"
    ) -> Iterator[Outcome]:
        """Yield the outcome of each training seed, read from `folder` where it has been done before.

        Args:
            maps: attributions of the training and of the test images.
            removal: what goes.
            seeds: trainings, with seeds 0 to `seeds - 1`.
            folder: one file for each share and seed, written whole or not at all. It must belong to these maps, this
                recipe and dataset, which only the caller knows.
            what: `images`: trained on what is left of the images; asked about what is left of the test images (form
                `removed`, the original) and about whole ones (form `clean`, as SPI and later papers do). `masks`:
                trained on and asked about the shape of what is left alone (form `mask`).
        """
        check_choice(what, What, "what")
        sets: tuple[ArrayImages, ...] = ()
        for seed in range(seeds):
            path = folder / f"{what}-{removal.share:g}-{seed}.json"
            if not path.is_file():
                sets = sets or tuple(
                    kept_masks(images, found, removal)
                    if what == "masks"
                    else without_relevant(images, found, removal, self.score)
                    for images, found in zip((self.train, self.test), maps, strict=True)
                )
                start = time.perf_counter()
                classifier = retrained(self.fresh, sets[0], self.how, seed)
                asked = {"mask": sets[1]} if what == "masks" else {"removed": sets[1], "clean": self.test}
                found_hits = {form: hits(classifier, images) for form, images in asked.items()}
                folder.mkdir(parents=True, exist_ok=True)
                write_json(path, {"seconds": round(time.perf_counter() - start, 2), "hits": found_hits})
            content = json.loads(path.read_text())
            yield Outcome(seed, content["hits"], content["seconds"])
