"""Where the configuration lives and the only place that turns it into objects."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diffig.renamed import current_key, current_words, tell

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

    from diffig.attribution.base import Attributor
    from diffig.baselines import Baseline
    from diffig.scores import ScoreFunction

_PACKAGE = Path(__file__).resolve().parent
# In a wheel the tree lies inside the package, in a checkout beside `src`.
CONF_DIR = str(_PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf")


def build(node: Any, **given: Any) -> Any:
    """Return the object that a config node describes, with plain lists and dictionaries as its arguments.

    Args:
        node: a config with `_target_`.
        given: further keyword arguments, for what a config cannot hold.

    Raises:
        ValueError, FileNotFoundError, TypeError: what the object itself raises, with its own message.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(node, _convert_="all", **given)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, ValueError | OSError | TypeError):
            raise cause from None
        if isinstance(cause, ImportError) and cause.__cause__ is not None and str(cause).startswith("Error loading"):
            name = str(cause).split("'")[1]  # of what this node or one inside it names
            raise ValueError(
                f"{name} cannot be imported: {cause.__cause__}; is its package installed, or its folder on PYTHONPATH?"
            ) from error
        named = node.get("_target_", node) if hasattr(node, "get") else node
        raise ValueError(f"{named} cannot be built: {cause or error}") from error


def compose(program: str = "evaluate", overrides: list[str] | None = None) -> DictConfig:
    """Return the config that a program would run with, e.g. `compose("evaluate", ["method=ig", "steps=32"])`.

    It reads the tree with a loader of its own and leaves Hydra's global state alone, so it may be called inside a
    `@hydra.main` program, in a notebook that has initialised Hydra itself, and in several threads at once.
    """
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import setup_globals
    from hydra.types import RunMode
    from omegaconf import open_dict

    if not isinstance(version.getbase(), version.Version):
        version.setbase("1.3")  # nobody has chosen yet; a program keeps what it has chosen
    setup_globals()
    loader = ConfigLoaderImpl(create_config_search_path(CONF_DIR))
    words = current_words(overrides or [])
    cfg = loader.load_configuration(program, words, RunMode.RUN, from_shell=False)
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return with_current_keys(cfg, words)


def with_current_keys(cfg: DictConfig, words: Iterable[str]) -> DictConfig:
    """Return the config, in which keys that a file of the user's calls by an old name have the name of today.

    Args:
        cfg: as Hydra has put it together; it is changed.
        words: of the command line, which go before what files say.
    """
    from omegaconf import OmegaConf, open_dict

    typed = {word.lstrip("+").partition("=")[0] for word in words}
    while old := next((key for key in keys_of(cfg) if current_key(key) != key), None):
        new = current_key(old)
        tell(old, new)
        place, _, name = old.rpartition(".")
        with open_dict(cfg):
            value = (OmegaConf.select(cfg, place) if place else cfg)._get_node(name)
            if new not in typed:
                OmegaConf.update(cfg, new, value)
            (OmegaConf.select(cfg, place) if place else cfg).pop(name)
    return cfg


def typed_words(of: Literal["task", "hydra"] = "task") -> list[str]:
    """Return the words of the command line that this run was started with, the program's own or Hydra's.

    Outside a program there are none.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    if not HydraConfig.initialized():
        return []
    typed: Any = OmegaConf.to_container(getattr(HydraConfig.get().overrides, of), resolve=False)  # ${other} stays so
    return list(typed)


def keys_of(node: Any, place: str = "") -> Iterator[str]:
    """Yield the dotted keys of a config, `seed`, `method`, `method.steps`, ..., those below an interpolation aside.

    Args:
        node: the config.
        place: the dotted key at which it stands, before each of its own.
    """
    from omegaconf import DictConfig

    for name in node if isinstance(node, DictConfig) and not node._is_interpolation() and not node._is_none() else ():
        key = f"{place}.{name!s}" if place else str(name)
        yield key
        yield from keys_of(node._get_node(name), key)


def from_config(method: str, classifier: nn.Module | ScoreFunction, overrides: list[str] | None = None) -> Attributor:
    """Return the attributor of `conf/method/<method>.yaml`, as `diffig-evaluate method=<method>` builds it.

    Args:
        method: a name in `conf/method`.
        classifier: maps images `(B, C, H, W)` in [0, 1] to logits, or a `ScoreFunction`.
        overrides: as on the command line, e.g. `["steps=64", "guidance.absolute_mass=0.2"]`.
    """
    from diffig.scores import ScoreFunction

    cfg = compose("evaluate", [f"method={method}", *(overrides or [])])
    score: ScoreFunction = classifier if isinstance(classifier, ScoreFunction) else build(cfg.objective)(classifier)
    return build_method(cfg, score, build(cfg.baseline))


def options_of(group: str) -> list[str]:
    """Return the names of a config group's files, `["agi", "blur_ig", ...]` of `method`."""
    return sorted(file.stem for file in Path(CONF_DIR, group).glob("*.yaml"))


def descriptions_of(group: str) -> dict[str, str]:
    """Return what each option of a config group is, by its name: the comment that its file begins with."""
    said = {}
    for option in options_of(group):
        lines = Path(CONF_DIR, group, f"{option}.yaml").read_text().splitlines()
        comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
        text = " ".join(line.lstrip("# ") for line in comment if "@package" not in line)
        said[option] = text.removeprefix("Builds ")
    return said


def methods() -> dict[str, str]:
    """Return every method by the name that `explainer` and `method=` take, with what it is and what to change."""
    return descriptions_of("method")


def build_method(cfg: DictConfig, score: ScoreFunction, baseline: Baseline, **given: Any) -> Attributor:
    """Return the attributor of a config.

    Args:
        cfg: of `diffig-evaluate` or `diffig-explain`.
        score: what is explained.
        baseline: where its paths start.
        given: further arguments of the method, for what a config cannot hold.

    Raises:
        ValueError: a credit was asked for, and the method has no pieces to divide.
    """
    if cfg.credit is not None and "credit" not in cfg.method:
        able = [
            name for name in options_of("method") if "${credit}" in Path(CONF_DIR, f"method/{name}.yaml").read_text()
        ]
        name = cfg.method._target_.rsplit(".", 1)[-1]
        raise ValueError(
            f"credit divides the pieces of a path, and {name} follows none; leave credit out, or choose one of "
            f"method={','.join(able)}"
        )
    from diffig.checks import check_widths

    attributor: Attributor = build(cfg.method)(score, baseline=baseline, seed=cfg.seed, **given)
    if cfg.footprint is not None:
        attributor.footprints = check_widths(cfg.footprint)
    return attributor
