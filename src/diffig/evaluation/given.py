"""Somebody else's maps from a file, judged over a dataset as any method is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffig.attribution.held import Held, like_images
from diffig.baselines import Baseline
from diffig.scores import ScoreFunction

MAPS, INDICES = "attributions", "indices"
WANTED = (
    f"{MAPS!r}, numbers (N, C, H, W) or (N, H, W), and {INDICES!r}, integers (N,), the images' image_index in rows "
    "(left out: 0 to N - 1)"
)


class Given(NamedTuple):
    """Maps `(N, ...)` of a file, the indices `(N,)` of their images, and the name that results call them by."""

    maps: Tensor
    indices: Tensor
    name: str

    def method(
        self, score: ScoreFunction | nn.Module, baseline: Baseline, images: Tensor, wanted: Sequence[int]
    ) -> Held:
        """Return what stands for the method that made the maps.

        Args:
            score: what was explained.
            baseline: where paths began.
            images: `(1, C, H, W)`, one of those that are judged.
            wanted: the indices of all that are.

        Raises:
            ValueError: an image has no map, or maps do not fit the images.
        """
        places = {int(index): place for place, index in enumerate(self.indices)}
        missing = sorted(set(wanted) - set(places))
        if missing:
            raise ValueError(
                f"attributions={self.name!r} have no map of {len(missing)} of the {len(wanted)} images, indices "
                f"{', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}; add them, or choose other "
                "images (limit, image_seed, skip, only_correct)"
            )
        chosen = self.maps[[places[index] for index in wanted]]
        maps = like_images(chosen, images.expand(len(wanted), -1, -1, -1), self.name)
        broken = ~maps.flatten(1).isfinite().all(1)
        if broken.any():
            first = wanted[int(broken.nonzero()[0])]
            raise ValueError(
                f"attributions={self.name!r} hold NaN or infinity in {int(broken.sum())} of the {len(wanted)} maps, "
                f"first that of image {first}; leave none of these in the file"
            )
        return Held(score, maps, torch.tensor(wanted), baseline, self.name)


def read_given(file: str | Path) -> Given:
    """Return the maps of a `.safetensors` or `.npz` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another kind or damaged, or does not hold what is wanted.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"no file at attributions={file}; expected .safetensors or .npz with {WANTED}")
    if path.suffix not in (".safetensors", ".npz"):
        raise ValueError(f"attributions={file} is neither .safetensors nor .npz; expected {WANTED}")
    try:
        found = _arrays(path)
        keys = list(found)
        arrays = {key: torch.as_tensor(found[key]) for key in (MAPS, INDICES) if key in keys}
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"attributions={file} cannot be read ({error}); expected {WANTED}") from error
    if MAPS not in arrays:
        raise ValueError(f"attributions={file} holds {', '.join(keys) or 'nothing'}; expected {WANTED}")
    maps = arrays[MAPS]
    indices = arrays.get(INDICES, torch.arange(len(maps)) if maps.ndim else torch.arange(0))
    if maps.ndim not in (3, 4) or not len(maps) or maps.dtype == torch.bool or maps.is_complex():
        raise ValueError(f"{MAPS!r} in {file} are {_described(maps)}; expected {WANTED}")
    whole = not (indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool)
    if indices.shape != (len(maps),) or not whole:
        raise ValueError(f"{INDICES!r} in {file} are {_described(indices)} for {len(maps)} maps; expected {WANTED}")
    if len(indices.unique()) < len(indices):
        raise ValueError(f"{INDICES!r} in {file} name an image more than once; give one map for each")
    return Given(maps.float(), indices.long(), path.stem)


def _arrays(path: Path) -> dict[str, Tensor] | dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive if key in (MAPS, INDICES)} or dict.fromkeys(archive, np.zeros(0))


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
