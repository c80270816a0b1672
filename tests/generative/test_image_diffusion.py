"""The image diffusion model: what it predicts, its folders, its training."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from diffig.config import CONF_DIR, build
from diffig.data.digits import Digits
from diffig.diffusion.levels import CLEAN, implied_noise, ladder, nearest_level, noised, reverse_step, share
from diffig.generative import ImageDiffusion, ImageDiffusionTraining
from oracle.denoisers import GaussianDenoiser
from small_training import trained


@pytest.fixture(scope="module")
def tiny() -> ImageDiffusion:
    torch.manual_seed(0)
    return ImageDiffusion.small(3, channels=(8, 8, 16), levels=40).eval().requires_grad_(False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def noisy_of(images: torch.Tensor, model: ImageDiffusion, level: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    return noised(images, noise, share(model, level)), noise


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_noise_and_image_go_together(prediction: str, images: torch.Tensor) -> None:
    """Whatever the network predicts, `u_t = sqrt(a) u + sqrt(1 - a) eps`; a perfect one gives both back."""
    model = ImageDiffusion.small(3, channels=(8,), levels=40, prediction=prediction).eval().requires_grad_(False)
    noisy, noise = noisy_of(images, model, 20)
    signal = share(model, 20)
    found, clean = model.predict_noise(noisy, 20), model.denoised(noisy, 20)
    torch.testing.assert_close(signal**0.5 * (2 * clean - 1) + (1 - signal) ** 0.5 * found, noisy, rtol=0, atol=1e-5)
    inside = 2 * images - 1
    perfect = {"epsilon": noise, "sample": inside, "v_prediction": signal**0.5 * noise - (1 - signal) ** 0.5 * inside}
    model.output = lambda noisy, levels: perfect[prediction]  # type: ignore[method-assign]
    torch.testing.assert_close(model.predict_noise(noisy, 20), noise, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.denoised(noisy, 20), images, rtol=0, atol=1e-5)
    # The training asks for exactly that.
    training = ImageDiffusionTraining(model)
    uniform = torch.full((4,), 20.5 / 40)
    assert training.loss(images, noise, uniform).item() == pytest.approx(0, abs=1e-10)


def test_levels_are_those_of_the_scheduler_of_diffusers(tiny: ImageDiffusion, images: torch.Tensor) -> None:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=40, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    torch.testing.assert_close(tiny.alpha_bar, scheduler.alphas_cumprod)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    times = torch.tensor([30] * 4)
    noisy = noisy_of(images, tiny, 30)[0]
    torch.testing.assert_close(noisy, scheduler.add_noise(2 * images - 1, noise, times))
    with torch.no_grad():
        output = tiny.unet(noisy, times).sample
    scheduler.set_timesteps(4)  # 30, 20, 10, 0
    scheduler.config.clip_sample = True
    step = scheduler.step(output, 30, noisy)
    mine = tiny.denoised(noisy, 30)
    torch.testing.assert_close(2 * mine.clamp(0, 1) - 1, step.pred_original_sample, rtol=0, atol=1e-5)
    clipped = mine.clamp(0, 1)
    # diffusers keeps the noise of the unclipped image unless asked; so do both here.
    shares = share(tiny, 30), share(tiny, 20)
    following = reverse_step(clipped, tiny.predict_noise(noisy, 30), shares, 0.0, None)
    torch.testing.assert_close(following, step.prev_sample, rtol=0, atol=1e-4)


def test_the_ancestral_step_is_that_of_ddpm(images: torch.Tensor) -> None:
    """`eta = 1` between neighbouring levels is the posterior `q(u_s | u_t, u)` (Ho, Jain and Abbeel 2020, eq. 7)."""
    denoiser = GaussianDenoiser()
    before, after = share(denoiser, 20), share(denoiser, 19)
    images = images.double()
    noise, fresh = (torch.randn(images.shape, dtype=torch.float64) for _ in range(2))
    noisy = noised(images, noise, before)
    beta = 1 - before / after
    inside = 2 * images - 1
    mean = after**0.5 * beta / (1 - before) * inside + (before / after) ** 0.5 * (1 - after) / (1 - before) * noisy
    wanted = mean + ((1 - after) / (1 - before) * beta) ** 0.5 * fresh
    found = reverse_step(images, implied_noise(noisy, images, before), (before, after), 1.0, fresh)
    torch.testing.assert_close(found, wanted)
    last = reverse_step(images, noise, (before, share(denoiser, CLEAN)), 1.0, fresh)
    torch.testing.assert_close(last, inside)


def test_ladders_and_levels() -> None:
    assert ladder(999, 4) == [999, 749, 499, 249, CLEAN]
    assert ladder(3, 4) == [3, 2, 1, 0, CLEAN]
    with pytest.raises(ValueError, match="5 steps down from noise level 3: choose 1 to 4"):
        ladder(3, 5)
    denoiser = GaussianDenoiser()
    assert nearest_level(denoiser, 0.0) == 0
    assert nearest_level(denoiser, 1.0) == 49
    sigma = (1 - denoiser.alpha_bar[17]).sqrt().item()
    assert nearest_level(denoiser, sigma + 1e-4) == 17


def test_samples_of_a_known_gaussian_have_its_moments() -> None:
    denoiser = GaussianDenoiser(mean=0.2, covariance=0.04, levels=200)
    noise = torch.randn(4000, 1, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = 2 * ImageDiffusion.sample(denoiser, noise, 100) - 1  # type: ignore[arg-type]
    assert samples.mean().item() == pytest.approx(0.2, abs=0.01)
    assert samples.std().item() == pytest.approx(0.2, rel=0.05)


def test_any_size_and_dtype(tiny: ImageDiffusion) -> None:
    odd = torch.rand(2, 3, 7, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = tiny.denoised(odd, 5)
    assert found.shape == odd.shape
    assert found.dtype == torch.float64
    # Padded by repeating the border.
    whole = torch.nn.functional.pad(odd, (0, 2, 0, 1), mode="replicate")
    torch.testing.assert_close(found, tiny.denoised(whole, 5)[..., :7, :10])
    with pytest.raises(ValueError, match="images have 1 channels, the diffusion model 3"):
        tiny.denoised(odd[:, :1], 5)
    rows = torch.cat([tiny.denoised(odd[:1], 5), tiny.denoised(odd[1:], 9)])
    torch.testing.assert_close(tiny.denoised(odd, torch.tensor([5, 9])), rows, rtol=1e-4, atol=1e-5)
    given = odd.requires_grad_(True)
    (gradient,) = torch.autograd.grad(tiny.denoised(given, 5).sum(), given)
    assert gradient.abs().sum() > 0


def test_variances_are_left_aside(images: torch.Tensor) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "block_out_channels": (8,)}
    options = {**blocks, "norm_num_groups": 4, "layers_per_block": 1}
    unet = UNet2DModel(in_channels=3, out_channels=6, **options).eval().requires_grad_(False)
    model = ImageDiffusion(unet)
    assert torch.equal(model.predict_noise(images, 3), unet(images, torch.tensor([3] * 4)).sample[:, :3])
    with pytest.raises(ValueError, match="from 3 to 5 channels"):
        ImageDiffusion(UNet2DModel(in_channels=3, out_channels=5, **options))
    with pytest.raises(ValueError, match="prediction_type='flow' is unknown"):
        ImageDiffusion(unet, {"prediction_type": "flow"})


def test_diffusers_reads_what_is_saved(tiny: ImageDiffusion, images: torch.Tensor, tmp_path: Path) -> None:
    from diffusers import DDPMPipeline

    tiny.save(tmp_path, {"steps": 7})
    assert json.loads((tmp_path / "diffig.json").read_text()) == {
        "format_version": 1,
        "image_channels": 3,
        "facts": {"steps": 7},
    }
    pipeline = DDPMPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert torch.equal(pipeline.unet(images, 11).sample, tiny.unet(images, 11).sample)


def test_a_pipeline_of_diffusers_is_read(images: torch.Tensor, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler
    from diffusers.models.unets.unet_2d import UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(**blocks, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1).eval()
    for kind, options in ((DDPMScheduler, {"beta_end": 0.01}), (DDIMScheduler, {"beta_schedule": "scaled_linear"})):
        folder = tmp_path / kind.__name__
        DDPMPipeline(unet, kind(**options, num_train_timesteps=60)).save_pretrained(folder)
        loaded = ImageDiffusion.load(folder)
        torch.testing.assert_close(loaded.alpha_bar, kind(**options, num_train_timesteps=60).alphas_cumprod)
        assert loaded.noise_schedule["prediction_type"] == "epsilon"
        with torch.no_grad():
            torch.testing.assert_close(loaded.predict_noise(images, 30), unet(images, 30).sample)


def test_arguments_that_do_not_fit_say_why(tiny: ImageDiffusion) -> None:
    with pytest.raises(ValueError, match=r"module\.learning_rate=0 must be positive"):
        ImageDiffusionTraining(tiny, learning_rate=0)
    with pytest.raises(ValueError, match="image_shape=None"):
        ImageDiffusionTraining(ImageDiffusion.small)
    with pytest.raises(ValueError, match="images have 1 channels, the diffusion model 3"):
        ImageDiffusionTraining(tiny, image_shape=(1, 8, 8))
    with pytest.raises(
        ValueError, match=r"diffusion\.noise_schedule='sine' is unknown; choose one of \['cosine', 'linear'\]"
    ):
        ImageDiffusion.small(1, noise_schedule="sine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"diffusion\.levels=1 must be"):
        ImageDiffusion.small(1, levels=1)


def test_training_learns_and_exports(tmp_path: Path) -> None:
    """Eighty steps on small digits: the error falls, samples are drawn, and what is exported is the model."""
    from omegaconf import OmegaConf

    digits = Digits(size=8, batch_size=32)
    digits.setup()
    cfg = OmegaConf.load(Path(CONF_DIR) / "module" / "image_diffusion.yaml")
    cfg.update(seed=0, learning_rate=5e-3, warmup=5, sample_steps=4)
    cfg.diffusion.update(channels=[8, 16], levels=100)
    pl.seed_everything(0, verbose=False)
    module = build(cfg, image_shape=digits.image_shape)
    batch = next(iter(digits.val_dataloader()))
    noise = torch.randn(batch.images.shape, generator=torch.Generator().manual_seed(0))
    uniform = torch.arange(len(noise)) / len(noise)
    with torch.no_grad():
        before = module.loss(batch.images, noise, uniform).item()
    trainer = trained(module, digits, 80, tmp_path)
    assert {"train/loss", "val/loss"} <= set(trainer.callback_metrics)
    assert list((tmp_path / "samples").glob("step*.png"))
    folder = module.export(tmp_path, digits, {"steps": trainer.global_step})
    loaded = ImageDiffusion.load(folder)
    assert json.loads((folder / "diffig.json").read_text())["facts"] == {
        "dataset": "digits",
        "image_shape": [1, 8, 8],
        "steps": 80,
    }
    with torch.no_grad():
        after = ImageDiffusionTraining(loaded).loss(batch.images, noise, uniform).item()
        assert after == module.loss(batch.images, noise, uniform).item()
    assert after < 0.6 * before
    # It denoises better than the mean image does.
    noisy = noised(batch.images, noise, share(loaded, 30))
    error = (loaded.denoised(noisy, 30) - batch.images).square().mean()
    assert error < 0.5 * (batch.images.mean(0) - batch.images).square().mean()
