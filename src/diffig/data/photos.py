"""What the datamodules of photographs share: squares of one size, and how they are normalised."""

from collections.abc import Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from diffig.data.image_files import ImageFiles, ResizeMode
from diffig.data.masked_files import MaskedFiles, Region
from diffig.data.module import ImageDataModule
from diffig.data.storage import Storage

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224


class PhotoDataModule(ImageDataModule):
    """Datamodule of image files of any size; images `(3, size, size)` in [0, 1].

    A subclass names its own arguments, hands on the others as `**photo`, and says how to `load`.

    Args:
        path: folder or .zip of the dataset.
        name: of the dataset in results.
        size: side of the images in pixels; `None` means 224.
        resize: length of the shorter side before the central crop; `None` means `size`.
        resize_mode: `crop` or `squash`, see ImageFiles; `squash` has no use for `resize`.
        mean: per channel, for classifiers trained on this data; ImageNet's by default, `None` measures it.
        std: likewise.
        batch_size, num_workers, seed: see ImageDataModule.

    Raises:
        ValueError: an unknown way to resize, or sizes that do not fit together.
    """

    __signature__: ClassVar[Signature]

    def __init_subclass__(cls, **options: Any) -> None:
        """Put the arguments that `**photo` stands for into the signature of the subclass."""
        super().__init_subclass__(**options)
        own = list(signature(cls.__init__).parameters.values())[1:]
        if own[-1].kind is Parameter.VAR_KEYWORD:
            taken = {parameter.name for parameter in own}
            shared = signature(PhotoDataModule.__init__).parameters.values()
            own[-1:] = [p for p in shared if p.kind is Parameter.KEYWORD_ONLY and p.name not in taken]
        cls.__signature__ = Signature(own)

    def __init__(
        self,
        path: str | Path,
        name: str,
        *,
        size: int | None = None,
        resize: int | None = None,
        resize_mode: ResizeMode = "crop",
        mean: Sequence[float] | None = IMAGENET_MEAN,
        std: Sequence[float] | None = IMAGENET_STD,
        batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(name, batch_size=batch_size, num_workers=num_workers, seed=seed, mean=mean, std=std)
        if resize_mode not in get_args(ResizeMode):
            raise ValueError(
                f"resize_mode={resize_mode!r} is unknown; choose one of {list(get_args(ResizeMode))} (preprocess=... or"
                " dataset.resize_mode=...)"
            )
        self.path = path
        self.size = SIZE if size is None else size
        self.resize = self.size if resize is None or resize_mode == "squash" else resize
        self.resize_mode: ResizeMode = resize_mode
        if not 1 <= self.size <= self.resize:
            raise ValueError(
                f"size={self.size}, resize={resize}: dataset.size must be 1 or more, dataset.resize at least that"
            )

    def images_of(
        self,
        storage: Storage,
        files: Sequence[str],
        labels: np.ndarray,
        regions: Sequence[Region | None] = (),
    ) -> ImageFiles:
        """Return the files as a dataset, made square the way this datamodule was told.

        Args:
            storage: where the files are.
            files: their names `(N,)`.
            labels: integers `(N,)`.
            regions: where the object of each image is `(N,)`; without any, the dataset has no masks.
        """
        if any(regions):
            return MaskedFiles(
                storage, files, labels, regions, size=self.size, resize=self.resize, resize_mode=self.resize_mode
            )
        return ImageFiles(storage, files, labels, size=self.size, resize=self.resize, resize_mode=self.resize_mode)
