"""Loading weights from a file, and saying clearly why a file does not fit."""

import json
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diffig.classifiers.base import Classifier
from diffig.io import KEY, check_version, write_tensors

TORCH_SUFFIXES = (".pt", ".pth", ".th", ".ckpt", ".bin")
CONTAINERS = ("state_dict", "model_state_dict", "model")
# What DataParallel, torch.compile, Lightning modules and wrappers put before the names of a network.
PREFIXES = ("module.", "_orig_mod.", "classifier.", "model.", "net.")
SHOWN = 3
WEIGHTS_VERSION = 1

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def load_weights(module: ModuleT, path: str | Path, *, ignored: Collection[str] = ()) -> ModuleT:
    """Return `module` with the weights of `path`, loaded in place; on any error it stays as it was.

    The file holds the weights of a network, with or without the prefixes that wrappers add (`module.`, `net.`,
    ...). For a Classifier it may also hold `mean` and `std`, which are then used: weights belong to the
    normalisation they were trained with. Only tensors are read; nothing stored in the file is executed.

    Args:
        module: a Classifier, or a bare network.
        path: `.safetensors`, or a torch file (`.pt .pth .th .ckpt .bin`) with a dictionary of tensors.
        ignored: names of sub-modules whose tensors in the file are passed over.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: a folder, another kind of file, a corrupt one, or tensors that do not fit the network.
    """
    file = Path(path).expanduser()
    tensors = {name: tensor for name, tensor in read_tensors(file).items() if not set(name.split(".")) & set(ignored)}
    target, state = _matching(module, tensors)
    expected = target.state_dict()
    # BatchNorm counts batches in a tensor that inference never uses and older files lack.
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in state and name not in optional]
    unexpected = [name for name in state if name not in expected]
    different = [
        f"{name} (file {tuple(tensor.shape)}, network {tuple(expected[name].shape)})"
        for name, tensor in state.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if missing or unexpected or different:
        raise ValueError(
            f"{file} does not fit {_describe(module)}: {_list('missing', missing)}, {_list('unexpected', unexpected)},"
            f" {_list('of another shape', different)}. Choose the architecture the file was made for (classifier=...,"
            " classifier.num_classes, depth or name), or another classifier.checkpoint"
        )
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"{file} holds NaN or infinite values: {_list('in', broken)}; use an earlier checkpoint")
    target.load_state_dict(state, strict=False)
    if isinstance(module, Classifier):
        module.checkpoint = file
    return module


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a weights file on the CPU by name, as they are stored.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: a folder, another kind of file, a corrupt one, or one of a later diffig.
    """
    if path.is_dir():
        raise ValueError(f"checkpoint {path} is a folder; set classifier.checkpoint to the weights file inside it")
    if not path.exists():
        raise FileNotFoundError(f"checkpoint {path} does not exist; set classifier.checkpoint=... to a weights file")
    if path.suffix not in (".safetensors", *TORCH_SUFFIXES):
        allowed = " ".join((".safetensors", *TORCH_SUFFIXES))
        raise ValueError(f"checkpoint {path} ends in {path.suffix!r}; allowed: {allowed}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as opened:
                ours = (opened.metadata() or {}).get("diffig")
                about = json.loads(ours) if ours else {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(_corrupt(path, error)) from error
        check_version(about, path, "a classifier's weights", WEIGHTS_VERSION)
        return tensors
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        words = ("unsupported global", "unsupported class", "is blocked")
        if not any(word in str(error).lower() for word in words):
            raise ValueError(_corrupt(path, error)) from error
        raise ValueError(
            f"checkpoint {path} holds Python objects besides tensors, which are not read for safety; save its state"
            " dictionary alone (torch.save(net.state_dict(), ...)) or as .safetensors"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(_corrupt(path, error)) from error
    return _tensors(path, content)


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    for container in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        keys = list(content)[:SHOWN] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"checkpoint {path} holds no dictionary of tensors (found {keys}); save net.state_dict()")
    return {str(name): tensor for name, tensor in content.items()}


def _matching(module: nn.Module, state: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the module that the tensors are for (a whole Classifier or its net), and them under its names."""
    whole = without_prefixes(state, module)
    if not isinstance(module, Classifier) or {"mean", "std"} <= whole.keys():
        return module, whole
    return module.net, without_prefixes(state, module.net)


def without_prefixes(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors without prefixes that all names share and the module's own names do not."""
    expected = set(module.state_dict())
    while state and not expected & state.keys():
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in state):
                state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
                break
        else:
            break
    return state


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the module's state to `path` (.safetensors); readers see the old file or the whole new one."""
    write_tensors(path, module.state_dict(), {"diffig": json.dumps({KEY: WEIGHTS_VERSION})})


def _describe(module: nn.Module) -> str:
    return f"classifier {module.name!r}" if isinstance(module, Classifier) else type(module).__name__


def _corrupt(path: Path, error: Exception) -> str:
    size, reason = path.stat().st_size, str(error).split("\n")[0][:160]
    return f"checkpoint {path} ({size} bytes) is corrupt, cut short or of another format ({reason}); fetch it again"


def _list(what: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}" if names else f"none {what}"
