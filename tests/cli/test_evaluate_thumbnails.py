"""An evaluation keeps a thumbnail of every image: its own, also of a job that takes over another's rows, or none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffig.config import build, compose
from diffig.evaluation.fingerprint import fingerprint
from diffig.evaluation.thumbnails import read_thumbnails

Evaluate = Callable[..., int]


def test_every_image_has_its_own(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("method=ig", "hydra.run.dir=run", "pictures=2") == 0
    found = read_thumbnails(tmp_path / "run")
    assert found is not None
    rows = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    assert list(found.indices) == sorted(rows["image_index"].unique())
    data = build(compose("evaluate", ["dataset.size=8", "dirs.output=x", "dirs.cache=x"]).dataset)
    data.setup()
    images = {int(index): image for image, _, index in (data.test_set[i] for i in range(len(data.test_set)))}
    for place, index in enumerate(found.indices):
        shown = images[int(index)].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found.images[place] / 255, shown, atol=0.5 / 255 + 1e-6)
    assert len({part.tobytes() for part in found.maps}) == len(found.maps), "each map is one image's"
    assert json.loads((tmp_path / "run" / "classes.json").read_text()) == [str(digit) for digit in range(10)]


def test_thumbnails_are_no_part_of_what_rows_depend_on() -> None:
    same = ["dirs.output=x", "dirs.cache=x", "method=ig"]
    assert fingerprint(compose("evaluate", same)) == fingerprint(compose("evaluate", [*same, "thumbnails=0"]))


def test_a_job_that_takes_over_rows_takes_thumbnails_too(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("-m", "method=random", "guidance.absolute_mass=0.1,0.3", "hydra.sweep.dir=sweep") == 0
    first, second = tmp_path / "sweep" / "0", tmp_path / "sweep" / "1"
    assert (second / "taken_over.json").is_file()
    for name in ("thumbnails.safetensors", "classes.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_none_where_none_are_wanted(evaluate: Evaluate, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate("method=random", "hydra.run.dir=run") == 0
    assert read_thumbnails(tmp_path / "run") is not None
    assert evaluate("method=ig", "thumbnails=0", "hydra.run.dir=run") == 0, "another method in the same folder"
    assert read_thumbnails(tmp_path / "run") is None, "what the other method has left would be the wrong map"
    assert not list((tmp_path / "run" / "rows").glob("thumbnails-*"))
    assert evaluate("method=ig", "thumbnails=1000", "hydra.run.dir=no") == 1
    assert "thumbnails=1000 must lie in 8 to 96, in pixels; thumbnails=0 keeps none" in "".join(capfd.readouterr())
