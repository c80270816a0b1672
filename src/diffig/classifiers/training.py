"""Weights for a classifier: the file it was given, a cached file, or seconds of training."""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from diffig.classifiers.base import Classifier, check_fits
from diffig.classifiers.checkpoint import load_weights, save_weights
from diffig.classifiers.small_cnn import SmallCNN
from diffig.data.batch import collate
from diffig.io import write_json

if TYPE_CHECKING:
    from diffig.data.image_sets import ImageSet
    from diffig.data.module import ImageDataModule

log = logging.getLogger(__name__)

BATCH_SIZE, LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 32, 5e-3, 0.2, 1e-2


def fit_or_load(
    classifier: Classifier,
    datamodule: "ImageDataModule",
    cache_dir: str | Path,
    *,
    seed: int = 0,
    max_epochs: int = 6,
    progress: bool = True,
) -> Path:
    """Return the weights file of a classifier that is ready to use; the classifier holds these weights.

    A classifier built from a checkpoint is left alone. A small CNN without one is trained on `datamodule.train_set`
    and cached as `.safetensors` with a `.json` beside it that states accuracies and origin; the name of the file
    tells dataset, image shape, architecture with data (a hash) and seed, and a later call with the same loads it. Equal
    arguments give equal weights on one device; the global state of random numbers stays as it was.

    Args:
        classifier: ends in evaluation mode, on the device where it was.
        datamodule: the data.
        cache_dir: folder for trained weights, made if missing.
        seed: of weights and order of images.
        max_epochs: passes over the training images.
        progress: whether to log the loss after each pass.

    Raises:
        ValueError: another classifier without checkpoint, `max_epochs` below 1, or data that do not fit or have no
            training images.
    """
    check_fits(classifier, datamodule)
    if classifier.checkpoint is not None:
        return classifier.checkpoint
    if not isinstance(classifier.net, SmallCNN):
        raise ValueError(
            f"classifier {classifier.name!r} has random weights; set classifier.checkpoint=... or train it first"
            " (diffig-train module=classifier). Only classifier=small_cnn is trained on the fly"
        )
    if max_epochs < 1:
        raise ValueError(f"max_epochs={max_epochs}; training takes at least one pass")
    shape = "x".join(str(length) for length in datamodule.image_shape)
    hashes = {"architecture": architecture_hash(classifier, max_epochs), "data": data_hash(datamodule.train_set)}
    key = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]
    path = Path(cache_dir).expanduser() / f"{datamodule.name}_{shape}_{key}_seed{seed}.safetensors"
    if path.exists():
        try:
            return load_weights(classifier, path).checkpoint or path
        except ValueError as error:
            warnings.warn(f"cached weights are not usable and are trained again: {error}", stacklevel=2)
    _fit(classifier, datamodule.train_set, seed=seed, max_epochs=max_epochs, progress=progress)
    record = {
        "dataset": datamodule.name,
        "image_shape": list(datamodule.image_shape),
        "num_classes": classifier.num_classes,
        "train_images": len(datamodule.train_set),
        "val_accuracy": accuracy(classifier, datamodule.val_set),
        "test_accuracy": accuracy(classifier, datamodule.test_set),
        "seed": seed,
        "max_epochs": max_epochs,
        "architecture": f"SmallCNN, width {classifier.net.width}",
        "architecture_hash": hashes["architecture"],
        "data_hash": hashes["data"],
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
    }
    write_json(path.with_suffix(".json"), record)
    save_weights(classifier, path)
    classifier.checkpoint = path
    log.info(
        "trained %s on %s: test accuracy %.4f (%s)", classifier.name, datamodule.name, record["test_accuracy"], path
    )
    return path


def architecture_hash(classifier: Classifier, max_epochs: int) -> str:
    """Return 12 hexadecimal digits that change with the network, its normalisation or the training recipe."""
    tensors = [(name, tuple(tensor.shape)) for name, tensor in classifier.state_dict().items()]
    normalisation = classifier.mean.flatten().tolist() + classifier.std.flatten().tolist()
    recipe = (max_epochs, BATCH_SIZE, LEARNING_RATE, WARM_UP, WEIGHT_DECAY)
    # The printed network tells activations and strides, which have no weights.
    return hashlib.sha256(repr((repr(classifier.net), tensors, normalisation, recipe)).encode()).hexdigest()[:12]


def data_hash(images: "ImageSet") -> str:
    """Return 12 hexadecimal digits that change with the labels, the choice of images or 16 sampled images."""
    digest = hashlib.sha256(images.labels.tobytes() + images.indices.tobytes())
    for position in torch.linspace(0, len(images) - 1, 16).long().tolist():
        digest.update(images.image(position).numpy().tobytes())
    return digest.hexdigest()[:12]


@torch.no_grad()
def accuracy(classifier: Classifier, images: "ImageSet", batch_size: int = 256) -> float:
    """Return the share of images in [0, 1] whose highest logit is at their label."""
    device = classifier.mean.device
    loader = torch.utils.data.DataLoader(
        images, batch_size=batch_size, collate_fn=collate, generator=torch.Generator().manual_seed(0)
    )
    correct = sum(
        int((classifier(batch.images.to(device)).argmax(dim=1).cpu() == batch.labels).sum()) for batch in loader
    )
    return correct / len(images)


def _fit(classifier: Classifier, images: "ImageSet", *, seed: int, max_epochs: int, progress: bool) -> None:
    assert isinstance(classifier.net, SmallCNN)
    net, device = classifier.net, classifier.mean.device
    with _isolated_random_numbers(seed):
        fresh = SmallCNN(net.in_channels, net.num_classes, net.width)
    net.load_state_dict(fresh.state_dict())
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=min(BATCH_SIZE, len(images)),
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
    )
    requires_grad = [parameter.requires_grad for parameter in net.parameters()]
    net.requires_grad_(True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = max_epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)
    classifier.train()
    with torch.inference_mode(False), torch.enable_grad():
        for epoch in range(max_epochs):
            losses: list[Tensor] = []
            for batch in loader:
                loss = cross_entropy(classifier(batch.images.to(device)), batch.labels.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
            if progress:
                log.info(
                    "%s, pass %d of %d: loss %.4f", classifier.name, epoch + 1, max_epochs, torch.stack(losses).mean()
                )
    classifier.eval()
    classifier.zero_grad(set_to_none=True)
    for parameter, wanted in zip(net.parameters(), requires_grad, strict=True):
        parameter.requires_grad_(wanted)


@contextmanager
def _isolated_random_numbers(seed: int) -> Iterator[None]:
    # Only the CPU generator: torch.manual_seed would also reseed every GPU.
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(state)
