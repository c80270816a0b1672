"""Two processes with half the batch each train what one process trains, on the same numbered samples."""

from __future__ import annotations

import json
import runpy
from functools import partial
from pathlib import Path

import pytest
import torch

from forked import Forked

# Everything in one interpreter: most of the time goes into imports.
SCRIPT = """
import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback

from diffig.config import compose
from diffig.training.run import train

torch.set_num_threads(1)


class Watch(Callback):
    def __init__(self, folder):
        self.folder, self.rows = folder, []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        noise = batch["noise"].flatten(1)[:, 0].tolist()
        row = {"loss": float(outputs["loss"]), "counter": batch["counter"].tolist(), "noise": noise}
        self.rows.append({**row, "time": batch["time"].tolist()})
        Path(self.folder, f"rank{trainer.global_rank}.json").write_text(json.dumps(self.rows))


if __name__ == "__main__":
    sys.modules["watching"] = sys.modules["__main__"]
    sys.argv, words = sys.argv[:1], sys.argv[1:]
    here = Path.cwd()
    common = [
        "dataset=digits", "dataset.size=8", "classifier.width=8", f"latent.folder={here}", f"dirs.cache={here}/cache",
        "trainer.accelerator=cpu", "+trainer.num_sanity_val_steps=0", "trainer.log_every_n_steps=1", "module.warmup=2",
        "callbacks.checkpoint.minutes=0",
    ]
    paths = ["latents.space.n_segments=4", "latents.samples=96", "latents.val_samples=16", "latents.images=20"]
    net = ["width=16", "depth=1", "heads=2"]
    tiny = ["module=autoencoder", "dataset.batch_size=400", "module.autoencoder.channels=[8,8]"]
    tiny += ["module.autoencoder.latent_channels=2", "trainer.max_steps=1", "+trainer.limit_val_batches=1"]
    train(compose("train", [*common, *tiny, f"dirs.output={here}/autoencoder"]))
    labels = ["module=path_labels", "module.count=24", "module.val_count=8", "trainer=cpu"]
    train(compose("train", [*[word for word in common if "warmup" not in word], *paths, *labels,
                            f"dirs.output={here}/labels"]))
    kinds = {
        "latent_diffusion": ["module.sample_steps=2", *(f"module.prior.{word}" for word in net)],
        "path_score": [f"module.{word}" for word in net],
    }
    many = ["trainer.devices=2", *words]
    for kind, options in kinds.items():
        for name, ranks in (("one", ["latents.batch_size=16"]), ("two", ["latents.batch_size=8", *many])):
            folder = here / kind / name
            folder.mkdir(parents=True)
            given = [f"module={kind}", *common, *paths, *options, *ranks, "trainer.max_steps=9"]
            given += [f"+callbacks.watch={{_target_: watching.Watch, folder: {folder}}}", f"dirs.output={folder}"]
            train(compose("train", given))
"""


def told(file: Path) -> list[dict]:
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process and two forked ones have left."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "script.py").write_text(SCRIPT)
    script = partial(runpy.run_path, "script.py", run_name="__main__")
    with Forked(script, folder, ["script.py", "trainer.strategy=ddp_fork"]) as running:
        assert running.wait(timeout=550) == 0, running.said
    return folder


KINDS = ("latent_diffusion", "path_score")


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_take_the_samples_of_one(folder: Path, kind: str) -> None:
    one = told(folder / kind / "one" / "rank0.json")
    ranks = [told(folder / kind / "two" / f"rank{rank}.json") for rank in (0, 1)]
    assert len(one) == len(ranks[0]) == len(ranks[1]) == 9
    for step, row in enumerate(one):
        assert row["counter"] == list(range(16 * step, 16 * step + 16))
        pair = [rank[step] for rank in ranks]
        assert [rank["counter"] for rank in pair] == [row["counter"][::2], row["counter"][1::2]]
        for name in ("noise", "time"):
            assert [rank[name] for rank in pair] == [row[name][::2], row[name][1::2]]
    drawn = [number for rank in ranks for row in rank for number in row["noise"]]
    assert len(set(drawn)) == 2 * 8 * 9, "no noise is drawn twice, on whatever rank"


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_learns(folder: Path, kind: str) -> None:
    one = [row["loss"] for row in told(folder / kind / "one" / "rank0.json")]
    ranks = [[row["loss"] for row in told(folder / kind / "two" / f"rank{rank}.json")] for rank in (0, 1)]
    mean = torch.tensor(ranks, dtype=torch.float64).mean(0)
    torch.testing.assert_close(mean, torch.tensor(one, dtype=torch.float64), rtol=1e-4, atol=1e-5)
    assert max(one) > 1.0005 * min(one), "it learns"
    left, right = (
        torch.load(folder / kind / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("one", "two")
    )
    assert left["global_step"] == right["global_step"] == 9
    for key, value in left["current_model_state"].items():
        torch.testing.assert_close(right["current_model_state"][key], value, rtol=1e-3, atol=1e-4)


def test_what_forked_processes_export_is_whole(folder: Path) -> None:
    """The process that exports has not trained itself: it knows labels and steps all the same."""
    from diffig.method.guidance.learned import PathScore
    from diffig.method.latent.prior import LatentPrior

    one, two = (PathScore.load(folder / "path_score" / name / "path_score.safetensors") for name in ("one", "two"))
    assert (two.mean, two.std, two.space, two.training_metadata) == (
        one.mean,
        one.std,
        one.space,
        one.training_metadata,
    )
    assert two.training_metadata["steps"] == 9
    prior = LatentPrior.load(folder / "latent_diffusion" / "two" / "prior.safetensors")
    assert prior.training_metadata["steps"] == 9
    # What is exported is the average, which the checkpoint holds as its weights.
    content = torch.load(folder / "latent_diffusion" / "two" / "checkpoints" / "last.ckpt", weights_only=True)
    for key, value in prior.denoiser.state_dict().items():
        assert torch.equal(content["state_dict"][f"prior.denoiser.{key}"], value), key
