"""What a program's own keys may be, asked before any work; the arguments of an object are its own to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from diffig.config import options_of
from diffig.integers import check_at_least

if TYPE_CHECKING:
    from omegaconf import DictConfig

Kind = Callable[[Any, str], Any]
"""Returns the value of a key as it is used, and raises ValueError where it is of another kind."""
MOST = 2**63 - 1


def whole(least: int, meaning: str, null: str | None = None) -> Kind:
    """Return the kind of whole numbers of at least `least`; None is one too where `null` says what it stands for."""
    meaning += f"; null: {null}" if null else ""

    def read(value: Any, key: str) -> int | None:
        if value is None and null:
            return None
        number = check_at_least(value, least, key, meaning, none="null")
        if number > MOST:
            raise ValueError(f"{key}={value} is larger than a number of 64 bits, {MOST}: {meaning}")
        return number

    return read


def text(meaning: str, null: str | None = None) -> Kind:
    """Return the kind of names and paths, of which a number is one; None where `null` says what it stands for."""

    def read(value: Any, key: str) -> str | None:
        if value is None and null:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise ValueError(f"{key}={_shown(value)} must be {meaning}" + (f"; null: {null}" if null else ""))
        return str(value)

    return read


def names(meaning: str, null: str | None = None) -> Kind:
    """Return the kind of lists of names, of which one name is one too; None where `null` says what it stands for."""

    def read(value: Any, key: str) -> list[str] | None:
        if value is None and null:
            return None
        given = value if isinstance(value, list) else [value]
        if not given or not all(isinstance(name, str) and name for name in given):
            raise ValueError(f"{key}={_shown(value)} must be {meaning}" + (f"; null: {null}" if null else ""))
        return value if isinstance(value, list) else given

    return read


def image(value: Any, key: str) -> int | str:
    """Return `value`, which has to be a position among images or a path."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError(f"{key}={_shown(value)} must be a file, a folder or the position of an image, a whole number")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"{key}={value} must be a position among the test images, counted from 0, or a file")
    return value


def credit(value: Any, key: str) -> Any:
    """Return `value`, which has to be a credit's config, or null where methods have their own."""
    if value is None or (isinstance(value, dict) and "_target_" in value):
        return value
    raise ValueError(
        f"{key}={_shown(value)} names no credit; choose {key}= one of {', '.join(options_of('credit'))}, and give what "
        f"it takes beside it, {key}.p=2"
    )


def yes_or_no(value: Any, key: str) -> bool:
    """Return `value`, which has to be true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{key}={_shown(value)} must be true or false")
    return value


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value) if value == "" else str(value)


KEYS: Mapping[str, Kind] = MappingProxyType(
    {
        "seed": whole(0, "what is drawn follows from it"),
        "image_seed": whole(0, "the choice of images follows from it"),
        "skip": whole(0, "images at the start of that choice that are left alone"),
        "limit": whole(1, "how many images are explained", null="all of them"),
        "batch_size": whole(1, "images explained together"),
        "image_size": whole(1, "the side of image files in pixels", null="the dataset's own"),
        "size": whole(1, "the side of image files in pixels"),
        "pictures": whole(0, "images in attributions.png"),
        "thumbnails": whole(0, "pixels of an image's small picture"),
        "bootstrap.n": whole(1, "resamples of an interval"),
        "trainer.accumulate_grad_batches": whole(1, "batches of one optimiser step"),
        "only_correct": yes_or_no,
        "films": yes_or_no,
        "resume": yes_or_no,
        "credit": credit,
        "dirs.output": text("a folder"),
        "dirs.cache": text("a folder"),
        "search_metric": text("the name of a metric"),
        "attributions": text("a file of maps", null="those of a method"),
        "image": image,
        "region": text("an image file", null="none"),
        "runs": names("a folder, a list of folders or a glob"),
        "output": text("a folder", null="that of the runs"),
        "headline": text("the name of a metric", null="diffid"),
        "reference": text("a method or a setting", null="ig"),
        "methods": names("names of methods", null="the one of method=..."),
        "compare": names("names of two methods or settings", null="no comparison"),
        "formats": names("some of md, csv, tex, html, pdf"),
    }
)


def check_values(cfg: DictConfig, but: Sequence[str] = ()) -> None:
    """Raise ValueError where a key of a program has a value of the wrong kind; keys that it has not are not asked for.

    Args:
        cfg: changed where a value says in other words what it means: `limit=1e3` is 1000, `dirs.output=7` a folder.
        but: keys that are left alone.
    """
    from omegaconf import OmegaConf

    for key in (key for key in KEYS if key not in but):
        place, _, name = key.rpartition(".")
        if place and place not in cfg:
            continue
        node = cfg[place] if place else cfg
        if not OmegaConf.is_dict(node):
            raise ValueError(f"{place}={_shown(node)} must hold {name}; leave it out, and set {key}")
        if name not in node:
            continue
        plain = not OmegaConf.is_config(node[name])
        value = node[name] if plain else OmegaConf.to_container(node[name], resolve=False)
        found = KEYS[key](value, key)
        if found is not value:
            node[name] = found
