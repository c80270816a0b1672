"""A training that dies in the middle of an epoch and is started again ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import csv
import os
import signal

import pytest
import torch
from lightning.pytorch import Callback

import forked
from diffig.config import compose
from diffig.training.checkpoints import Checkpoints
from diffig.training.ema import EMA
from diffig.training.run import train

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"
)
SEEN: list[tuple[int, float]] = []


class Losses(Callback):
    """Notes the loss of every batch."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        SEEN.append((trainer.current_epoch * 10_000 + batch_idx, float(outputs["loss"])))


class Crash(Callback):
    """Dies after so many batches of this process: before the batch's checkpoint is written, or after it."""

    def __init__(self, batches, before):
        self.batches, self.before, self.done = batches, before, 0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.done += 1
        if self.before and self.done == self.batches:
            raise KeyboardInterrupt

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if not self.before and self.done == self.batches:
            raise KeyboardInterrupt


COMMON = (
    "trainer=cpu", "trainer.log_every_n_steps=1", "trainer.max_steps=10", "+trainer.num_sanity_val_steps=0",
    "+trainer.limit_val_batches=1", "callbacks.checkpoint.minutes=0", "callbacks.ema.decay=0.9",
    "+callbacks.losses={_target_: test_resume_training.Losses}",
)  # fmt: skip
DIGITS = ("dataset=digits", "dataset.size=8", "classifier.width=8")
NET = ("module.width=16", "module.depth=1", "module.heads=2")
# six batches in an epoch
FIELDS = (
    "module=path_diffusion", "fields.samples=48", "fields.batch_size=8", "fields.val_samples=8", "fields.grid=[4,4]",
    "fields.n_segments=4", "fields.cell_sizes=[1,2]", "module.prior.denoiser.channels=[16,16]", "module.warmup=2",
    "module.sample_steps=2",
)  # fmt: skip
LATENTS = (*DIGITS, "latents.space.n_segments=4", "latents.samples=48", "latents.batch_size=8", "latents.val_samples=8",
           "latents.images=20")  # fmt: skip
