"""A file is one idea: not so long that it holds two, and not so short that it holds none without saying why."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "diffig"
LONGEST, SHORTEST = 250, 25
# What is short for a reason.
SHORT = {
    "attribution/gradient_x_input.py": "a file for each method",
    "credit/idgi.py": "a file for each credit",
    "tracking/termination.py": "a callback of its own, for predictions and trainings",
    "version.py": "read without importing anything",
}


def lengths() -> dict[str, int]:
    files = {file.relative_to(PACKAGE).as_posix(): file for file in PACKAGE.rglob("*.py")}
    return {place: len(file.read_text().splitlines()) for place, file in files.items()}


def test_no_file_is_long() -> None:
    assert not {place: lines for place, lines in lengths().items() if lines > LONGEST}


def test_a_short_file_has_its_reason() -> None:
    short = {place for place, lines in lengths().items() if lines < SHORTEST and not place.endswith("__init__.py")}
    assert short == set(SHORT)
