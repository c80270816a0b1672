"""Kills programs at random moments, starts them again, and looks at what is left.

README: `python tests/reliability/kill.py` kills every program 20 times by SIGKILL, each time checks that every file in
its folder can be read, lets the same command go on, and compares what it ends with to a run that nothing has disturbed.
`--kills 3 --only evaluate report --seed 1 --folder /tmp/kills` does less, otherwise, somewhere else.

Programs are forked from this process, which has everything imported, so that moments fall into the work and a kill
costs tenths of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import yaml
from PIL import Image, ImageSequence
from safetensors import safe_open
from safetensors.torch import load_file

DIGITS = ("dataset=digits", "dataset.size=8", "classifier.width=8")
TRAIN = (
    "trainer=cpu", "trainer.log_every_n_steps=1", "trainer.max_steps=12", "+trainer.limit_val_batches=1",
    "callbacks.checkpoint.minutes=0", "callbacks.ema.decay=0.9", "latent.folder=latent", "dirs.cache=cache",
)  # fmt: skip
NET = ("width=16", "depth=1", "heads=2")
LATENTS = (
    *DIGITS, "latents.space.n_segments=4", "latents.samples=48", "latents.batch_size=8", "latents.val_samples=8",
    "latents.images=20",
)  # fmt: skip
AUTOENCODER = (
    *TRAIN, *DIGITS, "module=autoencoder", "dataset.batch_size=200", "module.autoencoder.channels=[8,8]",
    "module.warmup=2", "module.autoencoder.latent_channels=2",
)  # fmt: skip
LABELS = (*TRAIN, *LATENTS, "module=path_labels", "module.count=48", "module.val_count=8", "module.shard_size=4")
EVALUATE = (
    *DIGITS, "metrics=fast", "trainer=cpu", "method=gig", "limit=10", "batch_size=1", "steps=60", "pictures=3",
    "dirs.cache=cache",
)  # fmt: skip
ROWS = (*DIGITS, "metrics=fast", "trainer=cpu", "limit=6", "steps=4", "dirs.cache=cache")


class Case(NamedTuple):
    """A program that is killed: its words, in which `{}` is the folder, and what of the folder has to be the same."""

    program: str
    words: tuple[str, ...]
    left: Callable[[Path], Any]
    before: tuple[tuple[str, ...], ...] = ()


# ---- what is left


def tensors(folder: Path) -> dict[str, Any]:
    """Every weights file by name."""
    return {str(file.relative_to(folder)): load_file(file) for file in sorted(folder.rglob("*.safetensors"))}


def training(folder: Path) -> Any:
    """Weights, and weights, average, optimiser and schedule of the last checkpoint, and the losses."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    names = ("global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "averaging_state")
    losses = pd.read_csv(folder / "log" / "metrics.csv").dropna(subset="val/loss")[["step", "val/loss"]]
    found = {name: tensor for name, tensor in tensors(folder).items() if "predictions" not in name}
    assert found, "no weights"
    return found, {name: content[name] for name in names if name in content}, losses.to_dict("list")


def labels(folder: Path) -> Any:
    about = json.loads((folder / "labels" / "manifest.json").read_text())
    return tensors(folder), {key: value for key, value in about.items() if key != "cost"}


def rows(folder: Path) -> Any:
    """Rows, curves, thumbnails, classes and summary, without times."""
    table = pd.read_parquet(folder / "rows.parquet").drop(columns="seconds")
    summary = pd.read_csv(folder / "summary.csv").drop(columns="seconds")
    curves = pd.read_parquet(folder / "curves.parquet")
    shown = load_file(folder / "thumbnails.safetensors")
    names = json.loads((folder / "classes.json").read_text())
    assert (folder / "attributions.png").is_file()
    return [part.to_dict("list") for part in (table, summary, curves)], shown, names


def explanation(folder: Path) -> Any:
    summary = json.loads((folder / "summary.json").read_text())
    for words in (summary, *summary["methods"]):
        words.pop("seconds")
    pages = sorted(file.name for file in folder.iterdir() if file.suffix in (".png", ".gif", ".html"))
    return tensors(folder), summary, pages


