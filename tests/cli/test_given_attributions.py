"""Somebody else's maps are judged from the command line by the judges of any method, and wrong files are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import TINY
from diffig.config import compose, from_config
from diffig.evaluation.preparation import prepare

Program = Callable[..., int]
RUN = ("evaluate", *TINY, "metrics=default", "limit=4", "only_correct=false")


@pytest.fixture
def maps(cache: Path) -> dict[str, torch.Tensor]:
    """Maps of IG, as another library would have made them: of every image of the test set, with its index."""
    cfg = compose("evaluate", [*TINY, f"dirs.cache={cache}", "dirs.output=none"])
    datamodule, classifier = prepare(cfg)
    images, labels, indices = zip(
        *(datamodule.test_set[place] for place in range(len(datamodule.test_set))), strict=True
    )
    method = from_config("ig", classifier, ["steps=4"])
    attributions = method.attribute(torch.stack(images), target=torch.tensor(labels))
    return {"attributions": attributions, "indices": torch.tensor(indices)}


def test_their_rows_are_those_of_the_method_that_made_them(
    program: Program, cache: Path, tmp_path: Path, maps: dict[str, torch.Tensor]
) -> None:
    backwards = {name: tensor.flip(0).contiguous() for name, tensor in maps.items()}
    save_file(backwards, tmp_path / "theirs.safetensors")
    np.savez(tmp_path / "grey.npz", attributions=maps["attributions"][:, 0], indices=maps["indices"])
    shared = (*RUN, f"dirs.cache={cache}", "hydra.sweep.dir=all")
    assert program(*shared, "method=ig", "hydra.run.dir=all/ig") == 0
    assert program(shared[0], "-m", *shared[1:], "attributions=theirs.safetensors,grey.npz") == 0
    own, *others = (pd.read_parquet(tmp_path / "all" / name / "rows.parquet") for name in ("ig", "0", "1"))
    asked = own["metric"].isin(["absolute_mass", "cancelled_mass"])  # of a path, which a map does not have
    for rows, name in zip(others, ("theirs", "grey"), strict=True):
        assert set(rows["method"]) == {name}
        both = own[~asked].merge(rows, on=["image_index", "metric"], suffixes=("", "_theirs"))
        assert len(both) == len(own[~asked])
        np.testing.assert_allclose(both["value"], both["value_theirs"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(both["gap"], both["gap_theirs"], atol=1e-5)
        assert rows[["seconds", "forward_images", "backward_images"]].isna().all().all(), "a cost that nobody told"
    assert program("report", "runs=all", "bootstrap.n=100") == 0
    page = (tmp_path / "all" / "report.html").read_text()
    assert all(name in page for name in ("theirs", "grey"))


def test_other_maps_in_the_same_file_are_not_taken_for_those_of_before(
    program: Program, cache: Path, tmp_path: Path, maps: dict[str, torch.Tensor]
) -> None:
    words = (*RUN, f"dirs.cache={cache}", "hydra.run.dir=run", "attributions=theirs.safetensors")
    save_file(maps, tmp_path / "theirs.safetensors")
    assert program(*words) == 0
    before = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    save_file({**maps, "attributions": -maps["attributions"]}, tmp_path / "theirs.safetensors")
    assert program(*words) == 0
    after = pd.read_parquet(tmp_path / "run" / "rows.parquet")
    assert not np.allclose(before["gap"], after["gap"])


def test_metrics_that_explain_again_are_left_out_and_said(
    program: Program, cache: Path, tmp_path: Path, maps: dict[str, torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    save_file(maps, tmp_path / "theirs.safetensors")
    words = (*RUN, f"dirs.cache={cache}", "hydra.run.dir=run", "attributions=theirs.safetensors")
    assert program(*words, "metrics=randomization") == 1
    assert "explain images again, and attributions='theirs' are only maps; choose other" in capfd.readouterr().out


ZEROS = np.zeros((4, 1, 8, 8), np.float32)
WRONG = {
    "nothing there": (None, "no file at attributions=maps.npz; expected .safetensors or .npz with 'attributions'"),
    "no key": ({"maps": ZEROS}, "holds maps; expected 'attributions', numbers (N, C, H, W)"),
    "no numbers": ({"attributions": np.array(["a"])}, "cannot be read"),
    "a vector": ({"attributions": np.zeros(4)}, "'attributions' in maps.npz are float64 (4,); expected"),
    "indices": ({"attributions": ZEROS, "indices": np.arange(3)}, "are int64 (3,) for 4 maps"),
    "broken indices": ({"attributions": ZEROS, "indices": np.arange(4) / 2}, "are float64 (4,) for 4 maps"),
    "twice": ({"attributions": ZEROS, "indices": np.zeros(4, int)}, "name an image more than once"),
    "too few": ({"attributions": ZEROS}, "of the 4 images, indices "),
    "size": ({"attributions": np.zeros((2000, 1, 7, 8))}, "have shape (4, 1, 7, 8), the images (4, 1, 8, 8)"),
    "NaN": ({"attributions": np.full((2000, 8, 8), np.nan)}, "hold NaN or infinity in 4 of the 4 maps, first"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_in_one_line(
    name: str, program: Program, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arrays, message = WRONG[name]
    if arrays is not None:
        np.savez(tmp_path / "maps.npz", **arrays)
    assert program(*RUN, f"dirs.cache={cache}", "hydra.run.dir=run", "attributions=maps.npz") == 1
    said = capfd.readouterr()
    lines = [line for line in said.out.splitlines() if "ERROR" in line]
    assert len(lines) == 1, said
    assert message in lines[0]
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("kind", ["npz", "safetensors", "pt"])
def test_a_damaged_file_and_one_of_another_kind(
    kind: str, program: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"maps.{kind}").write_bytes(b"no archive")
    assert program(*RUN, "hydra.run.dir=run", f"attributions=maps.{kind}") == 1
    expected = "is neither .safetensors nor .npz" if kind == "pt" else "cannot be read"
    assert expected in capfd.readouterr().out


def test_a_method_beside_them_is_refused(
    program: Program, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "maps.npz", attributions=np.zeros((2000, 8, 8)))
    assert program(*RUN, f"dirs.cache={cache}", "hydra.run.dir=run", "attributions=maps.npz", "method=ig") == 1
    assert "judged in place of a method; leave method=ig out" in capfd.readouterr().out
