"""A function of the user's own gets what was set for it, and the defaults of no other classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import diffig
from diffig.config import compose
from diffig.training.own_classifier import brings_weights, classifier_of, own_options

MINE = """
import torch
from diffig import Classifier

def plain(depth=1):
    torch.manual_seed(depth)
    return Classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10)), [0.5] * 3, [0.5] * 3, "mine")

def anything(**options):
    assert not options, options
    return plain()

def of_data(datamodule):
    return Classifier(torch.nn.Flatten(), [0.5], [0.5], datamodule.name)

def of_digits():
    torch.manual_seed(0)
    return Classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), [0.5], [0.5], "loaded")

def bare(**options):
    return torch.nn.Flatten()
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "own_networks", raising=False)


class Data:
    name = "of this name"


def built(*words: str, data: object = None) -> diffig.Classifier:
    return classifier_of(compose("evaluate", list(words)), data)  # type: ignore[arg-type]


def test_defaults_of_another_classifier_are_left_behind() -> None:
    assert built("classifier._target_=own_networks.plain", data=Data()).name == "mine"
    assert built("classifier._target_=own_networks.anything", data=Data()).name == "mine"
    assert built("classifier._target_=own_networks.of_data", data=Data()).name == "of this name"
    deep = built("classifier._target_=own_networks.plain", "+classifier.depth=2")
    images = torch.rand(1, 3, 2, 2)
    assert not torch.equal(deep(images), built("classifier._target_=own_networks.plain")(images))
    set_by_hand = ["classifier._target_=own_networks.bare", "classifier.width=5"]
    assert own_options(compose("evaluate", set_by_hand).classifier) == {
        "_target_": "own_networks.bare",
        "width": 5,
    }


def test_our_own_keep_all_of_theirs() -> None:
    for name in ("small_cnn", "cifar_resnet", "torchvision"):
        node = compose("evaluate", [f"classifier={name}"]).classifier
        assert own_options(node) == dict(node)


def test_what_is_no_classifier_is_told() -> None:
    with pytest.raises(
        TypeError, match=r"own_networks.bare returns a Flatten, .* returns diffig.Classifier\(net, mean"
    ):
        built("classifier._target_=own_networks.bare")


def test_a_photograph_is_explained_by_it(
    program: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), (200, 40, 40)).save(tmp_path / "cat.jpg")
    words = ("image=cat.jpg", "size=8", "method=ig", "steps=4", "films=false", "hydra.run.dir=run")
    assert program("explain", *words, "classifier._target_=own_networks.plain") == 0, "".join(capfd.readouterr())
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["classifier"] == "mine"


def test_a_dataset_is_explained_by_what_it_has_loaded(program: Callable[..., int]) -> None:
    """No checkpoint tells that weights were loaded, with timm's `pretrained` say; those of our own are not believed."""
    words = ("dataset.size=8", "limit=2", "only_correct=false", "metrics=fast", "method=ig", "steps=4", "trainer=cpu")
    assert program("evaluate", *words, "classifier._target_=own_networks.of_digits", "hydra.run.dir=run") == 0
    rows = pd.read_parquet("run/rows.parquet")
    assert set(rows["classifier"]) == {"loaded"}
    ours = compose("evaluate", ["classifier=mnist_vit"]).classifier
    assert not brings_weights(ours, built("classifier=mnist_vit"))


def test_labels_of_paths_are_made_with_what_it_has_loaded(program: Callable[..., int]) -> None:
    words = ("module=path_labels", "latents=fields", "dataset.size=8", "trainer=cpu", "module.steps=2")
    few = ("module.count=2", "module.val_count=2", "module.shard_size=2", "hydra.run.dir=run")
    assert program("train", *words, *few, "classifier._target_=own_networks.of_digits") == 0
    assert json.loads(Path("run/labels/manifest.json").read_text())["count"] == {"train": 2, "val": 2}
