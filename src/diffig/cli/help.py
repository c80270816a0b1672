"""What a program answers at once: its version, a page of help, and what the options of a group are.

The page is the text in `conf/hydra/help/<program>.yaml`, in which `${groups:a,b}` stands for the options of groups.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from diffig.cli.extras import missing
from diffig.cli.slips import misspelt
from diffig.cli.words import refused
from diffig.config import CONF_DIR, descriptions_of, options_of
from diffig.renamed import current_words, show_old_names
from diffig.version import __version__

WIDTH, INDENT = 100, 20
HYDRAS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra itself has information on."""


def answers(program: Callable[[], Any]) -> Callable[[], Any]:
    """Return the program, which answers `--version` and `--info GROUP` by itself and has the groups in its help.

    Old names of keys are translated first, before Hydra sees them, and what is not installed, or of a wrong kind, is
    said.
    """

    name = Path(inspect.unwrap(program).__code__.co_filename).stem

    @functools.wraps(program)
    def answered() -> Any:
        show_old_names()
        sys.argv[1:] = current_words(sys.argv[1:])
        words = [part for word in sys.argv[1:] for part in word.split("=", 1 if word.startswith("--info") else 0)]
        if "--version" in words:
            _say(f"diffig {__version__}")
            return None
        asked = words[words.index("--info") + 1 :][:1] if "--info" in words else []
        if asked and options_of(asked[0]):
            _say(described(asked[0]))
            return None
        if asked and asked[0] not in HYDRAS:
            groups = ", ".join(sorted(folder.name for folder in Path(CONF_DIR).iterdir() if options_of(folder.name)))
            print(f"--info {asked[0]}: no group of options; choose one of {groups}", file=sys.stderr)
            raise SystemExit(2)
        given = sys.argv[1:]
        if (wrong := missing(given) or refused(given) or misspelt(name, given)) is not None:
            print(wrong, file=sys.stderr)
            raise SystemExit(2)
        OmegaConf.register_new_resolver("groups", lambda *names: "\n".join(map(listed, names)), replace=True)
        return program()

    return answered


def _say(text: str) -> None:
    """Print to a reader who may have seen enough, such as `| head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the interpreter flushes at its end


def listed(group: str) -> str:
    """Return a group and its options, as lines for a terminal."""
    return _lines(group, " ".join(options_of(group)))


def described(group: str) -> str:
    """Return the options of a group with what each is, as lines for a terminal."""
    return "\n".join(_lines(option, sentence) for option, sentence in descriptions_of(group).items())


def _lines(title: str, text: str) -> str:
    start = f"{title:<{INDENT}}" if len(title) < INDENT else f"{title}  "
    return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * INDENT, break_long_words=False)
