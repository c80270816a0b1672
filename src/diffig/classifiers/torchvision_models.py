"""Any classification network of torchvision, by name, with weights from a local file."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from diffig.classifiers.base import Classifier, DataFacts, check_fits
from diffig.classifiers.checkpoint import load_weights


def torchvision_model(
    *,
    name: str = "resnet18",
    datamodule: DataFacts | None = None,
    checkpoint: str | Path | None = None,
    num_classes: int = 1000,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
) -> Classifier:
    """Return a network of torchvision in evaluation mode; nothing is downloaded.

    Args:
        name: as in ``torchvision.models.list_models(module=torchvision.models)``.
        datamodule: only checked to fit.
        checkpoint: weights file; ``None`` leaves random weights.
        num_classes: K.
        mean: per channel; ImageNet's by default.
        std: likewise.

    Raises:
        ValueError: an unknown name, data that do not fit, or a checkpoint that does not fit.
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
    # These two warn unless told how to draw weights, and would take seconds for it.
    own = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **own)
    classifier = Classifier(net, mean, std, name, num_classes).eval()
    if datamodule is not None:
        check_fits(classifier, datamodule)
    return classifier if checkpoint is None else load_weights(classifier, checkpoint)
