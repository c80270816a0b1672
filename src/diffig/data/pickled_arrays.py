"""Reading pickles of arrays and plain containers without running anything they name."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

# Byte data only: every array dtype that image datasets store.
DTYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1", "|u1", "|i1", "|b1"}


class _Dtype:
    """Stands for `numpy.dtype` and remembers only its code."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        if self.code not in DTYPES:
            raise pickle.UnpicklingError(f"array of dtype {self.code!r} refused")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order in ("<", ">"):
            self.code = order + self.code


class _Array:
    """Stands for `numpy.ndarray` and is turned into one after the whole pickle has been read."""

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        self.values = _array(raw, dtype, shape, "F" if is_fortran else "C").values


def _array(raw: Any, dtype: Any, shape: Any, order: str = "C", *_: Any) -> _Array:
    if not isinstance(raw, bytes | bytearray | memoryview) or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("array of Python objects refused")
    array = _Array()
    array.values = np.frombuffer(raw, np.dtype(dtype.code)).reshape(shape, order="F" if order == "F" else "C").copy()
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} refused")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {("_codecs", "encode"): _encode}
for _package in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _Array
    ALLOWED[f"{_package}.numeric", "_frombuffer"] = _array
for _module in ("numpy", "numpy._core.multiarray", "numpy.core.multiarray"):
    ALLOWED[_module, "ndarray"] = _Array
    ALLOWED[_module, "dtype"] = _Dtype


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} refused")
        return ALLOWED[module, name]


def read_pickled_arrays(path: Path) -> dict[str, Any]:
    """Return the dictionary pickled in `path`: text keys; lists, numbers, bytes and numpy arrays as values.

    Nothing named in the file is imported or called: stand-ins rebuild arrays, and any other class is refused. Files of
    Python 2 are read too (their text comes as bytes; keys are decoded).

    Raises:
        ValueError: a corrupt file, one that names anything but arrays, or one that holds no dictionary.
    """
    try:
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"{path} is not a readable pickle of arrays ({error}); only numpy arrays and plain containers are read,"
            " for safety. Fetch the file again from where the dataset is published"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dictionary of arrays")
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): value.values
        if isinstance(value, _Array)
        else value
        for key, value in content.items()
    }
