"""Slips of the keyboard: a key or an option that is not there, answered in one line with the nearest that is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from diffig.config import CONF_DIR, compose, keys_of, options_of


def misspelt(program: str, words: Sequence[str]) -> str | None:
    """Return a line on the first of `words` whose option or key a program does not have, None where there is none such.

    A folder of configs that is the user's own may have any, so that Hydra judges them.

    Args:
        program: `evaluate`, `explain`, `train` or `report`.
        words: of its command line.
    """
    if any(re.match(r"-(?!m$|-multirun$)|hydra\.searchpath", word) for word in words):
        return None
    plain = [word for word in words if re.match(r"(?!hydra\.)[A-Za-z_][\w.]*=", word)]
    return next(filter(None, map(_unknown_option, plain)), None) or _unknown_key(program, plain)


def _unknown_option(word: str) -> str | None:
    """A line on a word that chooses what its group does not have, `method=igg`, in a sweep too."""
    group, _, value = word.partition("=")
    options = options_of(group) if re.fullmatch(r"\w+", group) else []
    for name in value.split(",") if options and re.fullmatch(r"[A-Za-z_]\w*(,[A-Za-z_]\w*)*", value) else ():
        if name not in (*options, "null"):
            near = difflib.get_close_matches(name, options, 3, 0.6)
            hint = f"did you mean {' or '.join(near)}" if near else f"choose one of {', '.join(options)}"
            return f"{word}: {group} has no {name}; {hint}; --info {group} says what each is"
    return None


def _unknown_key(program: str, words: Sequence[str]) -> str | None:
    """A line on a word whose key ends in a name that no file of configs has, with the keys that the program has."""
    from hydra.errors import HydraException

    files = [file.read_text() for file in Path(CONF_DIR).rglob("*.yaml")]
    known = {*re.findall(r"[\w-]+(?=\s*:)", " ".join(files)), *(file.parent.name for file in Path(CONF_DIR).rglob("*"))}
    word = next((word for word in words if _key(word).rpartition(".")[2] not in known), None)
    if word is None:  # as good as always, and a config less to put together
        return None
    try:
        cfg = compose(program, [word for word in words if re.fullmatch(r"\w+=\w+", word) and options_of(_key(word))])
    except HydraException:  # something else is wrong, and Hydra says it
        return None
    near = difflib.get_close_matches(_key(word), list(keys_of(cfg)), 3, 0.75)
    hint = f"did you mean {' or '.join(near)}?" if near else "--help names the keys used most, --cfg job all."
    return f"{word}: there is no key {_key(word)}; {hint} A new one has a plus before it, +{word}"


def _key(word: str) -> str:
    return word.partition("=")[0]
