"""A path as a film in a notebook: where it goes, and how the credit builds up on the way."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from diffig.checks import check_at_least
from diffig.explain.film import Track, save_film
from diffig.explain.tracks import credit_tracks
from diffig.io import write_bytes
from diffig.notebook.explainer import Explainer


class Film:
    """A film that a notebook plays.

    Args:
        gif: the bytes of an animated GIF.
        tracks: what it shows, two for each method: images of the path, and pictures of the credit so far.
    """

    def __init__(self, gif: bytes, tracks: list[Track]) -> None:
        self.gif, self.tracks = gif, tracks

    def save(self, file: str | Path) -> Path:
        """Write the GIF and return where it is."""
        write_bytes(Path(file), self.gif)
        return Path(file)

    def _repr_html_(self) -> str:
        titles = ", ".join(track.title for track in self.tracks)
        return f'<img alt="film of {titles}" src="data:image/gif;base64,{base64.b64encode(self.gif).decode()}">'

    def __repr__(self) -> str:
        return f"Film({', '.join(track.title for track in self.tracks)}; {len(self.gif):,} bytes; save(file) writes it)"


def film(
    explain: Explainer | Iterable[Explainer] | Mapping[str, Explainer],
    image: Any,
    target: Any = None,
    *,
    frames: int = 25,
    seconds: float = 4.0,
) -> Film:
    """Return the film of one image's path from the baseline, with what its pieces have given the pixels so far.

    The curves are the score on the way, and the score at the baseline plus the sum of the credit: with a complete
    credit the two are one. Where a method takes several candidates the first is shown, before they are put together.

    Args:
        explain: a method that goes a path, or several, which may have names.
        image: one image of any kind that `attribute` takes.
        target: a class number or name; the predicted class otherwise.
        frames: points of the path that are shown, at least two; the credit is that of the `frames - 1` pieces between.
        seconds: how long it lasts before it starts again.

    Raises:
        ValueError: a method goes no path, or there are several images.
    """
    check_at_least(frames, 2, "frames", "the first is the baseline and the last the image")
    if isinstance(explain, Explainer):
        named = {explain.name: explain}
    else:
        named = dict(explain) if isinstance(explain, Mapping) else {each.name: each for each in explain}
    tracks = [track for name, each in named.items() for track in _tracks(name, each, image, target, frames)]
    if not tracks:
        raise ValueError("there is no method to show; give an explainer, or several")
    share = torch.linspace(0, 1, frames)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "film.gif"
        save_film(file, tracks, share, "share of the path", "from the baseline to the image", seconds)
        return Film(file.read_bytes(), tracks)


def _tracks(name: str, explain: Explainer, image: Any, target: Any, frames: int) -> tuple[Track, Track]:
    subject = explain.subject
    batch = subject.read(image).batch
    if len(batch) != 1:
        raise ValueError(f"image holds {len(batch)} images; a film shows one")
    with subject.lock:
        method = explain.method(batch)
        (part,) = subject.parts(subject.targets(target, batch))
        method.score = subject.score(method.score.objective, part.classifier)
        found = credit_tracks(method, batch, int(part.targets), name, frames)
    if found is None:
        raise ValueError(f"{explain.name} goes no path that a film could show; choose another method, such as ig")
    return found
