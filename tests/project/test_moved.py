"""Old names of modules: they give the module itself, warn, and are refused once nothing lies behind them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import diffig
from diffig.config import build
from diffig.moved import MOVED, UNTIL, place_of

PACKAGE = Path(diffig.__file__).parent


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_module_itself_and_warns(old: str) -> None:
    sys.modules.pop(f"diffig.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"diffig.{MOVED[old]} now; .* diffig {UNTIL}"):
        found = import_module(f"diffig.{old}")
    assert found is import_module(f"diffig.{MOVED[old]}")
    assert found.__name__ == found.__spec__.name == f"diffig.{MOVED[old]}"


@pytest.mark.parametrize("old", MOVED)
def test_nothing_lies_where_the_old_name_points(old: str) -> None:
    place = PACKAGE / old.replace(".", "/")
    assert not place.with_suffix(".py").exists()
    assert not place.is_dir()


def test_what_lies_inside_a_package_has_moved_with_it() -> None:
    assert place_of("diffig.evaluation.report.figures.cost") == "diffig.report.figures.cost"
    assert place_of("diffig.evaluation.rows") is None
    with pytest.raises(ModuleNotFoundError, match=r"diffig\.evaluation\.report\.nothing"):
        import_module("diffig.evaluation.report.nothing")


def test_the_old_room_of_guidance_offers_what_it_did() -> None:
    script = (
        "import warnings; warnings.simplefilter('error', DeprecationWarning)\n"
        "import torch, diffig.method\n"
        "try:\n    import diffig.guidance\n"
        "except DeprecationWarning as warning:\n    print(warning)\n"
        "warnings.simplefilter('ignore')\n"
        "from diffig.guidance import FieldPath, Guidance\n"
        "from diffig.guidance.guidance import Guidance as same\n"
        "import diffig.method.guidance\n"
        "print(same is Guidance is diffig.method.Guidance, diffig.method.guidance.__name__)\n"
    )
    call = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    told, same = call.stdout.splitlines()
    assert told.startswith("diffig.guidance is diffig.method now")
    assert same == "True diffig.method.guidance"


def test_a_config_of_before_the_move_still_builds() -> None:
    node = {"_target_": "diffig.guidance.Guidance", "absolute_mass": 0.2}
    assert build(node).strengths["absolute_mass"] == 0.2
    latent = build({"_target_": "diffig.diffusion.latent_prior.LatentPrior.new", "_partial_": True})
    assert latent.func.__self__ is diffig.LatentPrior
