"""What diffig writes states its version: old files without one are read, newer ones are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from safetensors import safe_open
from safetensors.torch import save_file

from diffig import __version__
from diffig.classifiers import load_weights
from diffig.classifiers.checkpoint import save_weights
from diffig.diffusion.denoisers.unet import FieldUNet
from diffig.evaluation.duplicate_run import reuse_rows
from diffig.evaluation.rows import COLUMNS, RowStore, read_table
from diffig.generative import Autoencoder
from diffig.io import NewerFormat, check_version
from diffig.method.field.prior import FieldPrior
from diffig.method.guidance.label_manifest import read_manifest, write_manifest
from diffig.method.guidance.label_store import COUNTED, LabelStore, LabelTable
from diffig.report.reading import read_curves, read_rows
from diffig.training.checkpoints import Checkpoints


def newer(place: str, what: str, version: int = 2) -> str:
    """The line that a file of the next version gets."""
    return (
        rf"^\S*{place} is {what} of format version {version}, and diffig {__version__} reads up to {version - 1}; "
        r"upgrade diffig to read it$"
    )


def described(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        about: dict[str, Any] = json.loads((opened.metadata() or {})["diffig"])
    return about


def restate(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write a safetensors file again with another description."""
    about = described(file)
    change(about)
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    save_file(tensors, file, {"diffig": json.dumps(about)})


def as_newer(about: dict[str, Any]) -> None:
    about["format_version"] += 1


def as_old(about: dict[str, Any]) -> None:
    del about["format_version"]


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", True, None])
def test_what_is_no_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match=r"^file states format_version=.* which is none; write it again$"):
        check_version({"format_version": version}, "file", "a prior", 1)


def test_earlier_versions_are_read() -> None:
    assert [check_version({"format_version": n}, "file", "a prior", 3) for n in (1, 2, 3)] == [1, 2, 3]
    assert check_version({}, "file", "a prior", 3) == 1


def test_priors(tmp_path: Path) -> None:
    prior, file = FieldPrior(FieldUNet(4, (4, 4), (8, 8))), tmp_path / "prior.safetensors"
    prior.save(file)
    assert described(file)["format_version"] == 1
    old = tmp_path / "old.safetensors"
    old.write_bytes(file.read_bytes())
    restate(old, as_old)
    for left, right in zip(FieldPrior.load(old).parameters(), prior.parameters(), strict=True):
        assert torch.equal(left, right)
    restate(file, as_newer)
    with pytest.raises(NewerFormat, match=newer("prior.safetensors", "a prior")):
        FieldPrior.load(file)


def test_weights_of_classifiers(tmp_path: Path) -> None:
    net, file = torch.nn.Linear(3, 2), tmp_path / "weights.safetensors"
    save_weights(net, file)
    assert described(file)["format_version"] == 1
    save_file(net.state_dict(), tmp_path / "old.safetensors")
    for name in ("weights", "old"):
        again = load_weights(torch.nn.Linear(3, 2), tmp_path / f"{name}.safetensors")
        assert torch.equal(again.weight, net.weight)
    restate(file, as_newer)
    with pytest.raises(NewerFormat, match=newer("weights.safetensors", "a classifier's weights")):
        load_weights(net, file)


def test_weights_of_others_may_describe_themselves(tmp_path: Path) -> None:
    net, file = torch.nn.Linear(3, 2), tmp_path / "weights.safetensors"
    save_file(net.state_dict(), file, {"format": "pt", "format_version": "9"})
    assert torch.equal(load_weights(torch.nn.Linear(3, 2), file).weight, net.weight)


def test_folders_of_networks(tmp_path: Path) -> None:
    autoencoder = Autoencoder.small(1, latent_channels=2, channels=(16, 16))
    autoencoder.save(tmp_path)
    file = tmp_path / "diffig.json"
    about = json.loads(file.read_text())
    assert about.pop("format_version") == 1
    file.write_text(json.dumps(about))
    assert Autoencoder.load(tmp_path).image_channels == 1
    file.write_text(json.dumps({"format_version": 2, **about}))
    with pytest.raises(NewerFormat, match=newer("diffig.json", "the description of a network")):
        Autoencoder.load(tmp_path)


