"""Every method has its card, with what configs and classes say today and a picture that is small and of its own."""

from __future__ import annotations

import hashlib
import re

import pytest

import diffig
from diffig.config import options_of
from project.method_cards import CARDS, PICTURES, class_of, page, words

METHODS = options_of("method")
AGAIN = "docs/cards.md is out of date: run `python tests/project/method_cards.py`"
CARDS_OF = {method: said for cards in words().values() for method, said in cards.items()}


def test_the_page_is_what_the_code_says() -> None:
    assert CARDS.read_text() == page(), AGAIN


def test_every_method_has_one_card() -> None:
    assert sorted(CARDS_OF) == sorted(METHODS)
    assert sum(len(cards) for cards in words().values()) == len(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_card_says_all_of_it(method: str) -> None:
    said = CARDS_OF[method]
    assert set(said) == {"does", "formula", "source", "when"}
    assert len(re.findall(r"\.(?: |$)", said["does"])) == 2, "two sentences"
    assert getattr(diffig, class_of(method).__name__) is class_of(method), "the name to call it by"


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_is_small(method: str) -> None:
    from PIL import Image

    file = PICTURES / f"{method}.png"
    assert file.stat().st_size < 15_000
    picture = Image.open(file).convert("RGB")
    width, height = picture.size
    assert width > 2 * height
    colours = picture.crop((height, 0, width, height)).getcolors(256)
    assert method == "constant" or len(colours) > 8, "a map is there"


def test_pictures_are_different_and_few_bytes_together() -> None:
    files = sorted(PICTURES.glob("*.png"))
    assert [file.stem for file in files] == sorted(METHODS), "no other pictures lie there"
    assert sum(file.stat().st_size for file in files) < 600_000
    seen = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert len(set(seen)) == len(seen)
