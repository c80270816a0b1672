"""Which layout a file has: older ones are read, a newer one is refused in one line that says what to do.

A file that says nothing is of version 1, as all were before files said it. Whoever changes what a file means counts its
version up by one and goes on reading those before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffig.version import __version__

KEY = "format_version"


class NewerFormat(ValueError):
    """A file is of a later diffig; it must be neither guessed at nor written over."""


def check_version(about: Mapping[str, Any], place: str | Path, what: str, reads: int) -> int:
    """Return the version that a file's description states.

    Args:
        about: the description.
        place: of the file, for messages.
        what: it holds, for messages, with its article.
        reads: the latest version that is read here.

    Raises:
        NewerFormat: the file is of a later version.
        ValueError: what it states is no version.
    """
    version = about.get(KEY, 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{place} states {KEY}={version!r}, which is none; write it again")
    if version > reads:
        raise NewerFormat(
            f"{place} is {what} of format version {version}, and diffig {__version__} reads up to {reads}; upgrade "
            "diffig to read it"
        )
    return version