def test_checkpoints_of_trainings(tmp_path: Path) -> None:
    def train(steps: int, checkpoint: Path | None = None) -> None:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        keeper = Checkpoints(tmp_path, monitor=None)
        trainer = Trainer(max_steps=steps, callbacks=[keeper], limit_val_batches=0, **quiet)
        trainer.fit(BoringModel(), ckpt_path=checkpoint, weights_only=True)
        assert trainer.global_step == steps

    train(2)
    last = tmp_path / "last.ckpt"
    content = torch.load(last, weights_only=True)
    assert content.pop("diffig") == {"format_version": 1}
    torch.save(content, tmp_path / "old.ckpt")
    torch.save({**content, "diffig": {"format_version": 2}}, tmp_path / "newer.ckpt")
    train(3, tmp_path / "old.ckpt")
    with pytest.raises(NewerFormat, match=newer("newer.ckpt", "a training's checkpoint")):
        train(4, tmp_path / "newer.ckpt")


def row(index: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("label", "prediction", "n_paths", "steps", "seed", "seconds", "gap", "value"), 0.5)
    words = {**dict.fromkeys(COLUMNS, "a"), "variant": "", "status": "ok"}
    return {**words, **numbers, "forward_images": 1, "backward_images": 1, "image_index": index}


def rewrite(file: Path, attrs: dict[str, Any]) -> None:
    table = pd.read_parquet(file)
    table.attrs = attrs
    table.to_parquet(file, index=False)


def test_rows_and_curves(tmp_path: Path) -> None:
    store = RowStore(tmp_path, "mark")
    store.prepare()
    store.write("rows", [row(0), row(1)])
    curve = {"image_index": 0, "method": "a", "curve": "c", "x": 0.0, "y": 1.0}
    store.write("curves", [curve, {**curve, "image_index": 1}])
    merged = store.merge({0, 1})
    (part,) = (tmp_path / "rows").glob("rows-*.parquet")
    rows, curves = tmp_path / "rows.parquet", tmp_path / "curves.parquet"
    for file in (part, rows, curves):
        table = pd.read_parquet(file)
        assert table.attrs == {"format_version": 1}
        assert "format_version" not in table.columns
    pd.testing.assert_frame_equal(read_table(rows), merged)
    assert read_table(rows).attrs == {}

    rewrite(rows, {})
    pd.testing.assert_frame_equal(read_table(rows), merged)
    assert len(read_rows([rows])[0]) == 2

    rewrite(curves, {"format_version": 2})
    with pytest.raises(NewerFormat, match=newer("curves.parquet", "a table of results")):
        read_curves([rows], read_rows([rows])[0])
    rewrite(rows, {"format_version": 2})
    with pytest.raises(NewerFormat, match=newer("rows.parquet", "a table of results")):
        read_rows([rows])
    (tmp_path / "twin").mkdir()
    with pytest.raises(NewerFormat):
        reuse_rows(tmp_path, tmp_path / "twin")
    rewrite(part, {"format_version": 2})
    with pytest.raises(NewerFormat, match=newer(r"rows-0-1-0.parquet", "a table of results")):
        store.done()
    assert part.is_file()


def test_labels(tmp_path: Path) -> None:
    def store() -> LabelStore:
        return LabelStore(tmp_path, {"steps": 4}, {"train": 2, "val": 1}, shard_size=2)

    store().open()
    for split, count in (("train", 2), ("val", 1)):
        k = torch.arange(count)
        store().write(split, 0, LabelTable(k, k, k, k / 2, k / 3), dict.fromkeys(COUNTED, 0))
    write_manifest(store(), {})
    settings, manifest, shard = tmp_path / "settings.json", tmp_path / "manifest.json", store().file("train", 0)
    assert described(shard)["format_version"] == 1
    abouts = {file: json.loads(file.read_text()) for file in (settings, manifest)}
    assert [about.pop("format_version") for about in abouts.values()] == [1, 1]

    for file, about in abouts.items():
        file.write_text(json.dumps(about))
    now = shard.read_bytes()
    restate(shard, as_old)
    store().open()
    assert store().missing() == []
    assert read_manifest(tmp_path, {"steps": 4})["count"] == {"train": 2, "val": 1}

    shard.write_bytes(now)
    restate(shard, as_newer)
    written = shard.read_bytes()
    with pytest.raises(NewerFormat, match=newer("train-00000.safetensors", "a file of labels of paths")):
        store().missing()
    assert shard.read_bytes() == written, "what a later diffig has written is not made again"
    for file, read in ((settings, store().open), (manifest, lambda: read_manifest(tmp_path))):
        file.write_text(json.dumps({"format_version": 2, **abouts[file]}))
        with pytest.raises(NewerFormat, match=newer(file.name, "a file of labels of paths")):
            read()
