"""Folders of networks: the layout of diffusers, safetensors only; autoencoders have a `diffig.json` beside it."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

from torch import nn

from diffig.io import KEY, check_version, write_json, write_tensors

CONFIG, WEIGHTS, ABOUT = "config.json", "diffusion_pytorch_model.safetensors", "diffig.json"
FOLDER_VERSION = 1

SUBFOLDERS = ("vae", "movq", "autoencoder")  # where pipelines and our trainings keep theirs
CLASSES = ("AutoencoderKL", "VQModel")


def write_folder(folder: str | FilePath, vae: nn.Module, about: dict[str, Any]) -> None:
    """Write weights, config and description of an autoencoder."""
    write_network(folder, vae)
    write_about(folder, about)


def write_about(folder: str | FilePath, about: dict[str, Any]) -> None:
    """Write the description of a folder, with its version."""
    write_json(FilePath(folder) / ABOUT, {KEY: FOLDER_VERSION, **about})


def read_about(folder: FilePath) -> dict[str, Any] | None:
    """Return the description of a folder, None where it has none; NewerFormat where a later diffig wrote it."""
    if not (folder / ABOUT).is_file():
        return None
    about = read_json(folder / ABOUT)
    check_version(about, folder / ABOUT, "the description of a network", FOLDER_VERSION)
    return {key: value for key, value in about.items() if key != KEY}


def write_network(folder: str | FilePath, network: nn.Module) -> None:
    """Write weights and config of a network of diffusers; a killed job leaves whole files only."""
    from diffusers import __version__

    target = FilePath(folder)
    config = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}  # type: ignore[arg-type]
    config = {"_class_name": type(network).__name__, "_diffusers_version": __version__, **config}
    weights = {key: value.float() for key, value in network.state_dict().items()}
    write_tensors(target / WEIGHTS, weights, {"format": "pt"})
    write_json(target / CONFIG, config)


def read_folder(path: str | FilePath) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a folder and its description: `mean`, `std`, `image_channels`, `facts`."""
    folder = _locate(FilePath(path))
    described = read_about(folder)
    config = read_json(folder / CONFIG)
    kind = config.get("_class_name")
    if kind not in CLASSES:
        raise ValueError(
            f"{folder / CONFIG} describes a {kind}; an autoencoder of images must be one of {', '.join(CLASSES)}: "
            "give autoencoder.path of such a folder, e.g. the vae folder of a Stable Diffusion pipeline"
        )
    vae = read_network(folder, kind)
    about = _described_by(dict(vae.config)) if described is None else described  # type: ignore[arg-type]
    missing = [key for key in ("mean", "std", "image_channels") if key not in about]
    if missing:
        raise ValueError(
            f"{folder / ABOUT} lacks {', '.join(missing)}; export the autoencoder again, or delete the file"
        )
    return vae, about


def _locate(path: FilePath) -> FilePath:
    if not path.is_dir():
        raise FileNotFoundError(
            f"no folder {path}; train an autoencoder with `diffig-train module=autoencoder`, or give autoencoder.path "
            "of a downloaded diffusers folder (nothing is downloaded here)"
        )
    for folder in (path, *(path / name for name in SUBFOLDERS)):
        if (folder / CONFIG).is_file():
            return folder
    raise FileNotFoundError(
        f"{path} holds no {CONFIG}, nor does a folder {', '.join(SUBFOLDERS)} in it; give autoencoder.path of a folder "
        f"with {CONFIG} and {WEIGHTS}"
    )


def read_json(file: FilePath) -> dict[str, Any]:
    """Return the JSON object in a file; ValueError where there is none."""
    try:
        content = json.loads(file.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no JSON ({error}); copy or export the folder again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no JSON object; copy or export the folder again")
    return content


def read_network(folder: FilePath, kind: str) -> nn.Module:
    """Return the network of class `kind` in a folder, its weights in float32.

    Raises:
        FileNotFoundError: no safetensors weights.
        ValueError: weights that do not fit the config, or unreadable files.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # seconds of imports
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.unet_2d import UNet2DModel

    half = WEIGHTS.replace(".safetensors", ".fp16.safetensors")
    names = [name for name in (WEIGHTS, half) if (folder / name).is_file()]
    if not names:
        pickles = sorted(file.name for file in folder.glob("*.bin"))
        found = f"only pickled weights ({pickles[0]}), which may run code when read" if pickles else "no weights"
        raise FileNotFoundError(
            f"{folder} holds {found}; weights must be {WEIGHTS}: download that file, or convert a folder you trust "
            "with diffusers' save_pretrained(folder, safe_serialization=True)"
        )
    classes: dict[str, Any] = {"AutoencoderKL": AutoencoderKL, "VQModel": VQModel, "UNet2DModel": UNet2DModel}
    try:
        made, report = classes[kind].from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            variant=None if names[0] == WEIGHTS else "fp16",
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
        wrong = [*report["missing_keys"], *report["unexpected_keys"], *report.get("mismatched_keys", [])]
        if wrong:  # diffusers would go on with random numbers in their place
            raise ValueError(f"{len(wrong)} missing or unknown tensors, the first {wrong[0]}")
    except Exception as error:  # safetensors, shapes, config keys: many types, one meaning
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{folder / names[0]} does not fit {CONFIG} or is broken ({type(error).__name__}: {reason}); "
            "copy or export the folder again"
        ) from error
    network: nn.Module = made
    return network


def _described_by(config: dict[str, Any]) -> dict[str, Any]:
    """Return the statistics that a diffusers config stands for: `(raw - mean) * scaling_factor / latents_std`."""
    count = int(config.get("vq_embed_dim") or config["latent_channels"])
    scale = float(config.get("scaling_factor") or 1.0)
    shift = float(config.get("shift_factor") or 0.0)
    mean = config.get("latents_mean") or [shift] * count
    std = [value / scale for value in config.get("latents_std") or [1.0] * count]
    return {"mean": list(mean), "std": std, "image_channels": int(config["in_channels"]), "facts": {}}
