"""What a user should know before he waits, or before he believes what he sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from diffig.config import CONF_DIR, options_of
from diffig.explain.inputs import in_colour
from diffig.explain.single_image import fallen, incomplete
from small_methods import small_method, write_latent_parts

Program = Callable[..., int]
SMALL = ("dataset.size=8", "classifier.width=8", "hydra.run.dir=run")
FILES = ("image=cat.jpg", "films=false", "method=ig")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["steps=abc"], "steps=abc must be a whole number"),
        (["steps=0", "method=ig"], "steps=0 must be a whole number of at least 1"),
        (["prior=file", "prior.path=nowhere.safetensors", "method=diffig_field"], "nowhere.safetensors"),
        (["metrics=nothing"], "nothing"),
        (["image=nowhere.jpg"], "no image at nowhere.jpg"),
        (["region=nowhere.png", "method=diffig_field"], "no image at nowhere.png"),
        (["attributions=nowhere.npz"], "no file at attributions=nowhere.npz"),
    ],
)
def test_a_wrong_key_is_told_before_a_network_is_trained(
    words: list[str], said: str, program: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, more in (("evaluate", ["limit=2"]), ("explain", ["image=3"])):
        if name == "explain" and words[0].startswith(("metrics", "attributions")):
            continue
        if name == "evaluate" and words[0].startswith(("image", "region")):
            continue
        assert program(name, *SMALL, *more, f"dirs.cache={tmp_path / 'cache'}", *words) != 0
        text = "".join(capfd.readouterr())
        assert said in text
        assert not (tmp_path / "cache").exists(), "a network has been trained before"


def test_every_method_says_that_steps_are_a_number(tmp_path: Path) -> None:
    write_latent_parts(tmp_path)
    for method in options_of("method"):
        if "${steps}" in (Path(CONF_DIR) / "method" / f"{method}.yaml").read_text():
            with pytest.raises(ValueError, match=r"\w+=abc must be a whole number of at least \d+: "):
                small_method(method, tmp_path, 1, "steps=abc")


def test_a_coloured_photograph_before_a_network_of_digits(
    program: Program, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), (200, 40, 40)).save(tmp_path / "cat.jpg")
    assert program("explain", *SMALL, *FILES, "steps=8", f"dirs.cache={cache}") == 0
    text = " ".join("".join(capfd.readouterr()).split())
    assert "cat.jpg is in colour, and small_cnn has learnt from digits alone, grey images of 8 x 8" in text
    Image.new("L", (40, 30), 120).convert("RGB").save(tmp_path / "cat.jpg")
    assert program("explain", *SMALL, *FILES, "steps=8", f"dirs.cache={cache}", "hydra.run.dir=again") == 0
    assert "is in colour" not in "".join(capfd.readouterr())


def test_what_is_in_colour(tmp_path: Path) -> None:
    for name, picture, coloured in (
        ("red.png", Image.new("RGB", (9, 9), (200, 40, 40)), True),
        ("grey.jpg", Image.new("L", (9, 9), 77).convert("RGB"), False),
        ("palette.gif", Image.new("RGB", (9, 9), (10, 200, 40)).quantize(4), True),
    ):
        picture.save(tmp_path / name)
        assert in_colour(tmp_path / name) == coloured, name
    assert not in_colour(tmp_path / "nowhere.png")


def test_a_map_that_does_not_add_up_says_so(program: Program, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("image=3", "films=false", "method=ig", "objective=logit", f"dirs.cache={cache}", "credit=riemann")
    assert program("explain", *SMALL, *words, "steps=1") == 0
    text = " ".join("".join(capfd.readouterr()).split())
    assert "ig: the map does not add up: the completeness gap" in text
    assert "take more steps=, or credit=agreeing" in text
    assert program("explain", *SMALL, *words, "steps=64", "hydra.run.dir=again") == 0
    assert "does not add up" not in "".join(capfd.readouterr())


def test_what_a_gap_means() -> None:
    assert incomplete(-1.58, 1.9) == (
        "the map does not add up: the completeness gap -1.58 is 83% of the score's change +1.9"
    )
    assert incomplete(0.1, 1.0) == ""
    assert incomplete(0.009, 0.001) == "", "nothing that anyone would see"
    assert "more than the score's change" in incomplete(0.5, 0.0)


def test_a_score_that_falls_along_the_path_says_so(
    program: Program, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("image=3", "films=false", "method=ig", "objective=logit", "steps=64", f"dirs.cache={cache}")
    found = set()
    for target in range(5):
        assert program("explain", *SMALL, *words, f"target={target}", f"hydra.run.dir=target{target}") == 0
        told = "lower at the image than at baseline=black" in " ".join("".join(capfd.readouterr()).split())
        summary = json.loads(Path(f"target{target}/summary.json").read_text())
        assert told == (summary["sum"] - summary["gap"] <= -0.01), summary
        found.add(told)
    assert found == {True, False}


def test_what_a_lower_score_means() -> None:
    said = fallen(-2.345, "logit", "nine", "black")
    assert "the logit of nine is 2.35 lower at the image than at baseline=black" in said
    assert "objective=margin" in said
    assert fallen(0.3, "logit", "nine", "black") == fallen(-0.001, "logit", "nine", "black") == ""
