"""A network's body and head: fine-tuning begins with the one from a file and the other new."""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from pathlib import Path

from torch import nn

from diffig.classifiers.base import Classifier
from diffig.classifiers.checkpoint import read_tensors, without_prefixes


def head_of(net: nn.Module) -> str:
    """Return the name of the child of `net` that holds its last linear or convolutional layer, `fc` of a ResNet.

    Of a network that only wraps another (`model` holds everything) it is a child of the inner one, `model.fc`.

    Raises:
        ValueError: a network with neither.
    """
    layers = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d) and name]
    if not layers:
        raise ValueError(f"{type(net).__name__} has no linear or convolutional layer, so it has no head to train")
    owners = [
        name.split(".") for name, module in net.named_modules() if next(module.parameters(False), None) is not None
    ]
    depth = next((place for place, names in enumerate(zip_longest(*owners)) if len(set(names)) > 1), 0)
    return ".".join(layers[-1].split(".")[: depth + 1])


def load_body(classifier: Classifier, path: str | Path, *, ignored: Collection[str] = ()) -> Classifier:
    """Return `classifier` with the weights of `path` wherever they fit; only its head may keep its random weights.

    What `load_weights` reads is read here; the file's head may be for another number of classes, or of another make.

    Args:
        classifier: changed in place; on any error it stays as it was.
        path: weights of the same architecture, torchvision's own for example.
        ignored: names of sub-modules whose tensors in the file are passed over.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: a file that cannot be read, or one that lacks a part of the body or has it in another shape.
    """
    file = Path(path).expanduser()
    net, head = classifier.net, head_of(classifier.net)
    tensors = {name: tensor for name, tensor in read_tensors(file).items() if not set(name.split(".")) & set(ignored)}
    found = without_prefixes(tensors, net)
    expected = net.state_dict()
    fits = {name: found[name] for name, own in expected.items() if name in found and found[name].shape == own.shape}
    lost = [
        name
        for name in expected
        if name not in fits and not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")
    ]
    if lost:
        raise ValueError(
            f"{file} does not have the body of classifier {classifier.name!r}: {len(lost)} tensors are missing or of"
            f" another shape, {lost[0]} first; set classifier.pretrained to weights of the same architecture"
        )
    broken = [name for name, tensor in fits.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise ValueError(
            f"{file} holds NaN or infinite values, in {broken[0]} first; use another classifier.pretrained"
        )
    net.load_state_dict(fits, strict=False)
    return classifier
