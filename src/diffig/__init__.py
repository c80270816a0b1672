"""Diffusion Integrated Gradients: generated integration paths, their peers, and a fair benchmark of all.

Every method, what methods are built from, and every room of the package is one name away and imported on first use,
so that `import diffig` stays quick. `__init__.pyi` is the list.
"""

from __future__ import annotations

import sys
from typing import Any

import lazy_loader

from diffig import moved

moved.install()
_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'diffig' has no attribute {name!r}; it offers {sorted(__all__)}")
    found = _attached(name)
    room = sys.modules.get(f"{__name__}.{name}")
    if room is not None:  # a room that has its function's name can be called, and stands for both
        globals()[name] = found = room
    return found
