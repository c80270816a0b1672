"""What a program's own keys may be, and that every one of them is a key of some program."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from diffig.cli.values import KEYS, check_values
from diffig.config import compose

PROGRAMS = {name: compose(name) for name in ("evaluate", "explain", "train", "report")}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_a_programs_own(key: str) -> None:
    place, _, name = key.rpartition(".")
    nodes = [OmegaConf.select(cfg, place) if place else cfg for cfg in PROGRAMS.values()]
    assert any(node is not None and name in list(node) for node in nodes)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("limit", None, None), ("limit", 1e3, 1000), ("output", 7, "7"), ("methods", "ig", ["ig"]),
        ("methods", None, None), ("methods", ["ig", "gig"], ["ig", "gig"]), ("only_correct", False, False),
        ("image", 3, 3), ("image", "cat.png", "cat.png"), ("seed", 2**63 - 1, 2**63 - 1),
    ],
)  # fmt: skip
def test_what_is_taken(key: str, value: Any, read: Any) -> None:
    cfg = OmegaConf.create({key: value})
    check_values(cfg)
    assert cfg[key] == read
    assert type(cfg[key]) is type(OmegaConf.create({key: read})[key])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", 2**63, "seed=9223372036854775808 is larger than a number of 64 bits"),
        ("seed", None, "seed=null must be a whole number"),
        ("methods", ["ig", 1], "must be names of methods; null: the one of method=..."),
        ("formats", None, "formats=null must be some of md, csv, tex, html, pdf"),
        ("image", True, "image=True must be a file, a folder or the position of an image"),
        ("image", -1, "image=-1 must be a position among the test images, counted from 0"),
        ("output", "", "output='' must be a folder; null: that of the runs"),
        ("films", 1, "films=1 must be true or false"),
        ("credit", {"p": 2}, r"credit=\{'p': 2\} names no credit"),
    ],
)
def test_what_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_values(OmegaConf.create({key: value}))
    check_values(OmegaConf.create({key: value}), but=(key,))
