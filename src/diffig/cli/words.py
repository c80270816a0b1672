"""Words that Hydra would answer with a trace: a group that is given no name, a folder that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffig.config import CONF_DIR, options_of

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NEEDED = ("dataset", "classifier", "objective", "baseline", "method", "metrics", "module")
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


def refused(words: Sequence[str]) -> str | None:
    """Return a line on the first of `words` whose value is of the wrong kind, None where Hydra can go on.

    A group takes the name of one of its files, a list of names, or `key={name: value}` for keys of the chosen one.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:  # a flag, or what Hydra says itself in one line
            continue
        key = override.key_or_group
        if override.is_delete() and key in NEEDED:
            return f"{word}: a run needs one; choose {key}= one of {', '.join(options_of(key))}"
        for value in _values(override):
            if key in FOLDERS and not isinstance(value, str | int | float):
                return f"{word}: {key} must be a folder, not {value!r}"
            if "." not in key and Path(CONF_DIR, key).is_dir() and not _names(value):
                return (
                    f"{word}: {key} is a group and {value!r} none of its names; leave it out, or choose one of "
                    f"{', '.join(options_of(key))}"
                )
    return None


def _values(override: Override) -> Iterator[Any]:
    if override.is_delete():
        return
    if override.is_sweep_override():
        yield from override.sweep_iterator() if override.is_discrete_sweep() else ()
    else:
        yield override.value()


def _names(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return isinstance(value, dict) or (bool(parts) and all(isinstance(part, str) for part in parts))
