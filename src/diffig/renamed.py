"""Names that have changed: the old ones go on working for one minor version and say the new ones.

Keys of the configuration, metrics and columns of results stand in the tables here; old arguments, attributes and names
of modules stand where the new ones do, as `old_arguments`, `old_attribute` and `old_names`.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from diffig.moved import UNTIL

if TYPE_CHECKING:
    import pandas as pd

Target = TypeVar("Target", bound=Callable[..., Any])

# Key of the configuration, a pattern in each of its parts, to its last part now.
KEYS: Mapping[str, str] = MappingProxyType(
    {
        "draw": "image_seed",
        "searched": "search_metric",
        "guidance.waste": "absolute_mass",
        "guidance.nodes": "gradients",
        "method.guidance.waste": "absolute_mass",
        "method.guidance.nodes": "gradients",
        "method.energies.waste": "absolute_mass",
        "method.energies.nodes": "gradients",
        "method.n_knots": "n_segments",
        "fields.n_knots": "n_segments",
        "latents.space.n_knots": "n_segments",
        "latents.space.field.n_knots": "n_segments",
        "module.prior.denoiser.n_knots": "n_segments",
        "module.prior.noise": "noise_schedule",
        "module.schedule": "noise_schedule",
        "module.diffusion.noise": "noise_schedule",
        "module.lr": "learning_rate",
        "metrics.metrics.waste": "absolute_mass",
        "metrics.metrics.diffid_grain": "diffid_rank_blur",
        "metrics.metrics.diffid_signed_grain": "diffid_signed_rank_blur",
        "metrics.metrics.*.grain": "rank_blur",
    }
)
OF_METRICS = ("headline", "search_metric")  # keys whose value is the name of a metric
METRICS: Mapping[str, str] = MappingProxyType({"waste": "absolute_mass", "waste_excess": "cancelled_mass"})


def tell(old: str, new: str, level: int = 3) -> None:
    """Warn that a name is an old one; `level` is that of the caller to blame."""
    warnings.warn(f"{old} is {new} now; the old name goes with diffig {UNTIL}", DeprecationWarning, stacklevel=level)


def show_old_names() -> None:
    """Show these warnings, which Python keeps from whoever only runs a program."""
    warnings.filterwarnings("default", f".*goes with diffig {UNTIL}", DeprecationWarning)


def current_key(key: str) -> str:
    """Return what a dotted key of the configuration is called now."""
    parts = key.split(".")
    for old, new in KEYS.items():
        pattern = old.split(".")
        if len(parts) >= len(pattern) and all(map(fnmatchcase, parts, pattern)):
            parts[len(pattern) - 1] = new
    return ".".join(parts)


def current_option(name: str) -> str:
    """Return what a key of a method, dotted below it, is called now."""
    return current_key(f"method.{name}").removeprefix("method.")


def current_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command line with the keys of today, and say it of each that has changed.

    `key=value` with any of Hydra's marks (`+`, `++`, `~`) is translated, and of keys below one that is given as a
    dictionary, `guidance={...}`, those at its top; whatever is no such word is left alone.
    """
    found = []
    for word in words:
        new = _current_word(word)
        if new != word:
            tell(word, new)
        found.append(new)
    return found


def _current_word(word: str) -> str:
    parts = re.fullmatch(r"([+]{0,2}|~)([\w.]+)(?:=(.*))?", word, re.DOTALL)
    if parts is None or (parts[3] is None and parts[1] != "~"):
        return word
    key, value = current_key(parts[2]), parts[3]
    if value is None:
        return f"{parts[1]}{key}"
    if key in OF_METRICS:
        value = current_metric(value)
    elif value.startswith("{"):
        below = functools.partial(_below, key)
        value = re.sub(r"(?<=[{,])(\s*)(\w+)(?=\s*:)", below, value)
    return f"{parts[1]}{key}={value}"


def _below(place: str, key: re.Match[str]) -> str:
    return key[1] + current_key(f"{place}.{key[2]}").rsplit(".", 1)[-1]


def current_metric(name: str) -> str:
    """Return what a metric, or a curve of one, is called now."""
    if name.startswith("diffid"):
        return re.sub(r"(?<=_)grain(?=_|$)", "rank_blur", name)
    return METRICS.get(name, name)


def current_variant(words: str) -> str:
    """Return the words by which results are told apart, keys of a method or beside it, with the keys of today."""
    parts = (word.partition("=") for word in words.split(" "))
    return " ".join("".join((current_option(key), *rest)) for key, *rest in parts)


def current_results(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows or curves with the names of today, so that they stand beside newer ones."""
    columns = {name: current_key(name) for name in table if "." in str(name)}
    if any(old != new for old, new in columns.items()):
        table = table.rename(columns=columns)
    for column, current in (("metric", current_metric), ("curve", current_metric), ("variant", current_variant)):
        names = {name: current(name) for name in table[column].dropna().unique()} if column in table else {}
        if any(old != new for old, new in names.items()):
            table = table.assign(**{column: table[column].map(names)})
    return table


def old_arguments(**names: str) -> Callable[[Target], Target]:
    """Return a decorator of a function or a class that goes on taking arguments by their old names, `old="new"`.

    Raises (what is decorated):
        TypeError: an argument was given by both names.
    """

    def decorate(target: Target) -> Target:
        maker = "__new__" if isinstance(target, type) and issubclass(target, tuple) else "__init__"
        function = getattr(target, maker) if isinstance(target, type) else target

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise TypeError(f"{target.__name__} was given {old} and {new}, which are one; give {new}")
                tell(f"argument {old} of {target.__name__}", new)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        if not isinstance(target, type):
            return called  # type: ignore[return-value]
        setattr(target, maker, called)
        return target

    return decorate


def old_attribute(old: str, new: str) -> Any:
    """Return a property that gives an attribute by its old name."""

    def read(self: Any) -> Any:
        tell(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)

    return property(read, doc=f"The old name of `{new}`.")


def old_names(module: str, names: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which gives objects by the names that they had."""

    def found(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        tell(f"{module}.{name}", names[name].__name__)
        return names[name]

    return found
