"""What some words of the command line need that a plain installation has not."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

PLUGINS = {
    "hydra/launcher=local": ("slurm", "hydra_submitit_launcher"),
    "hydra/launcher=slurm": ("slurm", "hydra_submitit_launcher"),
    "hydra/sweeper=search": ("search", "hydra_optuna_sweeper"),
}


def missing(words: Sequence[str]) -> str | None:
    """Return a line that says what to install for the first of `words` whose plugin is not there, None if all are.

    Hydra itself says it with a trace, or by a config that cannot be found.
    """
    for word in words:
        extra, plugin = PLUGINS.get(word, ("", ""))
        if plugin and not _installed(f"hydra_plugins.{plugin}"):
            return f"{word} needs what is not installed: pip install 'diffig[{extra}]'"
    return None


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the namespace of plugins is there
        return False