KINDS = {
    "path_diffusion": FIELDS,
    "latent_diffusion": (
        "module=latent_diffusion", *LATENTS, "module.warmup=2", "module.sample_steps=2",
        *(word.replace("module.", "module.prior.") for word in NET),
    ),
    "path_score": ("module=path_score", *LATENTS, *NET, "module.warmup=2"),
    "autoencoder": (
        "module=autoencoder", *DIGITS, "dataset.batch_size=200", "module.autoencoder.channels=[8,8]", "module.warmup=2",
        "module.autoencoder.latent_channels=2",
    ),
    "image_diffusion": (
        "module=image_diffusion", *DIGITS, "dataset.batch_size=200", "module.diffusion.channels=[8,8]",
        "module.warmup=2", "module.sample_steps=2",
    ),
    "classifier": ("module=classifier", *DIGITS, "dataset.batch_size=200"),
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with what latent DiffIG's trainings stand on: an autoencoder and labels."""
    folder = tmp_path_factory.mktemp("latent")
    words = [*COMMON, f"latent.folder={folder}", f"dirs.cache={folder / 'cache'}"]
    train(compose("train", [*words, *KINDS["autoencoder"], "trainer.max_steps=2", f"dirs.output={folder}/autoencoder"]))
    labels = ("module=path_labels", "module.count=24", "module.val_count=8", "module.shard_size=12")
    train(compose("train", [*words, *LATENTS, *labels, f"dirs.output={folder / 'labels'}"]))
    return folder


def run(kind, parts, output, *words):
    """Losses by batch."""
    SEEN.clear()
    given = [*COMMON, *KINDS[kind], f"latent.folder={parts}", f"dirs.output={output}"]
    train(compose("train", [*given, *words]))
    return dict(SEEN)


def same(left, right):
    """Whether two nests of dictionaries and lists hold the same numbers, bit for bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def state(output):
    """Averaged weights, weights, optimiser and its schedule of the last checkpoint."""
    content = torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)
    names = ("global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "averaging_state")
    return {name: content[name] for name in names if name in content}


def exported(output):
    files = [file for file in output.rglob("*.safetensors") if file.name != "predictions.safetensors"]
    return {str(file.relative_to(output)): file.read_bytes() for file in files}


def curve(output, column):
    with (output / "log" / "metrics.csv").open(newline="") as text:
        return {int(row["step"]): row[column] for row in csv.DictReader(text) if row.get(column)}


def compare(whole, broken, losses=None, parts_of_losses=()):
    left, right = state(whole), state(broken)
    assert left["global_step"] == 10
    for name in left:
        assert same(left[name], right[name]), name
    assert exported(whole) == exported(broken) != {}
    # A classifier's training loss is a mean over the epoch, of which a resumed process has seen the rest only.
    for column in ("val/loss",) if "classifier.safetensors" in exported(whole) else ("train/loss", "val/loss"):
        assert curve(whole, column) == curve(broken, column), column
    for found in parts_of_losses:
        assert found.items() <= losses.items()


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_ends_like_a_whole_one(kind, parts, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    losses = run(kind, parts, whole)
    found = []
    # In the first epoch with the last step lost, in the second one with all steps kept.
    for batches, before in ((4, True), (5, False)):
        crash = f"+callbacks.crash={{_target_: test_resume_training.Crash, batches: {batches}, before: {before}}}"
        with pytest.raises(BaseException):  # noqa: B017 (Lightning turns it into a SystemExit)
            run(kind, parts, broken, crash)
        found.append(dict(SEEN))
        assert not exported(broken)
    found.append(run(kind, parts, broken))
    assert [len(part) for part in found] == [4, 5, 10 - 3 - 5]
    compare(whole, broken, losses, found)
    assert not list(broken.rglob("*.part"))


@pytest.mark.parametrize("kind", ["path_diffusion", "autoencoder", "classifier"])
def test_a_training_killed_between_its_last_step_and_its_export_leaves_the_same_weights(kind, parts, tmp_path):
    """The average of the weights, and not the weights of the last step, which resuming without a step would leave."""
    run(kind, parts, tmp_path)
    before, losses = exported(tmp_path), curve(tmp_path, "val/loss")
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    for file in tmp_path.rglob("config.json"):
        file.unlink()
    run(kind, parts, tmp_path)
    assert exported(tmp_path) == before
    assert curve(tmp_path, "val/loss") == losses


# Options of one kind; two batches make a step, so that an epoch of six has three.
@pytest.mark.parametrize(
    "words",
    [
        ("trainer.accumulate_grad_batches=2",),
        ("trainer.accumulate_grad_batches=4",),  # the last step of an epoch takes two batches
        ("trainer.val_check_interval=2",),
        ("trainer.val_check_interval=4", "trainer.accumulate_grad_batches=2"),  # none at the end of an epoch
        ("trainer.limit_val_batches=0",),
        ("trainer.precision=bf16-mixed",),
    ],
    ids=" ".join,
)
def test_so_do_trainings_with(words, parts, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    losses = run("latent_diffusion", parts, whole, *words)
    found = []
    # In the middle of an accumulated step, and with the end of an epoch as the last checkpoint.
    for batches, before in ((5, False), (4, True)):
        crash = f"+callbacks.crash={{_target_: test_resume_training.Crash, batches: {batches}, before: {before}}}"
        with pytest.raises(BaseException):  # noqa: B017 (Lightning turns it into a SystemExit)
            run("latent_diffusion", parts, broken, crash, *words)
        found.append(dict(SEEN))
    found.append(run("latent_diffusion", parts, broken, *words))
    compare(whole, broken, losses, found)


def test_a_killed_program_goes_on(parts, tmp_path):
    """SIGKILL in the middle of an epoch, and the same command again."""
    words = [*COMMON[:-1], *KINDS["latent_diffusion"], f"latent.folder={parts}", "trainer.max_steps=80"]
    words += ["latents.samples=200", "trainer.accumulate_grad_batches=2"]
    train(compose("train", [*words, f"dirs.output={tmp_path / 'whole'}"]))
    broken = tmp_path / "broken"
    last = broken / "checkpoints" / "last.ckpt"
    with forked.program("train", [*words, f"hydra.run.dir={broken}"], tmp_path) as running:
        running.until(lambda: last.is_file() and torch.load(last, weights_only=True)["global_step"] >= 15)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    assert 15 <= torch.load(last, weights_only=True)["global_step"] < 80
    assert not exported(broken)
    train(compose("train", [*words, f"dirs.output={broken}"]))
    left, right = state(tmp_path / "whole"), state(broken)
    assert same(left, right)
    assert exported(tmp_path / "whole") == exported(broken)
    before = (broken / "prior.safetensors").stat().st_mtime_ns
    train(compose("train", [*words, f"dirs.output={broken}"]))
    assert (broken / "prior.safetensors").stat().st_mtime_ns == before, "nothing was left to do"


def test_the_last_checkpoint_is_the_last_also_where_validation_is_worse(parts, tmp_path):
    run(
        "latent_diffusion",
        parts,
        tmp_path,
        "module.learning_rate=10.0",
        "callbacks.checkpoint.minutes=null",
        "trainer.max_steps=13",
    )
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 13
    (best,) = [file for file in (tmp_path / "checkpoints").iterdir() if file.name != "last.ckpt"]
    assert torch.load(best, weights_only=True)["global_step"] < 13
    # The weights themselves, and not their average, which takes their place when a training ends.
    assert not same(content["state_dict"], content["current_model_state"])


def test_checkpoints_refuse_nonsense(tmp_path):
    with pytest.raises(ValueError, match=r"minutes=-1 must be 0 or more; null"):
        Checkpoints(tmp_path, minutes=-1)


@pytest.mark.parametrize("device", ["", "gpu"])
def test_averages_of_weights_refuse_a_device_that_is_none(device):
    with pytest.raises(ValueError, match=f"device='{device}' is no device; give cpu, cuda"):
        EMA(device=device)


def test_the_curve_outlives_a_kill_at_the_start_of_the_next_run(tmp_path):
    """Rows of the steps that were kept stand in the file before anything is trained; a line cut short is dropped."""
    from diffig.training.loss_curves import curves

    log = tmp_path / "log" / "metrics.csv"
    log.parent.mkdir()
    log.write_text("epoch,step,train/loss\n0,0,1.5\n0,1,1.25\n0,2,1.0\n0,1")
    logger = curves(tmp_path, 2)
    assert log.read_text().split() == ["epoch,step,train/loss", "0,0,1.5", "0,1,1.25"]
    logger.log_metrics({"val/loss": 2.0, "epoch": 0}, 2)  # a column that is new
    logger.save()
    assert curve(tmp_path, "train/loss") == {0: "1.5", 1: "1.25"}
    assert curve(tmp_path, "val/loss") == {2: "2.0"}
    curves(tmp_path)
    assert not log.exists(), "a run that begins anew"


def test_a_compiled_denoiser_keeps_its_keys():
    from diffig.diffusion.path_diffusion import PathDiffusion
    from diffig.method.latent.prior import LatentPrior

    plain, compiled = (
        PathDiffusion(LatentPrior.new(3, 2, width=16, depth=1, heads=2), compile=compile) for compile in (False, True)
    )
    assert compiled.prior.denoiser._compiled_call_impl is not None
    assert list(plain.state_dict()) == list(compiled.state_dict())


def test_slurm_starts_the_ranks_only_where_there_is_slurm(monkeypatch):
    from diffig.config import build

    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    words = ["trainer=ddp_slurm", "trainer.accelerator=cpu", "trainer.devices=2", "dirs.output=nowhere"]
    cfg = compose("train", words)
    assert build(cfg.trainer.plugins) is None
    for name, value in {"NTASKS": 2, "PROCID": 1, "LOCALID": 1, "NODEID": 0, "NTASKS_PER_NODE": 2}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    found = build(cfg.trainer.plugins)
    assert (found.auto_requeue, found.world_size(), found.global_rank()) == (False, 2, 1)