def written(folder: Path) -> Any:
    """All files, byte by byte."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not _passed_over(file)}


CASES = {
    "classifier": Case("train", (*TRAIN, *DIGITS, "module=classifier", "dataset.batch_size=200"), training),
    "autoencoder": Case("train", AUTOENCODER, training),
    "image_diffusion": Case(
        "train",
        (*TRAIN, *DIGITS, "module=image_diffusion", "dataset.batch_size=200", "module.diffusion.channels=[8,8]",
         "module.warmup=2", "module.sample_steps=2"),
        training,
    ),
    "path_diffusion": Case(
        "train",
        (*TRAIN, "module=path_diffusion", "fields.samples=48", "fields.batch_size=8", "fields.val_samples=8",
         "fields.grid=[4,4]", "fields.n_segments=4", "fields.cell_sizes=[1,2]",
         "module.prior.denoiser.channels=[16,16]", "module.warmup=2", "module.sample_steps=2"),
        training,
    ),
    "latent_diffusion": Case(
        "train",
        (*TRAIN, *LATENTS, "module=latent_diffusion", "module.warmup=2", "module.sample_steps=2",
         *(f"module.prior.{word}" for word in NET)),
        training,
        (("train", *AUTOENCODER, "hydra.run.dir=latent/autoencoder"),),
    ),
    "path_score": Case(
        "train",
        (*TRAIN, *LATENTS, "module=path_score", "module.warmup=2", *(f"module.{word}" for word in NET)),
        training,
        (("train", *AUTOENCODER, "hydra.run.dir=latent/autoencoder"),
         ("train", *LABELS, "hydra.run.dir=latent/labels")),
    ),
    "path_labels": Case("train", LABELS, labels, (("train", *AUTOENCODER, "hydra.run.dir=latent/autoencoder"),)),
    "evaluate": Case("evaluate", EVALUATE, rows),
    "explain": Case(
        "explain",
        (*DIGITS, "image=3", "method=ig,gig,diffig_field", "steps=16", "frames=6", "dirs.cache=cache"),
        explanation,
    ),
    "report": Case(
        "report",
        ("runs=made", "output={}", "bootstrap.n=500", "formats=[md,csv,tex,html,pdf]"),
        written,
        tuple(("evaluate", *ROWS, f"method={name}", f"hydra.run.dir=made/{name}") for name in ("ig", "gradient")),
    ),
}  # fmt: skip


# ---- killing


def start(program: str, words: tuple[str, ...], said: Path) -> int:
    """Return the process, a fork of this one, that runs a program and writes what it says to a file."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.argv = [f"diffig-{program}", *words]
        main_of(program)()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            os.write(2, f"{stop.code}\n".encode())
        os._exit(1 if isinstance(stop.code, str) else stop.code or 0)
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
        os._exit(99)
    os._exit(0)


def main_of(program: str) -> Callable[[], Any]:
    """Return the program."""
    if program == "train":
        from diffig.cli.train import main
    elif program == "evaluate":
        from diffig.cli.evaluate import main
    elif program == "explain":
        from diffig.cli.explain import program as main
    else:
        from diffig.cli.report import program as main
    return main


def warm() -> None:
    """Import what the programs import when they run."""

    import diffig.evaluation.gallery
    import diffig.evaluation.run
    import diffig.evaluation.summary
    import diffig.explain.run
    import diffig.method.guidance.learned_training
    import diffig.method.guidance.path_labels
    import diffig.report
    import diffig.training.run  # noqa: F401

    for program in ("train", "evaluate", "explain", "report"):
        main_of(program)
    torch.set_num_threads(1)


