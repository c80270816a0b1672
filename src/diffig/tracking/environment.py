"""What a run ran on, so that its folder explains itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("diffig", "torch", "torchvision", "lightning", "hydra-core", "diffusers", "numpy", "pandas", "captum")


def environment() -> dict[str, Any]:
    """Return versions, device and, in a checkout, the git commit with whether it was clean."""
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "packages": versions,
        "git": _git(),
    }


def _git() -> dict[str, Any] | None:
    home = Path(__file__).resolve().parent

    def ask(*words: str) -> str:
        # Without --no-optional-locks a run that is killed here leaves the user's repository locked.
        call = subprocess.run(
            ["git", "--no-optional-locks", *words], cwd=home, capture_output=True, text=True, timeout=10, check=True
        )
        return call.stdout.strip()

    try:
        if not ask("ls-files", "--error-unmatch", Path(__file__).name):
            return None
        return {"commit": ask("rev-parse", "HEAD"), "clean": not ask("status", "--porcelain", "--untracked-files=no")}
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or an installed package
