"""CIFAR-100 in the python format that its page and torchvision use."""

from pathlib import Path
from typing import Literal

from diffig.checks import check_choice
from diffig.data.cifar10 import Cifar10
from diffig.data.pickled_arrays import read_pickled_arrays

Labels = Literal["fine", "coarse"]


class Cifar100(Cifar10):
    """Datamodule of CIFAR-100; images (3, 32, 32) in [0, 1], 100 classes or their 20 groups.

    The index is the position in `test`, or in `train`. Source: Krizhevsky 2009.

    Args:
        path: the folder `cifar-100-python` or the one that holds it (torchvision's `root`).
        labels: `fine` (100 classes) or `coarse` (20 groups of five).
        val_fraction: share of the training images used for validation.
        batch_size: see ImageDataModule.
        num_workers: see ImageDataModule.
        seed: of the split and of the training order.
    """

    dataset = "cifar100"
    folder = "cifar-100-python"
    train_files = ("train",)
    test_file = "test"

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Labels = "fine",
        val_fraction: float = 0.1,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        check_choice(labels, Labels, "labels", "set dataset.labels to")
        super().__init__(path, val_fraction=val_fraction, batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.kind = labels
        self.label_key = f"{labels}_labels"

    def names(self, folder: Path) -> list[str]:
        """Return the names in the file `meta`, or the classes' numbers where it is missing."""
        count = 100 if self.kind == "fine" else 20
        if not (folder / "meta").is_file():
            return [str(number) for number in range(count)]
        names = read_pickled_arrays(folder / "meta").get(f"{self.kind}_label_names", [])
        if len(names) != count:
            raise ValueError(
                f"meta in {folder} has {len(names)} {self.kind} names, not {count}; unpack the archive again"
            )
        return [name.decode("latin1") if isinstance(name, bytes) else str(name) for name in names]
