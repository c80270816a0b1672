"""Where the numbers of a page come from: commit and versions, attribution grids, configurations, environments."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffig.report.runs import overrides_of, short_name

if TYPE_CHECKING:
    import pandas as pd


NAMED = ("diffig", "torch")


def provenance(rows: pd.DataFrame) -> str:
    """Return `40 images, 128 steps; diffig 0.1.0 (2d30800), torch 2.15.0`; what is not known is not said.

    Args:
        rows: of one comparison, with the columns `setting` and `run` (a folder).
    """
    counts = sorted(set(rows.groupby("setting")["image_index"].nunique().tolist()))
    said = [f"{_span(counts)} image{'' if counts[-1] == 1 else 's'}"]
    steps = sorted({float(value) for value in rows["steps"].dropna()})
    if steps:
        said.append(f"{_span(steps)} steps")
    versions = _versions(rows)
    return ", ".join(said) + (f"; {versions}" if versions else "")


def _span(values: list[Any]) -> str:
    if len(values) <= 3:
        return " or ".join(f"{value:,g}" for value in values)
    return f"{values[0]:,g} to {values[-1]:,g}"


def _versions(rows: pd.DataFrame) -> str:
    """Versions of the packages that are named, and of a checkout the commits, all of them where runs differ."""
    found: dict[str, dict[str, dict[str, None]]] = {name: {} for name in NAMED}
    for run in rows["run"].unique():
        try:
            told = json.loads((Path(run) / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        told = told if isinstance(told, dict) else {}
        packages = told.get("packages") or told
        packages = packages if isinstance(packages, dict) else {}
        for name in NAMED:
            if packages.get(name):
                commits = found[name].setdefault(str(packages[name]), {})
                if name == NAMED[0] and (commit := _commit(told.get("git"))):
                    commits[commit] = None
    said = []
    for name, versions in found.items():
        each = [f"{version} ({_few([*commits])})" if commits else version for version, commits in versions.items()]
        said += [f"{name} {' and '.join(each)}"] if each else []
    return ", ".join(said)


def _commit(git: Any) -> str:
    """Which state of a checkout it was, as version numbers change rarely."""
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return f"{str(git['commit'])[:7]}{'' if git.get('clean', True) else ' with changes'}"


def _few(commits: list[str]) -> str:
    return ", ".join(commits) if len(commits) <= 3 else f"{len(commits)} commits"


MOST_PICTURES = 12
MADE_RANDOM = ", classifier made random"


def pictures_of(folders: list[Path]) -> list[tuple[str, str, bool]]:
    """Return name, data address and whether it is wide, of each attribution grid; large ones are shrunk.

    A grid is called by what tells its run from the others.

    Where a run has randomised the classifier, that picture follows its grid.
    """
    pictures = []
    shown = [f for f in folders if (f / "attributions.png").exists()][:MOST_PICTURES]
    words = [overrides_of(folder).split() for folder in shown]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    for folder, own in zip(shown, words, strict=True):
        name = " ".join(word for word in own if word not in shared) or " ".join(own) or short_name(folder)
        pictures.append((name, *_address(folder / "attributions.png")))
        if (folder / "randomization.png").exists():
            pictures.append((name + MADE_RANDOM, *_address(folder / "randomization.png")))
    return pictures


def _address(file: Path) -> tuple[str, bool]:
    from PIL import Image

    data = file.read_bytes()
    width, height = Image.open(io.BytesIO(data)).size
    if len(data) > 400_000:
        data = _shrunk(data)
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", width > 1.3 * height


def _shrunk(data: bytes, width: int = 1600) -> bytes:
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((width, 10 * width))
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=88)
    return out.getvalue()


def distinct_texts(folders: list[Path], names: list[str]) -> list[tuple[str, str]]:
    """Return each different text among the first named file that every folder has, with the folders that share it."""
    shared: dict[str, list[str]] = {}
    for folder in folders:
        file = next((folder / name for name in names if (folder / name).exists()), None)
        if file is not None:
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            if file.suffix == ".json":
                with contextlib.suppress(json.JSONDecodeError):
                    text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
            shared.setdefault(text, []).append(short_name(folder))
    return [
        (f"{used[0]}" + (f" and {len(used) - 1} more" if len(used) > 1 else ""), text) for text, used in shared.items()
    ]