def compose_once(program: str, words: tuple[str, ...]) -> None:
    """Let forks find their config composed, which is half of what a tiny run takes, and writes nothing."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.global_hydra import GlobalHydra

    compose: Any = getattr(ConfigLoaderImpl, "uncached", ConfigLoaderImpl._load_configuration_impl)
    known: dict[str, Any] = {}

    def composed(loader: Any, *given: Any, **named: Any) -> Any:
        key = repr((given, named))
        if key not in known:
            known[key] = compose(loader, *given, **named)
        return copy.deepcopy(known[key])

    ConfigLoaderImpl.uncached, ConfigLoaderImpl._load_configuration_impl = compose, composed  # type: ignore
    arguments, sys.argv = sys.argv, [f"diffig-{program}", *words, "--cfg", "hydra"]
    with contextlib.redirect_stdout(io.StringIO()):
        main_of(program)()
    GlobalHydra.instance().clear()
    sys.argv = arguments


def finish(program: str, words: tuple[str, ...], said: Path) -> None:
    """Run a program to its end; AssertionError with its last words where that is a bad one."""
    code = os.waitstatus_to_exitcode(os.waitpid(start(program, words, said), 0)[1])
    assert code == 0, f"diffig-{program} {' '.join(words)} ended with {code}:\n{said.read_text()[-3000:]}"


def words_for(case: Case, folder: Path) -> tuple[str, ...]:
    """Return the words with the folder in them; every program but the report takes it from Hydra."""
    if case.program == "report":
        return tuple(word.replace("{}", str(folder)) for word in case.words)
    return (*case.words, f"hydra.run.dir={folder}")


def kill(name: str, kills: int, seed: int, place: Path) -> dict[str, Any]:
    """Kill one case so many times, in as many folders as it takes, and return figures.

    Raises:
        AssertionError: a file cannot be read, a start does not go on, or what is left in the end is not the same.
    """
    case, dice = CASES[name], random.Random(f"{seed} {name}")
    os.chdir(place)
    for program, *words in case.before:
        finish(program, tuple(words), place / "before.txt")
    finish(case.program, words_for(case, place / "first"), place / "first.txt")  # fills caches
    compose_once(case.program, words_for(case, place / "whole"))
    begun = time.monotonic()
    finish(case.program, words_for(case, place / "whole"), place / "whole.txt")
    whole = time.monotonic() - begun
    wanted, done, rounds, cut, began = case.left(place / "whole"), 0, 0, 0, time.monotonic()
    while done < kills or cut:
        folder, said = place / f"killed-{rounds}", place / f"killed-{rounds}.txt"
        ended = False
        compose_once(case.program, words_for(case, folder))
        # After four kills a run may end, so that every round also shows what it ends with.
        for _ in range(min(4, kills - done)):
            child = start(case.program, words_for(case, folder), said)
            limit = time.monotonic() + dice.uniform(0, 0.9) * whole
            while time.monotonic() < limit and not (ended := os.waitpid(child, os.WNOHANG)[0] != 0):
                time.sleep(0.002)
            if ended:
                break
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done, cut = done + 1, cut + 1
            for file, reason in unreadable(folder):
                raise AssertionError(f"{name}: {file} cannot be read after kill {done}: {reason}")
        finish(case.program, words_for(case, folder), said)
        for file, reason in unreadable(folder):
            raise AssertionError(f"{name}: {file} cannot be read in the end: {reason}")
        assert same(case.left(folder), wanted), f"{name}: {folder} is not {place / 'whole'}, after {cut} kills"
        assert "Traceback" not in said.read_text(), said.read_text()[-3000:]
        rounds, cut = rounds + 1, 0
        shutil.rmtree(folder)
    return {"case": name, "kills": done, "ends": rounds, "whole": round(whole, 2), "s": round(time.monotonic() - began)}


def same(left: Any, right: Any) -> bool:
    """Whether two nests hold the same values; of a batch that was cut otherwise numbers are equal up to rounding."""
    if isinstance(left, torch.Tensor):
        if left.dtype == torch.int8:  # a map's levels
            return left.shape == right.shape and bool(((left.int() - right.int()).abs() <= 1).all())
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or left != left != right or abs(left - right) <= 1e-5 + 1e-4 * abs(right)
    return bool(left == right)


# ---- reading


def _passed_over(file: Path) -> bool:
    """What no reader opens: parts, and what begins with a dot; what Hydra writes there, readers expect to be cut."""
    return file.suffix == ".part" or any(part.startswith(".") for part in file.parts[-3:])


def unreadable(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that a reader cannot open, and why."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not _passed_over(file.relative_to(folder)):
            try:
                read(file)
            except Exception as error:
                yield file, f"{type(error).__name__}: {error}"


def read(file: Path) -> None:
    """Read a file to its end, by its kind."""
    if file.suffix == ".parquet":
        assert len(pd.read_parquet(file))
    elif file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as opened:
            assert [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118 (not a dict)
    elif file.suffix == ".ckpt":
        assert torch.load(file, weights_only=True)["state_dict"]
    elif file.suffix == ".json":
        json.loads(file.read_text())
    elif file.suffix == ".yaml":
        assert isinstance(yaml.safe_load(file.read_text()), dict | list)
    elif file.suffix == ".csv":
        text = file.read_text()
        assert text.endswith("\n"), "its last line is cut"
        pd.read_csv(io.StringIO(text))
    elif file.suffix in (".png", ".gif"):
        with Image.open(file) as picture:
            for frame in ImageSequence.Iterator(picture):
                frame.load()
    elif file.suffix == ".html":
        assert file.read_text().rstrip().endswith("</html>"), "its end is missing"
    elif file.suffix == ".pdf":
        assert file.read_bytes().rstrip().endswith(b"%%EOF"), "its end is missing"
    elif file.name == "status":
        assert file.read_text() in ("running", "done", "failed"), file.read_text()
    elif file.name == "fingerprint":
        assert len(file.read_text()) == 16
    else:
        assert file.suffix in (".md", ".tex", ".log", ".txt"), "of no known kind"


def main() -> None:
    """Kill what the command line names and print a line for each."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    asked.add_argument("--folder", type=Path, help="kept in the end; a temporary one by default")
    given = asked.parse_args()
    warm()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.only:
            place = (given.folder or Path(temporary)).resolve() / name
            place.mkdir(parents=True)
            try:
                print(json.dumps(kill(name, given.kills, given.seed, place)), flush=True)
            except AssertionError as error:
                wrong += 1
                print(error, flush=True)
            os.chdir(place.parent)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
