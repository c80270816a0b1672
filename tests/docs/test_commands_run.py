"""The commands of the README and of the pages are run, one after another as a reader runs them, with small numbers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_docs_pages import ANSWERED, TEXTS, blocks, commands

PAGES = ("docs/tutorial", "docs/judge", "docs/credit", "docs/train_prior", "docs/latent", "docs/slurm")
PROGRAMS = {
    "evaluate": "from diffig.cli.evaluate import main; main()",
    "explain": "from diffig.cli.explain import program; program()",
    "report": "from diffig.cli.report import program; program()",
    "train": "from diffig.cli.train import main; main()",
}
ELSEWHERE = (
    "hydra/launcher=slurm",  # tests/distributed/test_slurm.py
    "hydra/sweeper=search",  # tests/cli/test_search.py
    "my_configs",  # tests/docs/test_extend.py, tests/cli/test_own_classifier.py
    "task=counterfactual",  # tests/cli/test_explain.py
    "dataset=oxford_pet",  # tests/classifiers/test_fine_tuning.py
    "logger=wandb",  # tests/cli/test_dashboard.py, tests/cli/test_dashboard_report.py
    *ANSWERED,  # tests/cli/test_help.py
)
"""Words of commands that want a cluster, an extra, or files that are not here, and the tests that run these."""
LATENT = ("latents.images=6", "latents.val_images=2", "latents.val_samples=4", "latents.batch_size=4")
NET = ("width=16", "depth=1", "heads=2")
SMALL = {
    "module=autoencoder": ("module.autoencoder.channels=[8,8,8]", "dataset.batch_size=8"),
    "module=latent_diffusion": (*LATENT, *(f"module.prior.{word}" for word in NET)),
    "module=path_labels": (*LATENT, "module.count=12", "module.val_count=6", "module.shard_size=6"),
    "module=path_score": (*LATENT, *(f"module.{word}" for word in NET)),
}
TRAINED = ("trainer=cpu", "trainer.max_steps=4", "trainer.val_check_interval=2", "+trainer.limit_val_batches=1")


def smaller(program: str, words: list[str]) -> list[str]:
    """The words with less to do; of a sweep's values the first and the last."""
    extra = {
        "evaluate": ("trainer=cpu", "limit=4", "dirs.cache=cache"),
        "explain": ("dirs.cache=cache",),
        "report": ("bootstrap.n=100",),
        "train": (*TRAINED, "dirs.cache=cache", *(more for word in words for more in SMALL.get(word, ()))),
    }[program]
    if program == "evaluate":
        extra += () if any(word.startswith("metrics=") for word in words) else ("metrics=fast",)
        extra += ("latent.sample_steps=3",) if any("latent" in word for word in words) else ()
    replaced = {word.partition("=")[0].lstrip("+") for word in extra}
    kept = [word for word in words if word.partition("=")[0] not in replaced]
    if "-m" in kept:
        kept = [re.sub(r"^([\w.]+=[^,\[{(]+),(?:.*,)?([^,]+)$", r"\1,\2", word) for word in kept]
    return [*kept, *extra]


def steps(text: str) -> Iterator[tuple[str, object]]:
    """The blocks of a page in their order: Python as it is, the shell's as commands."""
    for language in re.findall(r"^```(bash|python)$", text, re.MULTILINE):
        start = re.search(rf"^```{language}$", text, re.MULTILINE)
        assert start
        text = text[start.start() :]
        (block, *_) = blocks(text, language)
        text = text.removeprefix(f"```{language}\n{block}")
        yield language, block if language == "python" else [*commands(f"```bash\n{block}```\n")]


RAN: list[list[str]] = []


def run(command: list[str], folder: Path) -> None:
    """Run a command unless another test does."""
    program, words = command[0].removeprefix("diffig-"), command[1:]
    if program not in PROGRAMS or any(one in word for word in words for one in ELSEWHERE):
        return
    given = [re.sub(r"<[^>]+>", lambda _: latest(folder), word) for word in smaller(program, words)]
    call = subprocess.run(
        [sys.executable, "-c", PROGRAMS[program], *given], cwd=folder, capture_output=True, text=True, timeout=500
    )
    assert call.returncode == 0, " ".join(given) + call.stdout[-3000:] + call.stderr[-3000:]
    RAN.append(command)


def latest(folder: Path) -> str:
    """The name of the run that a page means by `<run>`."""
    return max((folder / "outputs" / "train").iterdir()).name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, content in steps(TEXTS[f"{page}.md"]):
        if language == "python":
            exec(str(content), names)
        else:
            for command in content:  # type: ignore[attr-defined]
                run(command, tmp_path)


@pytest.mark.slow
def test_the_readme_runs_from_top_to_bottom(tmp_path: Path, shared_data: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (230, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.jpg")
    shape = (1797, 16, 16)
    np.savez(tmp_path / "maps.npz", attributions=np.random.default_rng(0).normal(size=shape).astype(np.float32))
    for name, file in {
        "mobilenet_v2.safetensors": "imagenet_mobilenet_v2.safetensors",
        "photos.zip": "imagenet_samples.zip",
        "cifar10_test.npz": "cifar10_test_lossless.npz",
        "cifar10_resnet20.safetensors": "cifar10_resnet20.safetensors",
    }.items():
        os.symlink(shared_data / file, tmp_path / name)
    before = len(RAN)
    for command in commands(TEXTS["README.md"]):
        run([word.replace("maps.safetensors", "maps.npz") for word in command], tmp_path)
    assert len(RAN) - before > 15


def test_what_is_left_to_other_tests_is_little() -> None:
    every = [c for text in TEXTS.values() for c in commands(text) if c[0].startswith("diffig-")]
    left = [c for c in every if any(one in word for word in c for one in ELSEWHERE)]
    assert len(left) < len(every) / 2
