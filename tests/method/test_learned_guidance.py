"""Learned guidance: labels of paths that survive a kill, and networks that learn them."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from diffig.baselines import Average, Constant
from diffig.diffusion.denoisers.dit1d import DiT1DRegressor
from diffig.diffusion.noise import NoiseSchedule
from diffig.integration.soft_insertion_deletion import RATIOS
from diffig.method.guidance.label_manifest import read_labels, read_manifest, write_manifest
from diffig.method.guidance.label_store import LabelStore, LabelTable
from diffig.method.guidance.learned import PathScore
from diffig.method.guidance.learned_training import PathScoreTraining, correlation, ranks
from diffig.method.guidance.path_labels import PathLabels, describe_paths
from diffig.method.guidance.scored_data import ScoredPathData
from diffig.method.latent.data import LatentPathData
from diffig.method.latent.space import LatentSpace
from diffig.scores import ScoreFunction

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"
)
SHAPE, KNOTS, CLASSES = (3, 4, 4), 4, 5


class Pictures(list):
    def image(self, position):
        return self[position][0]


class FewPictures:
    """Random training images and held-out ones, a few."""

    name = "few"

    def __init__(self, count=12, held_out=7):
        generator = torch.Generator().manual_seed(0)

        def some(first, count):
            pictures = torch.rand(count, *SHAPE, generator=generator)
            if count > 20:  # brighter and darker ones
                pictures = 0.3 * pictures + 0.7 * torch.rand(count, 1, 1, 1, generator=generator)
            return Pictures((picture, n % CLASSES, n) for n, picture in enumerate(pictures, first))

        self.train_set, self.val_set = some(0, count), some(1000, held_out)

    def setup(self):
        pass


class SameCodec(nn.Module):
    """Latents that are the pixels, in another scale."""

    def encode(self, images):
        return 2 * images - 1

    def decode(self, latents):
        return (latents + 1) / 2

    def latent_shape(self, image_shape):
        return image_shape


class Bent(nn.Module):
    """A smooth classifier that is not linear."""

    name = "bent"

    def __init__(self, seed=0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, 48, generator=torch.Generator().manual_seed(seed)), False)

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.weight.T.to(images)).cumsum(1)


class Linear(nn.Module):
    name = "linear"

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(CLASSES, 48, generator=torch.Generator().manual_seed(1)), False)

    def forward(self, images):
        return images.flatten(1) @ self.weight.T.to(images)


def paths(seed=0, baseline=None, dataset=None, **options):
    baseline = baseline or Average([Constant(0.0), Constant(1.0)])
    space = LatentSpace(SameCodec(), KNOTS)
    given = {"samples": 64, "val_samples": 8, "batch_size": 8, "concentration": (1.0, 20.0), **options}
    data = LatentPathData(dataset or FewPictures(), space, baseline, seed=seed, **given)
    data.setup()
    return data


def labeller(folder, classifier=None, objective="probability", data=None, **options):
    given = {"count": 22, "val_count": 5, "shard_size": 6, "batch_size": 4, **options}
    return PathLabels(ScoreFunction(classifier or Bent(), objective), data or paths(), folder, **given)


def predict(module, loader=None, **options):
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        barebones=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **{"inference_mode": False, **options},
    )
    trainer.predict(module, loader or module.dataloader(), return_predictions=False)


def dull_labels(classifier, objective, x, start, sequence, target):
    """Both labels of one path in float64, by loops."""
    x, start = x.double(), start.double()

    def score(image):
        logits = classifier(image[None])[0]
        return (logits.softmax(0) if objective == "probability" else logits)[target]

    points = [start, *[((z + 1) / 2).view(SHAPE) for z in sequence.double()[1:-1]], x]
    total = torch.zeros(SHAPE, dtype=torch.float64)
    for before, after in pairwise(points):
        middle = ((before + after) / 2).requires_grad_()
        score(middle).backward()
        total += middle.grad * (after - before)
    mass = total.abs().flatten().numpy()
    order = np.argsort(mass, kind="stable")
    size, whole, faithfulness = len(mass), float(score(x)), 0.0
    for ratio in RATIOS:
        count = int(ratio * size)
        for sign, kept in ((1, order[count:]), (-1, order[: size - count])):
            image = np.full(size, x.flatten().numpy()[kept].mean())
            image[kept] = x.flatten().numpy()[kept]
            value = float(score(torch.from_numpy(image).view(SHAPE)))
            faithfulness += sign * min(max(value / max(whole, 1e-8), 0), 1)
    share = mass / mass.sum()
    return faithfulness / len(RATIOS), -sum(p * math.log(p) for p in share if p > 0)


@pytest.mark.parametrize(("classifier", "objective"), [(Linear(), "logit"), (Bent(), "probability")])
def test_labels_are_what_loops_in_double_precision_give(tmp_path, classifier, objective):
    data = paths()
    module = labeller(tmp_path, classifier, objective, data)
    predict(module)
    for split in ("train", "val"):
        table, draws = read_labels(tmp_path / "labels", split), data.draws(split)
        for row in range(len(table.k)):
            k, position = int(table.k[row]), table.position[row]
            assert (int(table.reference[row]), int(position)) == tuple(draws.place(k))
            (x,), (label,) = data.images(split, position[None])
            (start,) = data.references(split, position[None], table.reference[row][None])
            expected = dull_labels(classifier, objective, x, start, draws.draw(k)[0], int(label))
            found = float(table.faithfulness[row]), float(table.complexity[row])
            assert found == pytest.approx(expected, abs=2e-5)
    # Of a linear model every path gives the same attribution, so these labels are those of straight lines too.


def test_labels_of_predicted_classes_are_others(tmp_path):
    for target in ("label", "prediction"):
        predict(labeller(tmp_path / target, target=target))
    one, other = (read_labels(tmp_path / target / "labels").faithfulness for target in ("label", "prediction"))
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("inference_mode", [False, True])
def test_a_killed_run_goes_on_and_redoes_only_what_is_missing(tmp_path, inference_mode, caplog):
    whole = labeller(tmp_path / "whole")
    predict(whole, inference_mode=inference_mode)
    predict(labeller(tmp_path / "killed"), limit_predict_batches=3)
    folder = tmp_path / "killed" / "labels"
    assert sorted(file.name for file in folder.glob("*.safetensors")) == [
        f"train-0000{n}.safetensors" for n in range(3)
    ]
    assert not (folder / "manifest.json").exists()
    with pytest.raises(FileNotFoundError, match=r"labels of paths are not complete: .*module=path_labels"):
        read_labels(folder)
    broken = folder / "train-00001.safetensors"
    broken.write_bytes(broken.read_bytes()[:-20])
    (folder / "train-00003.safetensors.part").write_bytes(b"half")
    kept = (folder / "train-00000.safetensors").stat().st_mtime_ns
    again = labeller(tmp_path / "killed")
    predict(again)
    assert "train-00001.safetensors is broken" in caplog.text
    assert (folder / "train-00000.safetensors").stat().st_mtime_ns == kept
    each = whole.score.cost.forward_images / 27
    assert again.score.cost.forward_images == each * (6 + 4 + 5)  # the broken shard, the last one, the held-out paths
    for split in ("train", "val"):
        for one, other in zip(
            read_labels(tmp_path / "whole" / "labels", split), read_labels(folder, split), strict=True
        ):
            assert torch.equal(one, other)
    one, other = (read_manifest(tmp_path / name / "labels") for name in ("whole", "killed"))
    assert one["cost"]["forward_images"] == other["cost"]["forward_images"] == whole.score.cost.forward_images
    assert one["statistics"] == other["statistics"]


def test_two_ranks_give_what_one_gives(tmp_path):
    predict(labeller(tmp_path / "one"))
    first, second = labeller(tmp_path / "two"), labeller(tmp_path / "two")
    predict(first, DataLoader(range(0, 5, 2), batch_size=1))
    assert not (tmp_path / "two" / "labels" / "manifest.json").exists()
    predict(second, DataLoader(range(1, 5, 2), batch_size=1))
    for one, other in zip(*(read_labels(tmp_path / name / "labels") for name in ("one", "two")), strict=True):
        assert torch.equal(one, other)


def test_labels_do_not_know_the_batch_size(tmp_path):
    predict(labeller(tmp_path / "four"))
    predict(labeller(tmp_path / "one", batch_size=1))
    for one, other in zip(*(read_labels(tmp_path / name / "labels") for name in ("four", "one")), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_more_labels_keep_what_is_there(tmp_path):
    predict(labeller(tmp_path))
    few = read_labels(tmp_path / "labels")
    more = labeller(tmp_path, count=26)
    predict(more)
    many = read_labels(tmp_path / "labels")
    assert len(many.k) == 26
    assert torch.equal(many.faithfulness[:22], few.faithfulness)
    assert more.score.cost.forward_images == 8 * labels_cost()  # only the shard that was not full and the new one


def labels_cost():
    return 2 + KNOTS + 2 * len(RATIOS) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "logit"}, "objective: probability there, logit asked for"),
        ({"classifier": Bent(1)}, r"classifier\.weights: \w{16} there"),
        ({"steps": 7}, "steps: 4 there, 7 asked for"),
        ({"data": paths(seed=1)}, r"paths\.seed: 0 there, 1 asked for"),
        ({"shard_size": 5}, "shard_size: 6 there, 5 asked for"),
    ],
)
def test_labels_of_other_settings_are_never_mixed(tmp_path, change, message):
    predict(labeller(tmp_path), limit_predict_batches=1)
    with pytest.raises(ValueError, match=rf"holds labels of other settings: .*{message}"):
        predict(labeller(tmp_path, **change))


def test_training_asks_for_labels_of_its_own_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="labels of paths are not there"):
        ScoredPathData(paths(), tmp_path / "labels").setup()
    predict(labeller(tmp_path))
    ScoredPathData(paths(), tmp_path / "labels").setup()
    with pytest.raises(ValueError, match=r"paths\.concentration\W.*make labels of these"):
        ScoredPathData(paths(concentration=(2.0, 3.0)), tmp_path / "labels").setup()
    shard = tmp_path / "labels" / "val-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"shard .*val-00000.safetensors is broken or absent"):
        ScoredPathData(paths(), tmp_path / "labels").setup()


def small(**options):
    return DiT1DRegressor(KNOTS + 1, 3, **{"width": 16, "depth": 1, "heads": 2, **options})


def awake(net):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(
                0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
    return net


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_gradient_is_that_of_finite_differences(mode):
    score = PathScore(awake(small()).double(), mean=3.0, std=2.0, chunk_size=2)
    with mode():
        noisy = torch.randn(3, KNOTS + 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        times = torch.tensor([0.0, 0.3, 0.8], dtype=torch.float64)
        gradient = score.gradient(noisy, times)
    assert all(parameter.grad is None for parameter in score.parameters())
    step = 1e-5
    with torch.no_grad():
        for point, coordinate in [(0, 0), (2, 1), (KNOTS, 2)]:
            probe = torch.zeros_like(noisy)
            probe[:, point, coordinate] = step
            slope = (score(noisy + probe, times) - score(noisy - probe, times)) / (2 * step)
            torch.testing.assert_close(gradient[:, point, coordinate], slope, atol=1e-7, rtol=1e-5)


def test_a_file_gives_the_same_score_back(tmp_path):
    score = PathScore(awake(small()), "complexity", 5.5, 0.25, NoiseSchedule("linear", levels=50), {"d": 3}, {"n": 1})
    score.save(tmp_path / "score.safetensors")
    again = PathScore.load(tmp_path / "score.safetensors", "complexity")
    noisy, times = torch.randn(2, KNOTS + 1, 3), torch.tensor([0.2, 0.4])
    assert torch.equal(score(noisy, times), again(noisy, times))
    assert (again.mean, again.std, again.space, again.training_metadata) == (5.5, 0.25, {"d": 3}, {"n": 1})
    assert again.noise_schedule.config == score.noise_schedule.config
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_files_that_do_not_fit_are_told_in_words(tmp_path):
    file = tmp_path / "score.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no path score at .*module=path_score module.quantity=complexity"):
        PathScore.load(file, "complexity")
    PathScore(small()).save(file)
    with pytest.raises(ValueError, match="predicts faithfulness, not complexity"):
        PathScore.load(file, "complexity")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match="is no path score"):
        PathScore.load(file)
    with pytest.raises(ValueError, match="quantity='beauty' is unknown"):
        PathScore(small(), "beauty")


def scored(folder, samples=64, count=128, val_count=32, constant=False, **options):
    """Paths whose label is the mean of their middle point."""
    data = paths(0, Constant(0.0), FewPictures(128, 32), samples=samples, **options)
    store = LabelStore(
        folder / "labels", {"paths": describe_paths(data), **OTHERS}, {"train": count, "val": val_count}, 256
    )
    store.open()
    for split, number in store.shards:
        ks = torch.tensor(store.numbers(split, number))
        middle = torch.stack([data.draws(split).draw(int(k))[0][KNOTS // 2].mean() for k in ks])
        table = LabelTable(ks, ks, ks, middle * (not constant), 3 - 2 * middle)
        store.write(split, number, table, dict.fromkeys(("forward_images", "backward_images", "milliseconds"), 0))
    write_manifest(store, {})
    return ScoredPathData(data, folder / "labels")


OTHERS = {"classifier": {"name": "none"}, "objective": "probability", "steps": KNOTS, "target": "label"}


def fit(folder, data, steps, watchers=(), ckpt_path=None, **options):
    length, dim = data.data.shape
    torch.manual_seed(0)
    module = PathScoreTraining(
        length, dim, width=32, depth=1, heads=2, **{"learning_rate": 3e-3, "warmup": 5, **options}
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(watcher, ModelCheckpoint) for watcher in watchers),
        callbacks=list(watchers),
        max_steps=steps,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module, trainer


@pytest.mark.parametrize("quantity", ["faithfulness", "complexity"])
def test_a_regressor_learns_a_function_of_the_path(tmp_path, quantity):
    data = scored(tmp_path, samples=1920, batch_size=32)
    module, trainer = fit(tmp_path, data, 60, quantity=quantity)
    assert float(trainer.callback_metrics["val/corr_t0.00"]) > 0.9
    about = json.loads((tmp_path / "correlation.json").read_text())
    assert about["paths"] == 32
    assert about["pearson"][0] > about["pearson"][3] - 0.05  # noise does not help
    module.export(tmp_path, {"steps": 150})
    score = PathScore.load(tmp_path / "path_score.safetensors", quantity)
    table = read_labels(tmp_path / "labels", "val")
    clean = torch.stack([data.data.draws("val").draw(int(k))[0] for k in table.k])
    said = score.mean + score.std * score(clean, torch.zeros(len(clean)))
    true = getattr(table, quantity)
    assert float((said - true).square().mean()) < 0.3 * float(true.var())  # in the label's own unit
    assert score.training_metadata["labels"]["objective"] == "probability"
    assert score.space["concentration"] == [1.0, 20.0]

    from diffig.training.regressor_plot import draw_correlation

    assert draw_correlation(tmp_path).stat().st_size > 5000
    assert draw_correlation(tmp_path / "empty") is None


class Counters(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        self.seen.append((batch["counter"].tolist(), batch["k"].tolist(), batch["time"].tolist()))


def test_a_resumed_training_goes_on_with_the_next_samples(tmp_path):
    data = scored(tmp_path, samples=32)  # 4 steps an epoch
    whole = Counters()
    module, _ = fit(tmp_path / "whole", data, 10, [whole])
    assert [number for step in whole.seen for number in step[0]] == list(range(80))
    parts = Counters()
    saver = ModelCheckpoint(tmp_path / "c", every_n_train_steps=6, save_top_k=-1, filename="{step}")
    fit(tmp_path / "first", scored(tmp_path, samples=32), 10, [saver, Stop(6), parts])
    assert len(parts.seen) == 6
    resumed, _ = fit(tmp_path / "second", scored(tmp_path, samples=32), 10, [parts], tmp_path / "c" / "step=6.ckpt")
    assert parts.seen == whole.seen
    for one, other in zip(module.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other)


class Stop(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= self.step


def test_ends_are_never_noised(tmp_path):
    data = scored(tmp_path)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    noisy = PathScoreTraining(KNOTS + 1, 48).noisy(batch, torch.full((8,), 0.9))
    assert torch.equal(noisy[:, [0, -1]], batch["clean"][:, [0, -1]])
    assert (noisy[:, 1:-1] - batch["clean"][:, 1:-1]).abs().mean() > 0.5


def test_labels_that_are_all_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"all labels of faithfulness .* there is nothing to learn"):
        fit(tmp_path, scored(tmp_path, constant=True), 2)


def test_correlations_are_those_of_the_textbook():
    left, right = (torch.randn(40, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    left = (left * 2).round()  # with ties
    from scipy import stats

    assert float(correlation(left, right)) == pytest.approx(stats.pearsonr(left, right).statistic, abs=1e-6)
    assert float(correlation(ranks(left), ranks(right))) == pytest.approx(
        stats.spearmanr(left, right).statistic, abs=1e-6
    )
    assert float(correlation(torch.ones(5), torch.arange(5.0))) == 0
