"""The old place of `diffig.method`, for one minor version; the modules that lay here are found through `moved.py`."""

import warnings

from diffig.method import FieldPath, Guidance
from diffig.moved import UNTIL

__all__ = ["FieldPath", "Guidance"]

warnings.warn(
    f"diffig.guidance is diffig.method now; the old name goes with diffig {UNTIL}", DeprecationWarning, stacklevel=2
)
