"""The classifier of a config, also where it is a function of the user's own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from diffig.classifiers.base import Classifier
from diffig.classifiers.small_cnn import SmallCNN
from diffig.classifiers.training import check_fits, fit_or_load
from diffig.config import CONF_DIR, build, options_of
from diffig.conversion import kind_of
from diffig.tracking.identity import choices

if TYPE_CHECKING:
    from diffig.data.module import ImageDataModule


def classifier_of(cfg: DictConfig, datamodule: ImageDataModule | None = None) -> Classifier:
    """Return what `cfg.classifier` builds; a function gets the data where it has an argument `datamodule`.

    Raises:
        TypeError: it is no `Classifier`.
    """
    node = own_options(cfg.classifier)
    given = {"datamodule": datamodule} if datamodule is not None and asks_for(node["_target_"], "datamodule") else {}
    found = build(OmegaConf.create(node), **given)
    if not isinstance(found, Classifier):
        raise TypeError(
            f"classifier._target_={node['_target_']} returns {kind_of(found)}, which does not say how its pixels are "
            "normalised; give a function that returns diffig.Classifier(net, mean, std, name, num_classes)"
        )
    return found


def brings_weights(node: DictConfig, classifier: Classifier) -> bool:
    """Return whether a classifier needs no training: it was loaded, or a function of the user's own has made it.

    What such a function loads (timm's `pretrained`, `from_pretrained`, weights of torchvision) leaves no trace here, so
    that it is believed; one with an argument `checkpoint` that is null has loaded nothing.
    """
    return classifier.checkpoint is not None or "checkpoint" not in own_options(node)


def give_weights(cfg: DictConfig, classifier: Classifier, datamodule: ImageDataModule) -> None:
    """Give the classifier of a config its weights, unless it brings them; arguments and errors as in `fit_or_load`."""
    if brings_weights(cfg.classifier, classifier) and not isinstance(classifier.net, SmallCNN):
        check_fits(classifier, datamodule)
    else:
        fit_or_load(classifier, datamodule, Path(cfg.dirs.cache) / "classifiers", seed=0)


def own_options(node: DictConfig) -> dict[str, Any]:
    """Return the options of a classifier, without the defaults of another.

    `classifier._target_=my_package.my_model` alone leaves the keys of the file that was chosen before; those that
    nobody has set are no arguments of the function.
    """
    options = OmegaConf.to_container(node, resolve=True)
    assert isinstance(options, dict)
    files = {name: _file(name) for name in options_of("classifier")}
    usual = files.get(choices().get("classifier", "small_cnn"), {})
    if options["_target_"] in {file["_target_"] for file in files.values()}:
        usual = {}
    return {str(key): value for key, value in options.items() if key not in usual or value != usual[key]}


def _file(name: str) -> dict[str, Any]:
    """What `conf/classifier/<name>.yaml` says."""
    return dict(OmegaConf.to_container(OmegaConf.load(Path(CONF_DIR, "classifier", f"{name}.yaml"))))  # type: ignore[arg-type]


def asks_for(target: str, argument: str) -> bool:
    """Return whether a function, by its full name, has an argument of that name; one that cannot be told is asked."""
    from hydra.utils import get_object

    try:
        return argument in inspect.signature(get_object(target)).parameters
    except Exception:  # it cannot be imported, or has no signature: building it says so
        return True
