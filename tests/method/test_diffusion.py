"""The prior over fields: noise schedule, sampler, training data, training that survives an interruption."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from diffig.diffusion.denoisers.unet import FieldUNet
from diffig.diffusion.noise import LAST, NoiseSchedule, clean_of, target
from diffig.diffusion.noising import noising
from diffig.diffusion.path_diffusion import PathDiffusion
from diffig.diffusion.sampler import ddim
from diffig.method.field.data import FieldDataModule, FieldSet
from diffig.method.field.moments import moment_errors
from diffig.method.field.prior import FieldPrior
from diffig.randomness import first_counter

KNOTS, GRID = 8, (8, 8)
SCHEDULE = NoiseSchedule(shift=2.0)
SCHEDULES = (SCHEDULE, NoiseSchedule(), NoiseSchedule("linear"))
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning"
)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: f"{schedule.kind} {schedule.shift}")
def test_the_schedule_keeps_the_variance_and_runs_downhill(schedule):
    times = torch.linspace(0, LAST, 200, dtype=torch.float64)
    alpha, sigma = schedule(times)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(alpha))
    assert alpha[0] == 1
    assert sigma[0] == 0
    assert (alpha.diff() < 0).all()
    assert (sigma.diff() > 0).all()
    assert alpha[-1] < 0.02


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_schedule_is_a_shifted_cosine(shift):
    times = torch.linspace(0.01, 0.98, 50, dtype=torch.float64)
    alpha, sigma = NoiseSchedule(shift=shift)(times)
    torch.testing.assert_close(sigma / alpha, shift * torch.tan(times * math.pi / 2))
    if shift == 1:
        torch.testing.assert_close(alpha, torch.cos(times * math.pi / 2))


def test_the_linear_schedule_is_the_limit_of_many_small_steps():
    """Ho et al.: alpha^2 is a product of 1 - beta, with beta rising linearly from 0.1 / n to 20 / n."""
    count = 200_000
    beta = (0.1 + 19.9 * (torch.arange(count, dtype=torch.float64) + 0.5) / count) / count
    product = torch.log1p(-beta).cumsum(0).div(2).exp()
    places = torch.tensor([0.1, 0.4, 0.7, 0.9])
    alpha, sigma = NoiseSchedule("linear")(places.double())
    torch.testing.assert_close(alpha, product[(places * count).round().long() - 1], rtol=2e-3, atol=0)
    torch.testing.assert_close(sigma, (1 - alpha.square()).sqrt())


def test_levels_are_the_times_that_training_uses():
    uniform = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    every, four = NoiseSchedule().training_times(uniform), NoiseSchedule(levels=4).training_times(uniform)
    torch.testing.assert_close(every, LAST * uniform)
    torch.testing.assert_close(four.unique(), LAST * torch.tensor([0.25, 0.5, 0.75, 1.0]))
    assert torch.equal(four.sort().values, four[uniform.argsort()])  # in order
    grid = NoiseSchedule(levels=4).grid(4, uniform)
    torch.testing.assert_close(grid, LAST * torch.tensor([1, 0.75, 0.5, 0.25, 0]))  # sampled where it was trained
    assert NoiseSchedule(**NoiseSchedule("linear", levels=7).config).config == NoiseSchedule("linear", levels=7).config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sigmoid"}, r"noise_schedule.kind='sigmoid' is unknown; choose one of .*'cosine', 'linear'"),
        ({"shift": 0.0}, "noise_schedule.shift=0.0 must be a positive number"),
        ({"shift": float("nan")}, "noise_schedule.shift=nan"),
        ({"levels": 0}, "noise_schedule.levels=0"),
    ],
)
def test_schedules_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        NoiseSchedule(**options)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_a_prediction_tells_the_clean_field(prediction):
    clean, noise = normal(5, 3, 2, 2), normal(5, 3, 2, 2, seed=1)
    for time in (0.05, 0.5, 0.95):
        alpha, sigma = SCHEDULE(torch.tensor(time, dtype=torch.float64))
        output = target(clean, noise, alpha, sigma, prediction)
        torch.testing.assert_close(
            clean_of(alpha * clean + sigma * noise, output, alpha, sigma, prediction), clean, rtol=1e-9, atol=1e-10
        )


def test_unknown_predictions_are_refused():
    with pytest.raises(ValueError, match=r"choose one of .*'v', 'epsilon'"):
        target(normal(1), normal(1), torch.tensor(1.0), torch.tensor(0.0), "x0")


def perfect(mean, spread):
    """The best denoiser of independent normal numbers: the posterior mean, in closed form."""

    def denoise(noisy, time):
        alpha, sigma = SCHEDULE(time)
        gain = alpha * spread**2 / ((alpha * spread) ** 2 + sigma**2)
        return mean + gain * (noisy - alpha * mean)

    return denoise


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.7, 0.4), (-1.0, 1.8)])
def test_a_perfect_denoiser_gives_its_law_back(order, mean, spread):
    samples = ddim(normal(50_000), perfect(mean, spread), SCHEDULE, 200, order=order)
    assert samples.mean().item() == pytest.approx(mean, abs=0.03)
    assert samples.std().item() == pytest.approx(spread, rel=0.03)


def test_the_second_order_needs_fewer_steps():
    noise = normal(20_000)
    errors = {
        order: abs(ddim(noise, perfect(0.0, 1.0), SCHEDULE, 10, order=order).std().item() / noise.std().item() - 1)
        for order in (1, 2)
    }
    assert errors[2] < errors[1] / 2


def test_a_known_point_is_found_at_once():
    """A denoiser that always says the same is right in one step, whatever the noise."""
    for steps in (1, 2, 7):
        assert torch.equal(
            ddim(normal(9), lambda noisy, time: torch.full_like(noisy, 0.3), SCHEDULE, steps),
            torch.full((9,), 0.3, dtype=torch.float64),
        )


def test_the_shift_acts_on_the_clean_field():
    seen = []

    def shift(clean, noisy, step):
        seen.append(step)
        return torch.full_like(clean, 0.25)

    plain, moved = (
        ddim(normal(9), perfect(0.0, 1e-6), SCHEDULE, 4),
        ddim(normal(9), perfect(0.0, 1e-6), SCHEDULE, 4, shift),
    )
    torch.testing.assert_close(moved, plain + 0.25)
    assert seen == [0, 1, 2, 3]
    assert torch.equal(
        ddim(normal(9), perfect(0.0, 1.0), SCHEDULE, 4, lambda clean, noisy, step: torch.zeros_like(clean)),
        ddim(normal(9), perfect(0.0, 1.0), SCHEDULE, 4),
    )


@pytest.mark.parametrize(("options", "message"), [({"n_steps": 0}, "n_steps=0"), ({"order": 3}, "order=3 is unknown")])
def test_the_sampler_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ddim(normal(3), perfect(0.0, 1.0), SCHEDULE, **options)


def true_fields(count=600, cell_sizes=(1, 2, 4), split="train", seed=0, first=0):
    data = FieldSet(count, seed, split, KNOTS, GRID, (1.0, 100.0), cell_sizes, first)
    items = [data[index] for index in range(count)]
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def test_training_fields_follow_the_law():
    batch = true_fields()
    assert batch["clean"].shape == (600, KNOTS - 1, *GRID)
    for name, error in moment_errors(batch["clean"], batch["cell_size"]).items():
        assert error < 0.06, name
    assert batch["concentration"].min() >= 1
    assert batch["concentration"].max() <= 100
    assert set(batch["cell_size"].tolist()) == {1.0, 2.0, 4.0}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("mean", lambda field: field + 0.5),
        ("variance", lambda field: field * 1.4),
        ("time_correlation", lambda field: field + 0.7 * field.roll(1, 1)),
        ("space_correlation", lambda field: field[..., torch.randperm(8, generator=torch.Generator().manual_seed(0))]),
    ],
)
def test_wrong_fields_are_found_out(name, spoil):
    batch = true_fields()
    right, wrong = (moment_errors(field, batch["cell_size"])[name] for field in (batch["clean"], spoil(batch["clean"])))
    assert wrong > 0.15
    assert wrong > 3 * right


def test_fields_are_keyed_by_seed_split_and_number():
    fields = true_fields(4)["clean"]
    assert torch.equal(fields, true_fields(4)["clean"])
    assert torch.equal(fields[2:], true_fields(2, first=2)["clean"])
    for other in (true_fields(4, seed=1), true_fields(4, split="val"), true_fields(4, first=4)):
        assert not torch.equal(fields, other["clean"])


def denoiser(seed=0, channels=(16, 16)):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FieldUNet(KNOTS, GRID, channels)


def test_the_denoiser_looks_at_everything_it_is_told():
    net = denoiser().eval()
    noisy = normal(2, KNOTS - 1, *GRID, dtype=torch.float32)
    given = noisy, torch.tensor([0.3, 0.6]), torch.tensor([2.0, 50.0]), torch.tensor([1.0, 4.0])
    with torch.no_grad():
        out = net(*given)
        assert out.shape == noisy.shape
        for place, other in enumerate((noisy + 0.1, given[1] + 0.2, given[2] * 3, given[3] * 2)):
            changed = net(*(other if place == k else value for k, value in enumerate(given)))
            assert (changed - out).abs().max() > 1e-5, place
        alone = net(*(value[1:] for value in given))
    torch.testing.assert_close(alone, out[1:], rtol=1e-4, atol=1e-5)


def test_other_grids_run_too():
    with torch.no_grad():
        assert denoiser()(torch.zeros(1, KNOTS - 1, 4, 6), *torch.ones(3, 1)).shape == (1, KNOTS - 1, 4, 6)


@pytest.mark.parametrize("half", [False, True])
def test_a_prior_survives_its_file(tmp_path, half):
    prior = FieldPrior(denoiser(), "v", training_metadata={"steps": 3}).eval()
    prior.save(tmp_path / "deep" / "prior.safetensors", half)
    again = FieldPrior.load(tmp_path / "deep" / "prior.safetensors")
    assert (again.training_metadata, again.prediction, again.n_segments) == ({"steps": 3}, "v", KNOTS)
    assert again.noise_schedule.config == prior.noise_schedule.config
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    noise, asked = (
        normal(2, KNOTS - 1, *GRID, dtype=torch.float32),
        (torch.tensor([1.0, 9.0]), torch.tensor([1.0, 2.0])),
    )
    torch.testing.assert_close(
        again.sample(noise, *asked, 3), prior.sample(noise, *asked, 3), rtol=0, atol=0.05 if half else 1e-6
    )
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["prior.safetensors"]  # no half-written rest


def test_bands_share_the_denoiser():
    prior = FieldPrior(denoiser()).eval()
    noise = normal(2, 3, KNOTS - 1, *GRID, dtype=torch.float32)
    asked = torch.tensor([1.0, 9.0]), torch.tensor([1.0, 2.0])
    together = prior.sample(noise, *asked, 3)
    assert together.shape == noise.shape
    for band in range(3):
        torch.testing.assert_close(prior.sample(noise[:, band], *asked, 3), together[:, band], rtol=1e-3, atol=1e-4)


def test_the_shipped_prior_knows_the_law():
    prior = FieldPrior.load()
    if prior.training_metadata["steps"] < 500:
        pytest.skip(f"the shipped prior is a placeholder of {prior.training_metadata['steps']} training steps")
    size = torch.tensor([2.0]).repeat(150)
    noise = normal(150, prior.n_segments - 1, 8, 8, dtype=torch.float32)
    errors = moment_errors(prior.sample(noise, torch.full((150,), 10.0), size, 20), size)
    assert errors["mean"] < 0.1
    assert errors["variance"] < 0.35
    assert errors["time_correlation"] < 0.1
    assert errors["space_correlation"] < 0.1


# Training


class Losses(Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        self.losses.append(float(outputs["loss"]))


class StopAfter(Callback):
    """An interruption at the end of an epoch."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def train(folder, epochs=2, stop_after=None, resume=None, seed=0, samples=32):
    """Weights, losses and the checkpoint of a tiny training run."""
    module = PathDiffusion(FieldPrior(denoiser()), warmup=2, sample_steps=2)
    data = FieldDataModule(KNOTS, GRID, cell_sizes=(1, 4), samples=samples, val_samples=8, batch_size=8, seed=seed)
    losses, keeper = Losses(), ModelCheckpoint(folder, save_last=True, save_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        reload_dataloaders_every_n_epochs=1,
        callbacks=[losses, keeper, *([StopAfter(stop_after)] if stop_after else [])],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return (
        {key: value.clone() for key, value in module.state_dict().items()},
        losses.losses,
        folder / "last.ckpt",
        trainer,
        module,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run of two epochs."""
    return train(tmp_path_factory.mktemp("whole"))


def test_resuming_equals_never_having_stopped(whole, tmp_path):
    _, before, checkpoint, _, _ = train(tmp_path / "first", stop_after=1)
    weights, after, _, _, _ = train(tmp_path / "second", resume=checkpoint)
    assert len(before) == len(after) == 4
    assert before + after == whole[1]
    assert all(torch.equal(weights[key], whole[0][key]) for key in weights)


def test_a_seed_reproduces_and_another_does_not(whole, tmp_path):
    losses = train(tmp_path / "again", epochs=1)[1]
    other = train(tmp_path / "other", epochs=1, seed=1)[1]
    assert losses[0] == whole[1][0]  # later ones differ by the length of the learning rate's schedule
    assert other[0] != losses[0]


def test_every_epoch_draws_new_fields_and_noise(whole):
    assert len(set(whole[1])) == len(whole[1])


def test_the_checkpoint_is_free_of_pickled_code(whole):
    content = torch.load(whole[2], weights_only=True)
    assert content["global_step"] == 8
    assert all(torch.equal(value, whole[0][key]) for key, value in content["state_dict"].items())
    assert "prior" not in content["hyper_parameters"]


def test_validation_reports_the_law(whole):
    metrics = whole[3].callback_metrics
    assert {
        "val/loss",
        "val/law_mean",
        "val/law_variance",
        "val/law_time_correlation",
        "val/law_space_correlation",
    } <= set(metrics)
    assert all(torch.isfinite(value) for value in metrics.values())
    assert list((whole[2].parent / "paths").glob("step*.png"))


def test_what_is_exported_samples_like_what_was_trained(whole, tmp_path):
    module = whole[4].eval()
    module.export(tmp_path, {"steps": 8})
    noise, asked = (
        normal(2, KNOTS - 1, *GRID, dtype=torch.float32),
        (torch.tensor([1.0, 9.0]), torch.tensor([1.0, 2.0])),
    )
    torch.testing.assert_close(
        FieldPrior.load(tmp_path / "prior.safetensors").sample(noise, *asked, 2), module.prior.sample(noise, *asked, 2)
    )


def test_a_few_steps_lower_the_loss():
    prior = FieldPrior(denoiser())
    batches = [true_fields(64, first=64 * step) for step in range(31)]
    optimizer = torch.optim.AdamW(prior.parameters(), 2e-3)
    with torch.no_grad():
        before = prior.loss(batches[0]).item()
    for batch in batches[1:]:
        optimizer.zero_grad()
        prior.loss(batch).backward()
        optimizer.step()
    with torch.no_grad():
        assert prior.loss(batches[0]).item() < 0.9 * before


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_a_denoiser_that_knows_the_answer_has_no_loss(prediction):
    prior = FieldPrior(denoiser(), prediction)
    batch = true_fields(16)

    def oracle(noisy, times, concentration, cell_size):
        alpha, sigma = (level[:, None, None, None] for level in SCHEDULE(times))
        return target(batch["clean"], (noisy - alpha * batch["clean"]) / sigma, alpha, sigma, prediction)

    prior.denoiser.forward = oracle
    assert prior.loss(batch) < 1e-4


def test_the_loss_draws_nothing():
    module, batch = PathDiffusion(FieldPrior(denoiser())), true_fields(8)
    module.log = lambda *values, **options: None
    before = torch.random.get_rng_state()
    losses = [module.training_step(batch, index).item() for index in (0, 0, 5)]
    assert len(set(losses)) == 1
    assert torch.equal(before, torch.random.get_rng_state())


# What is random about a training sample


def test_noise_and_time_are_keyed_by_seed_split_and_number():
    def drawn(seed=0, split="train", counter=3):
        noise, time = noising(seed, split, counter, (4,))
        return (*noise.tolist(), time.item())

    assert drawn() == drawn()
    others = [drawn(counter=4), drawn(seed=1), drawn(split="val"), drawn(counter=3 + 2**31)]
    assert len({drawn(), *others}) == 5
    assert len({numbers[:4] for numbers in (drawn(), *others)}) == 5  # the noise alone differs


def test_noise_is_standard_normal():
    numbers = torch.cat([noising(0, "train", counter, (500,))[0] for counter in range(40)])
    assert numbers.dtype == torch.float32
    assert abs(numbers.mean()) < 4 / 20_000**0.5
    assert abs(numbers.var() - 1) < 4 * (2 / 20_000) ** 0.5


def discrepancy(times):
    """The largest difference between the share of numbers below a place and the place itself."""
    ordered, count = times.double().sort().values, len(times)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    return max((ordered - steps[:-1]).abs().max().item(), (steps[1:] - ordered).abs().max().item())


@pytest.mark.parametrize("first", [0, 1000, 640_000_000])
def test_consecutive_times_are_spread_evenly(first):
    """Wherever a batch starts, far more evenly than random numbers are, and uniform over many batches."""
    generator = torch.Generator().manual_seed(0)
    for count in (32, 256):
        times = torch.stack([noising(0, "train", first + k, (1,))[1] for k in range(count)])
        assert 0 <= times.min() <= times.max() < 1
        random = sum(discrepancy(torch.rand(count, generator=generator)) for _ in range(50)) / 50
        assert discrepancy(times) < 3 / count
        assert discrepancy(times) < random / 1.8
    assert len(set(times.tolist())) == 256


class Trained:
    """A trainer that has come so far."""

    accumulate_grad_batches, world_size = 1, 1

    def __init__(self, step, **options):
        self.global_step = step
        vars(self).update(options)


@pytest.mark.parametrize(
    ("trainer", "first"),
    [
        (None, 0),
        (Trained(0), 0),
        (Trained(7), 56),
        (Trained(7, world_size=4), 224),
        (Trained(7, accumulate_grad_batches=3), 168),
        (Trained(7, world_size=4, accumulate_grad_batches=3), 672),
    ],
)
def test_the_next_sample_follows_what_all_ranks_have_taken(trainer, first):
    assert first_counter(trainer, 8) == first


@pytest.mark.parametrize("step", [0, 3])
def test_loaders_go_on_with_the_next_numbers(step):
    data = FieldDataModule(KNOTS, GRID, samples=20, val_samples=8, batch_size=8)
    data.trainer = Trained(step)
    counters = [batch["counter"].tolist() for batch in data.train_dataloader()]
    assert counters == [list(range(8 * step + start, 8 * step + start + 8)) for start in (0, 8)]
    assert torch.cat([batch["counter"] for batch in data.val_dataloader()]).tolist() == list(range(8))
