"""The autoencoder: its latents, its folders, its losses and its training."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from diffig.config import CONF_DIR, build
from diffig.data.batch import Batch
from diffig.data.digits import Digits
from diffig.generative import Autoencoder, AutoencoderTraining
from diffig.generative.losses import BINOMIAL, kl_to_standard, laplacian_l1, measure_reconstruction, psnr, spread, stack
from small_training import trained


@pytest.fixture(scope="module")
def tiny() -> Autoencoder:
    torch.manual_seed(0)
    built = Autoencoder.small(3, latent_channels=2, channels=(8, 8, 16)).eval().requires_grad_(False)
    built.set_statistics([0.3, -0.2], [0.5, 2.0])
    return built


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def digits() -> Digits:
    module = Digits(size=8, batch_size=32)
    module.setup()
    return module


def test_shapes_and_factor(tiny: Autoencoder, images: torch.Tensor) -> None:
    latents = tiny.encode(images)
    assert tiny.factor == 4
    assert tuple(latents.shape[1:]) == tiny.latent_shape(images.shape[1:]) == (2, 4, 6)
    decoded = tiny.decode(latents)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1
    assert Autoencoder.small(1, channels=(8, 8)).factor == 2


def test_encoding_is_deterministic_and_knows_no_batch(tiny: Autoencoder, images: torch.Tensor) -> None:
    latents = tiny.encode(images)
    assert torch.equal(latents, tiny.encode(images))
    one_by_one = torch.cat([tiny.encode(image[None]) for image in images.flip(0)]).flip(0)
    torch.testing.assert_close(latents, one_by_one, rtol=1e-5, atol=1e-5)
    made = torch.cat([tiny.decode(latent[None]) for latent in latents])
    torch.testing.assert_close(tiny.decode(latents), made, rtol=1e-5, atol=1e-5)


def test_latents_are_the_standardised_mode(tiny: Autoencoder, images: torch.Tensor) -> None:
    raw = tiny.vae.encode(2 * images - 1).latent_dist.mode()
    wanted = (raw - torch.tensor([0.3, -0.2])[:, None, None]) / torch.tensor([0.5, 2.0])[:, None, None]
    torch.testing.assert_close(tiny.encode(images), wanted)
    torch.testing.assert_close(tiny(images), ((tiny.vae.decode(raw).sample + 1) / 2).clamp(0, 1))


def test_decoding_is_differentiable(tiny: Autoencoder) -> None:
    double = copy.deepcopy(tiny).double()
    generator = torch.Generator().manual_seed(2)
    latents, direction = torch.randn(2, 1, 2, 3, 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(1, 3, 12, 8, generator=generator, dtype=torch.float64)
    latents.requires_grad_(True)
    (gradient,) = torch.autograd.grad((double.decode(latents) * weights).sum(), latents)
    with torch.no_grad():
        ahead, behind = ((double.decode(latents + step * direction) * weights).sum() for step in (1e-6, -1e-6))
    assert (gradient * direction).sum().item() == pytest.approx((ahead - behind).item() / 2e-6, rel=1e-5)
    assert gradient.abs().sum() > 0


def test_a_folder_of_diffusers_is_read_with_its_scaling(images: torch.Tensor, tmp_path: Path) -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    options = {**blocks, "block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 2}
    vae = AutoencoderKL(**options, scaling_factor=0.5, shift_factor=0.25).eval()
    vae.save_pretrained(tmp_path / "pipeline" / "vae")
    loaded = Autoencoder.load(tmp_path / "pipeline")
    with torch.no_grad():
        mode = vae.encode(2 * images - 1).latent_dist.mode()
        torch.testing.assert_close(loaded.encode(images), (mode - 0.25) * 0.5)
        torch.testing.assert_close(loaded(images), ((vae.decode(mode).sample + 1) / 2).clamp(0, 1))
    per_channel = AutoencoderKL(**options, scaling_factor=0.5, latents_mean=[1.0, 2.0], latents_std=[3.0, 4.0])
    per_channel.save_pretrained(tmp_path / "per_channel", variant="fp16")
    loaded = Autoencoder.load(tmp_path / "per_channel")
    assert loaded.latent_mean.flatten().tolist() == [1.0, 2.0]
    assert loaded.latent_std.flatten().tolist() == [6.0, 8.0]


def test_a_vq_model_is_used_before_quantisation(images: torch.Tensor, tmp_path: Path) -> None:
    from diffusers.models.autoencoders.vq_model import VQModel

    vae = VQModel(block_out_channels=(8,), norm_num_groups=4, latent_channels=2, num_vq_embeddings=4).eval()
    vae.save_pretrained(tmp_path / "movq")
    loaded = Autoencoder.load(tmp_path)
    assert loaded.encode(images).shape == (5, *loaded.latent_shape(images.shape[1:]))
    latents = loaded.encode(images).requires_grad_(True)
    assert torch.autograd.grad(loaded.decode(latents).sum(), latents)[0].abs().sum() > 0
    with pytest.raises(ValueError, match="VQModel cannot be trained"):
        AutoencoderTraining(loaded)


def test_grey_images_go_through_a_colour_network(tiny: Autoencoder, images: torch.Tensor, tmp_path: Path) -> None:
    tiny.save(tmp_path)
    grey = Autoencoder.load(tmp_path, image_channels=1)
    given = images[:, :1]
    assert torch.equal(grey.encode(given), tiny.encode(given.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(
        grey.decode(tiny.encode(images)),
        tiny.pixels(tiny.moments(images)[0]).mean(dim=1, keepdim=True).clamp(0, 1),
    )
    with pytest.raises(ValueError, match="image_channels=1"):
        tiny.encode(given)
    with pytest.raises(ValueError, match="3, or 1 for grey"):
        Autoencoder.load(tmp_path, image_channels=4)


def test_inputs_that_do_not_fit_say_why(tiny: Autoencoder) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        tiny.latent_shape((3, 16, 18))
    with pytest.raises(ValueError, match=r"must be \(B, 2, h, w\)"):
        tiny.decode(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="std positive"):
        tiny.set_statistics([0, 0], [1, 0])
    with pytest.raises(ValueError, match=r"module\.learning_rate positive"):
        AutoencoderTraining(tiny, learning_rate=0)
    with pytest.raises(ValueError, match="sum at most 1"):
        AutoencoderTraining(tiny, constant_share=0.8, blurred_share=0.4)
    with pytest.raises(ValueError, match="image_shape=None"):
        AutoencoderTraining(Autoencoder.small)


def test_pyramid_distance_against_loops() -> None:
    difference = np.random.default_rng(0).normal(size=(2, 1, 16, 12))
    total, rest = 0.0, difference
    while min(rest.shape[-2:]) >= 8:
        smooth = np.zeros_like(rest)
        height, width = rest.shape[-2:]
        for row in range(height):
            for column in range(width):
                for down in range(-2, 3):
                    for right in range(-2, 3):
                        near = rest[..., min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)]
                        smooth[..., row, column] += BINOMIAL[down + 2] * BINOMIAL[right + 2] * near
        total += np.abs(rest - smooth).mean()
        rest = smooth[..., ::2, ::2]
    total += np.abs(rest).mean()
    first = torch.rand(2, 1, 16, 12, dtype=torch.float64)
    value = laplacian_l1(first + torch.from_numpy(difference), first)
    assert value.item() == pytest.approx(total, rel=1e-12)


def test_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64)
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard(mean, log_variance), wanted.sum(dim=(1, 2, 3)))


def test_errors_of_a_reconstruction(tiny: Autoencoder, images: torch.Tensor) -> None:
    assert psnr(images, images + 0.1)[0].item() == pytest.approx(20, abs=1e-3)
    measured = measure_reconstruction(tiny, images, chunk_size=2)
    made = tiny(images)
    assert measured["l1"] == pytest.approx((made - images).abs().mean().item(), rel=1e-5)
    mse = (made - images).double().square().mean(dim=(1, 2, 3))
    assert measured["psnr"] == pytest.approx((-10 * mse.log10()).mean().item(), rel=1e-5)
    assert -1 <= measured["ssim"] <= 1
    assert spread(5, 10) == [0, 1, 2, 3, 4]
    assert spread(100, 3) == [0, 50, 99]


def test_baselines_enter_the_training_batch(tiny: Autoencoder) -> None:
    module = AutoencoderTraining(copy.deepcopy(tiny), mean=(0.2, 0.4, 0.6), constant_share=0.25, blurred_share=0.125)
    count = 4000
    images = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.zeros(count, dtype=torch.int64), torch.arange(count))
    result = module.with_baselines(batch, torch.Generator().manual_seed(0))
    flat = (result == result[:, :, :1, :1]).flatten(1).all(dim=1)
    changed = (result != images).flatten(1).any(dim=1)
    margin = 4 / math.sqrt(count) / 2
    assert flat.float().mean().item() == pytest.approx(0.25, abs=margin)
    assert (changed & ~flat).float().mean().item() == pytest.approx(0.125, abs=margin)
    colours = result[flat][:, :, 0, 0]
    for colour in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.2, 0.4, 0.6)):
        share = torch.isclose(colours, torch.tensor(colour)).all(dim=1).float().mean().item()
        assert share == pytest.approx(0.25, abs=0.07)
    blurred = result[changed & ~flat]
    assert blurred.std(dim=(2, 3)).mean() < 0.5 * images.std(dim=(2, 3)).mean()
    assert torch.equal(result, module.with_baselines(batch, torch.Generator().manual_seed(0)))
    assert module.generator(3).initial_seed() != module.generator(4).initial_seed()


def test_training_learns_and_exports_standardised_latents(digits: Digits, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    cfg = OmegaConf.load(Path(CONF_DIR) / "module" / "autoencoder.yaml")
    cfg.update(seed=0, learning_rate=5e-3, warmup=5)
    cfg.autoencoder.update(channels=[8, 16], latent_channels=2)
    pl.seed_everything(0, verbose=False)
    module = build(cfg, image_shape=digits.image_shape, mean=digits.mean)
    before = measure_reconstruction(module.autoencoder, digits.val_set)
    trainer = trained(module, digits, 140, tmp_path)
    assert {"train/loss", "val/loss", "val/l1", "val/psnr", "val/ssim", "val/psnr_flat"} <= set(
        trainer.callback_metrics
    )
    assert list((tmp_path / "reconstructions").glob("step*.png"))
    folder = module.export(tmp_path, digits, {"steps": trainer.global_step})
    loaded = Autoencoder.load(folder)
    after = measure_reconstruction(loaded, digits.val_set)
    assert after["l1"] < before["l1"] / 3
    assert after["psnr"] > before["psnr"] + 5
    about = json.loads((folder / "diffig.json").read_text())
    assert about["facts"]["steps"] == 140
    assert about["facts"]["reconstruction"]["psnr"] == pytest.approx(after["psnr"], rel=1e-4)
    train = digits.train_set
    latents = loaded.encode(stack(train, range(len(train))))
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(2), rtol=0, atol=1e-3)


def test_the_config_of_a_file_builds_it(tiny: Autoencoder, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    tiny.save(tmp_path)
    cfg = OmegaConf.load(Path(CONF_DIR) / "autoencoder" / "file.yaml")
    cfg.path = str(tmp_path)
    assert build(cfg, image_channels=1).image_channels == 1
