"""The trained law of fields: a denoiser with all that is needed to sample from it, in one safetensors file."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor, nn

from diffig.diffusion.noise import SHIFT, Prediction, clean_of, cosine
from diffig.diffusion.sampler import Shift, ddim

SHIPPED = str(files("diffig.diffusion") / "field_prior.safetensors")


class FieldPrior(nn.Module):
    """Samples whitened fields `(N, T - 1, h, w)` of the stick-breaking law.

    Args:
        denoiser: predicts from `(noisy, times, concentration, cell_size)`.
        prediction: `v` or `epsilon`.
        facts: what the file should tell about the training (concentrations, cells, steps).
    """

    def __init__(self, denoiser: nn.Module, prediction: Prediction = "v", facts: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.denoiser, self.prediction, self.facts = denoiser, prediction, dict(facts or {})

    @property
    def n_knots(self) -> int:
        """Knots `T` of the fields it was trained on."""
        return int(self.denoiser.config["n_knots"])  # type: ignore[index]

    @torch.no_grad()
    def clean(self, noisy: Tensor, time: Tensor, concentration: Tensor, cell_size: Tensor) -> Tensor:
        """Return the predicted clean fields of `noisy` fields `(N, T - 1, h, w)` at one noise level."""
        alpha, sigma = cosine(time)
        output = self.denoiser(noisy, time.expand(len(noisy)), concentration, cell_size)
        return clean_of(noisy, output, alpha, sigma, self.prediction)

    def sample(
        self, noise: Tensor, concentration: Tensor, cell_size: Tensor, n_steps: int = 10, shift: Shift | None = None
    ) -> Tensor:
        """Return fields `(..., T - 1, h, w)` from standard normal `noise` of that shape; see `ddim`.

        Args:
            noise: leading axes (images, bands) are folded for the denoiser and given back to `shift`.
            concentration, cell_size: `(N,)` with `N` the first axis of `noise`.
            n_steps, shift: of the sampler.
        """
        lead = noise.shape[:-3]
        fold = int(torch.tensor(lead[1:]).prod()) if len(lead) > 1 else 1
        laws = concentration.to(noise).repeat_interleave(fold), cell_size.to(noise).repeat_interleave(fold)

        def denoise(noisy: Tensor, time: Tensor) -> Tensor:
            return self.clean(noisy.reshape(-1, *noise.shape[-3:]), time, *laws).view(noise.shape)

        return ddim(noise, denoise, n_steps, shift)

    def save(self, path: str | FilePath, half: bool = False) -> None:
        """Write weights and description to a safetensors file; `half` stores float16."""
        from safetensors.torch import save_file

        about = {
            "denoiser": self.denoiser.config,
            "prediction": self.prediction,
            "noise_shift": SHIFT,
            "facts": self.facts,
        }
        weights = {key: value.detach().cpu().contiguous() for key, value in self.denoiser.state_dict().items()}
        if half:
            weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
        target = FilePath(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        save_file(weights, partial, metadata={"diffig": json.dumps(about)})
        partial.chmod(0o644)
        partial.replace(target)  # a killed job leaves either the old file or the new one

    @classmethod
    def load(cls, path: str | FilePath | None = None) -> FieldPrior:
        """Return the prior of a file written by `save`, in evaluation mode; the shipped one where no path is given.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no prior, or its weights fit another architecture.
        """
        return _load(str(path) if path else SHIPPED)


@lru_cache(maxsize=4)
def _load(path: str) -> FieldPrior:
    from safetensors import SafetensorError, safe_open

    from diffig.diffusion.denoisers.unet import FieldUNet

    if not FilePath(path).is_file():
        raise FileNotFoundError(
            f"no prior at {path}; train one with `diffig-train module=path_diffusion` and give prior.path, or leave "
            "prior.path empty for the shipped one"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["diffig"])
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
        if about.get("noise_shift", SHIFT) != SHIFT:
            raise KeyError(f"trained at noise shift {about['noise_shift']}, not {SHIFT}")
        denoiser = FieldUNet(**about["denoiser"])
        denoiser.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no prior that this version can read ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "train one with `diffig-train module=path_diffusion`"
        ) from error
    return FieldPrior(denoiser, about["prediction"], about["facts"]).eval().requires_grad_(False)
