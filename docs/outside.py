"""Links that leave the documentation, to files of the repository, become the names of these files."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Return the page with `[text](../FILE)` as text and the file's name."""
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)", named, markdown)


def named(link: re.Match[str]) -> str:
    """Return what stands for a link: the file's name, after the text where that is another."""
    text, file = link.groups()
    return f"`{file}`" if text == file else f"{text} (`{file}`)"
