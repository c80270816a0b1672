"""Folders of image diffusion models: the layout of a diffusers pipeline, `unet/` and `scheduler/`."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

from torch import nn

from diffig.generative.folders import CONFIG, read_about, read_json, read_network, write_about, write_network
from diffig.io import write_json

UNET, SCHEDULER = "unet", "scheduler"
SCHEDULE = "scheduler_config.json"
OWN = "image_diffusion"  # where our trainings keep theirs
# What tells the noise of every scheduler of diffusers, with its defaults.
KEYS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
}


def write_pipeline(folder: str | FilePath, unet: nn.Module, schedule: dict[str, Any], about: dict[str, Any]) -> None:
    """Write a pipeline that diffusers' `DDPMPipeline` reads too, with a `diffig.json` that holds `about`."""
    from diffusers import __version__

    target = FilePath(folder)
    write_network(target / UNET, unet)
    (target / SCHEDULER).mkdir(exist_ok=True)
    version = {"_diffusers_version": __version__}
    write_json(target / SCHEDULER / SCHEDULE, {"_class_name": "DDPMScheduler", **version, **schedule})
    parts = {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    write_json(target / "model_index.json", {"_class_name": "DDPMPipeline", **version, **parts})
    write_about(target, about)


def read_pipeline(path: str | FilePath) -> tuple[nn.Module, dict[str, Any]]:
    """Return the U-Net of a pipeline folder and its noise schedule (`KEYS`).

    Raises:
        FileNotFoundError: no such folder, no U-Net, no scheduler or no safetensors weights in it.
        ValueError: another class, a conditional model, weights that do not fit, or unreadable files.
    """
    folder = _locate(FilePath(path))
    read_about(folder)  # which a later diffig may have written
    config = read_json(folder / UNET / CONFIG)
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise ValueError(
            f"{folder / UNET / CONFIG} describes a {kind}; a diffusion model of pixels must be a UNet2DModel (latent "
            "and text-conditional models will not do): give latent.image_diffusion of such a pipeline"
        )
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        raise ValueError(
            f"{folder} is conditioned on classes; give latent.image_diffusion of an unconditional pipeline"
        )
    written = read_json(folder / SCHEDULER / SCHEDULE)
    if "beta_schedule" not in written and "trained_betas" not in written:
        raise ValueError(
            f"{folder / SCHEDULER / SCHEDULE} ({written.get('_class_name')}) tells no beta_schedule; only schedulers "
            "of discrete noise levels (DDPM, DDIM and their kin) say how noisy each level is"
        )
    schedule = {key: written.get(key, default) for key, default in KEYS.items()}
    return read_network(folder / UNET, kind), schedule


def _locate(path: FilePath) -> FilePath:
    if not path.is_dir():
        raise FileNotFoundError(
            f"no folder {path}; train a model with `diffig-train module=image_diffusion`, or give "
            "latent.image_diffusion of a downloaded diffusers pipeline of pixels (nothing is downloaded here)"
        )
    for folder in (path, path / OWN):
        if (folder / UNET / CONFIG).is_file():
            if (folder / SCHEDULER / SCHEDULE).is_file():
                return folder
            raise FileNotFoundError(
                f"{folder} holds no {SCHEDULER}/{SCHEDULE}; without it nobody knows how noisy a level is: copy the "
                "whole pipeline, not its unet alone"
            )
    raise FileNotFoundError(
        f"{path} holds no {UNET}/{CONFIG}, nor does a folder {OWN} in it; give latent.image_diffusion of a pipeline "
        f"folder with {UNET}/ and {SCHEDULER}/"
    )
