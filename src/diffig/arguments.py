"""Whether what a config says fits what the object that it builds declares, told by the key before anything is built."""

from __future__ import annotations

import builtins
import contextlib
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from omegaconf import DictConfig, ListConfig

TRUSTED = ("diffig", "lightning")  # what others write beside an argument, x: int = None, is not always so
SIMPLE = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}


class _Names(dict[str, Any]):
    """What annotations may name; whatever is imported for the type checker alone stands for anything."""

    def __missing__(self, name: str) -> Any:
        return Any


def check_arguments(node: Any) -> None:
    """Raise ValueError where a node, or one inside it, gives an argument a value of another kind than it declares.

    Names to choose from are left to the object, which lists them; what is not set or leads nowhere to OmegaConf.

    Args:
        node: of a config; what is no node of OmegaConf's is left alone.
    """
    for config in _objects(node):
        given = dict(_items(config))
        for name, declared in _declared(config).items():
            if name in given and not _fits(given[name], declared):
                value = "null" if given[name] is None else given[name]
                wanted = dict.fromkeys(_called(part) for part in _alternatives(declared))
                raise ValueError(f"{_key(config, name)}={value} must be {' or '.join(wanted)}")


def _key(config: DictConfig, name: str) -> str:
    """Return where the value stands, `steps` of `method.steps=${steps}`."""
    node: Any = config._get_node(name)
    return str(node._maybe_dereference_node()._get_full_key(None))


def _objects(node: Any) -> Iterator[DictConfig]:
    from omegaconf import DictConfig, ListConfig

    if not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    if isinstance(node, DictConfig) and "_target_" in node:
        yield node
    for _, value in _items(node):
        yield from _objects(value)


def _items(node: DictConfig | ListConfig) -> Iterator[tuple[Any, Any]]:
    from omegaconf import ListConfig
    from omegaconf.errors import OmegaConfBaseException

    keys: Iterable[Any] = range(len(node)) if isinstance(node, ListConfig) else node
    for key in keys:
        with contextlib.suppress(OmegaConfBaseException):
            yield key, node[key]


def _declared(config: DictConfig) -> Mapping[str, Any]:
    from hydra.utils import get_object

    try:
        target = get_object(str(config["_target_"]))
        makers = [target]
        if isinstance(target, type):  # what a class hands on to those it stands on as **more is theirs to declare
            name = "__new__" if issubclass(target, tuple) else "__init__"
            makers = [vars(base)[name] for base in reversed(target.__mro__) if name in vars(base)]
        return {name: hint for maker in makers for name, hint in _hints(inspect.unwrap(maker)).items()}
    except Exception:  # what cannot be imported or read is for building it to say
        return {}


def _hints(function: Any) -> Mapping[str, Any]:
    anything = dict.fromkeys(inspect.signature(function).parameters, Any)
    if str(getattr(function, "__module__", "")).partition(".")[0] not in TRUSTED:
        return anything
    known = _Names({**vars(builtins), **getattr(function, "__globals__", {})})
    return {**anything, **get_type_hints(function, localns=known)}


def _alternatives(declared: Any) -> tuple[Any, ...]:
    return get_args(declared) if get_origin(declared) in (Union, types.UnionType) else (declared,)


def _called(declared: Any) -> str:
    if declared is type(None):
        return "null"
    origin = get_origin(declared) or declared
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(declared)))}"
    if declared in SIMPLE:
        return SIMPLE[declared]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a dictionary"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        parts = [part for part in get_args(declared) if part in SIMPLE]
        return f"a list, each {SIMPLE[parts[0]]}" if parts else "a list"
    return "an object, a config with _target_"


def _fits(value: Any, declared: Any) -> bool:
    return any(_fits_one(value, part) for part in _alternatives(declared))


def _fits_one(value: Any, declared: Any) -> bool:
    from omegaconf import DictConfig, ListConfig

    origin = get_origin(declared) or declared
    if origin is Literal:
        return isinstance(value, str) or value in get_args(declared)
    if not isinstance(origin, type) or origin in (Any, object):
        return True
    if isinstance(value, ListConfig):
        parts = [part for part in get_args(declared) if part is not ...]
        able = origin is tuple or issubclass(list, origin)
        return able and all(not parts or any(_fits(item, part) for part in parts) for _, item in _items(value))
    if isinstance(value, DictConfig):
        return "_target_" in value or issubclass(dict, origin)
    if isinstance(value, bool):
        return origin is bool
    if isinstance(value, int | float):
        return isinstance(value, origin) or origin is float or (origin is int and float(value).is_integer())
    if isinstance(value, str):
        return origin in (str, Path)
    return isinstance(value, origin)
