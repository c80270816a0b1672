"""Any classification network of torchvision, by name, with weights from a local file."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from torch import nn

from diffig.classifiers.base import Classifier, DataInfo, check_fits
from diffig.classifiers.body import load_body
from diffig.classifiers.checkpoint import load_weights

Head = Literal["plain", "authors"]
# Their second outputs only serve their first training; files often hold them all the same.
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
HIDDEN = 150


def torchvision_model(
    *,
    name: str = "resnet18",
    head: Head = "plain",
    datamodule: DataInfo | None = None,
    checkpoint: str | Path | None = None,
    pretrained: str | Path | None = None,
    num_classes: int = 1000,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
) -> Classifier:
    """Return a network of torchvision in evaluation mode; nothing is downloaded.

    GoogLeNet and Inception v3 come without auxiliary outputs, which a checkpoint may hold, and scale their input once
    more from `mean` and `std` to [-1, 1], as torchvision's own weights want it.

    Args:
        name: as in `torchvision.models.list_models(module=torchvision.models)`.
        head: `plain` is torchvision's; `authors` is the small one that the DiffIG group puts on a VGG (150 units,
            batch norm, ReLU, dropout, classes; that it replaces all three layers of the head is an assumption).
        datamodule: only checked to fit.
        checkpoint: weights file; `None` leaves random weights.
        pretrained: weights file to begin fine-tuning with, of any number of classes; the head stays random.
        num_classes: K.
        mean: per channel; ImageNet's by default.
        std: likewise.

    Raises:
        ValueError: an unknown name or head, data that do not fit, or a checkpoint that does not fit.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.4)
        near = f"did you mean {', '.join(close)}? " if close else ""
        raise ValueError(
            f"classifier.name={name!r} is no classification network of torchvision; {near}All {len(known)} names:"
            " torchvision.models.list_models(module=torchvision.models)"
        )
    if head not in get_args(Head) or (head == "authors" and not name.startswith("vgg")):
        raise ValueError(
            f"classifier.head={head!r} is not for {name!r}; choose one of {list(get_args(Head))}, authors for vgg* only"
        )
    # Drawing weights as these two want it warns and takes seconds.
    own = {"init_weights": False, "aux_logits": False, "transform_input": True} if name in AUXILIARY else {}
    net = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **own)
    if head == "authors":
        layers = [nn.Linear(net.classifier[0].in_features, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Dropout()]
        net.classifier = nn.Sequential(*layers, nn.Linear(HIDDEN, num_classes))
    classifier = Classifier(net, mean, std, name, num_classes, channels_last=True).eval()
    if datamodule is not None:
        check_fits(classifier, datamodule)
        _check_size(classifier, datamodule)
    if pretrained is not None and checkpoint is None:
        load_body(classifier, pretrained, ignored=AUXILIARY.get(name, ()))
    return classifier if checkpoint is None else load_weights(classifier, checkpoint, ignored=AUXILIARY.get(name, ()))


def _check_size(classifier: Classifier, datamodule: DataInfo) -> None:
    """Raise where a transformer with positions of its own is given images of another size."""
    wanted, given = getattr(classifier.net, "image_size", None), datamodule.image_shape[1:]
    if isinstance(wanted, int) and given != (wanted, wanted):
        raise ValueError(
            f"classifier {classifier.name!r} takes images of {wanted} x {wanted} pixels, those of dataset"
            f" {datamodule.name!r} are {given[0]} x {given[1]}; set image_size={wanted} (or dataset.size={wanted})"
        )
