"""A method and its options as keyword arguments, turned into the configuration that the programs use."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_choice
from diffig.config import CONF_DIR, build, build_method, compose, options_of
from diffig.renamed import current_option, tell
from diffig.scores import ScoreFunction

Preset = Literal["fast", "default", "best"]
SHARED = ("seed", "footprint", "credit", "guidance", "prior", "latent", "learned", "baseline")
"""What every method may be given beside the keys of its own file in `conf/method`."""
CAPTUM = {
    "internal_batch_size": "give chunk_size=... where the explainer is made",
    "additional_forward_args": "wrap the model in a module that holds them and takes images alone",
    "method": "give rule=... where the explainer is made",
    "stdevs": "give the options of smoothgrad where the explainer is made",
}
"""What to do in place of arguments of Captum's `attribute`."""


class Recipe(NamedTuple):
    """What a method is built from: overrides of the configuration, arguments that it cannot hold, and names of all."""

    overrides: tuple[str, ...]
    objects: Mapping[str, Any]
    options: tuple[str, ...] = ()

    def build(self, score: ScoreFunction) -> Attributor:
        """Return the attributor of a score."""
        cfg = compose("evaluate", list(self.overrides))
        given = dict(self.objects)
        baseline = given.pop("baseline", None)
        return build_method(cfg, score, build(cfg.baseline) if baseline is None else baseline, **given)

    def with_steps(self, steps: int | None) -> Recipe:
        """Return the recipe with another number of steps; the same where there is none."""
        return self if steps is None else self._replace(overrides=(*self.overrides, f"method.steps={steps}"))


def recipe_of(method: str, preset: Preset | None, options: Mapping[str, Any]) -> Recipe:
    """Return what builds a method.

    Args:
        method: a name in `conf/method`.
        preset: of DiffIG.
        options: of the method. A name chooses a file of the group (`baseline="blur"`), a dictionary changes keys
            (`guidance={"absolute_mass": 0.2}`), an object is used as it is (`credit=Agreeing(p=2)`).

    Raises:
        TypeError, ValueError: an unknown method, preset or option.
    """
    if method not in options_of("method"):
        raise ValueError(f"{method!r} is no method; choose one of {', '.join(options_of('method'))}")
    if preset is not None:
        if not isinstance(preset, str):
            raise TypeError(f"preset is a {type(preset).__name__}; give what is done to pixels as preprocess=")
        check_choice(preset, Preset, "preset")
    start = f"method={method}" if preset is None else f"preset={preset}"
    known = _keys(start)
    names = [*(name for name in known if not name.startswith("_")), *SHARED]
    overrides, objects = [start], {}
    for given, value in options.items():
        name = current_option(given)
        if name != given:
            tell(given, name, level=4)
        if name.split(".")[0] not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"{method} takes no {name!r}; {hint}it takes {', '.join(dict.fromkeys(names))}")
        if _is_plain(value):
            overrides += _words(name, value, known)
        else:
            objects[name] = value
    if "baseline" in objects and not isinstance(objects["baseline"], Baseline):
        raise TypeError(
            f"baseline is a {type(objects['baseline']).__name__}; give a name (black, blur, ...), an object of "
            "diffig.baselines, or images as baselines= of attribute"
        )
    return Recipe(tuple(overrides), objects, tuple(dict.fromkeys(names)))


def check_captum(options: Mapping[str, Any], method: str) -> None:
    """Raise where `attribute` was given a word of Captum's that means something else here."""
    for name, advice in CAPTUM.items():
        if name in options:
            raise ValueError(f"{method} takes no {name} in attribute; {advice}")


@functools.cache
def _keys(start: str) -> tuple[str, ...]:
    return tuple(compose("evaluate", [start]).method)


def _words(name: str, value: Any, known: Sequence[str]) -> list[str]:
    """Overrides as on a command line: a group's file, keys below a name, or one value."""
    group = Path(CONF_DIR, name).is_dir()
    if group and isinstance(value, str):
        if value not in options_of(name):
            raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(options_of(name))}")
        return [f"{name}={value}"]
    place = f"method.{name}" if name.split(".")[0] in known and not group else name
    if isinstance(value, Mapping):
        return [word for key, below in value.items() for word in _words(f"{place}.{key}", below, [])]
    return [f"{place}={_text(value)}"]


def _text(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bool | int | float)
