"""Values of the wrong kind are told by the key that was typed; what fits, or is not for this check to judge, passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from omegaconf import OmegaConf

from diffig import arguments
from diffig.arguments import check_arguments

if TYPE_CHECKING:
    from torch import Tensor


class Base:
    def __init__(self, *, inherited: int = 0) -> None: ...


class Freer(Base):
    def __init__(self, inherited=None) -> None:  # type: ignore[no-untyped-def]
        ...


class Thing(Base):
    def __init__(
        self,
        count: int = 1,
        share: float | None = None,
        place: str | Path = "",
        sizes: list[int] | None = None,
        mode: Literal["a", "b"] = "a",
        inner: Base | None = None,
        unknown: Tensor | None = None,
        anything: Any = None,
        **more: int,
    ) -> None: ...


@pytest.fixture(autouse=True)
def _this_file_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "TRUSTED", (__name__.partition(".")[0],))


def test_what_strangers_declare_is_not_held_against_them(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"count": None, "sizes": "abc"}
    with pytest.raises(ValueError, match=r"part\.count=null"):
        check_arguments(thing(**values))
    monkeypatch.setattr(arguments, "TRUSTED", ("diffig",))
    check_arguments(thing(**values))


def test_an_argument_taken_over_is_the_taker_s() -> None:
    check_arguments(OmegaConf.create({"_target_": f"{__name__}.Freer", "inherited": "abc"}))


def thing(**values: Any) -> Any:
    return OmegaConf.create({"top": 4, "part": {"_target_": f"{__name__}.Thing", **values}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "abc"}, "part.count=abc must be a whole number"),
        ({"count": 1.5}, "part.count=1.5 must be a whole number"),
        ({"count": None}, "part.count=null must be a whole number"),
        ({"count": True}, "part.count=True must be a whole number"),
        ({"count": "${part.place}", "place": "here"}, "part.place=here must be a whole number"),
        ({"share": "half"}, "part.share=half must be a number or null"),
        ({"place": 3}, "part.place=3 must be text or a path"),
        ({"sizes": 3}, "part.sizes=3 must be a list, each a whole number or null"),
        ({"sizes": [1, "b"]}, "must be a list, each a whole number or null"),
        ({"mode": 3}, "part.mode=3 must be one of a, b"),
        ({"inner": "abc"}, "part.inner=abc must be an object, a config with _target_ or null"),
        ({"inherited": "abc"}, "part.inherited=abc must be a whole number"),
        (
            {"inner": {"_target_": f"{__name__}.Base", "inherited": []}},
            r"part.inner.inherited=\[\] must be a whole number",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_arguments(thing(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"count": 3.0, "share": 1, "place": "here", "sizes": [1, 2], "mode": "c", "inner": None},
        {"count": "${top}"},
        {"count": "${nowhere}"},
        {"count": "???"},
        {"unknown": 3, "anything": "abc", "stranger": "abc"},
        {"inner": {"_target_": f"{__name__}.Base", "inherited": 2}},
        {"_target_": "no.such.thing", "count": "abc"},
    ],
    ids=str,
)
def test_what_fits_or_is_for_others_to_judge(values: dict[str, Any]) -> None:
    check_arguments(thing(**values))
    check_arguments(None)
