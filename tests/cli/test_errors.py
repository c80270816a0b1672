"""A mistake of the user ends with one clear line, exit code 1 and no trace on the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Evaluate = Callable[..., int]


def weights_of_another_network(folder: Path) -> Path:
    from diffig.classifiers import small_cnn
    from diffig.classifiers.checkpoint import save_weights

    network = small_cnn(num_classes=10, in_channels=1, mean=[0.3], std=[0.4], width=4)
    save_weights(network, folder / "other.safetensors")
    return folder / "other.safetensors"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=ig", "limit=0"], "limit=0 must be a whole number of at least 1: how many images are explained; null"),
        (["method=ig", "limit=1.5"], "limit=1.5 must be a whole number of at least 1"),
        (["method=ig", "limit=true"], "limit=True must be a whole number of at least 1"),
        (["method=ig", "skip=-1"], "skip=-1 must be a whole number of at least 0"),
        (["method=ig", "seed=-1"], "seed=-1 must be a whole number of at least 0"),
        (["method=ig", "seed=null"], "seed=null must be a whole number of at least 0"),
        (["method=ig", "seed=99999999999999999999"], "seed=99999999999999999999 is larger than a number of 64 bits"),
        (["method=ig", "only_correct=abc"], "only_correct=abc must be true or false"),
        (["method=ig", "dirs.output=[a,b]"], "dirs.output=['a', 'b'] must be a folder"),
        (["method=ig", "batch_size=0"], "batch_size=0 must be a whole number of at least 1: images explained together"),
        (["method=ig", "dataset.batch_size=abc"], "dataset.batch_size=abc must be a whole number"),
        (["method=ig", "classifier.checkpoint=[a]"], "classifier.checkpoint=['a'] must be text or a path or null"),
        (["method=ig", "metrics.metrics.diffid.units=pixel"], "metrics.metrics.diffid.units=pixel must be a list"),
        (["method.guidance=strong"], "method.guidance=strong must be an object, a config with _target_ or null"),
        (["method.prior=???"], "method.prior is not set"),
        (
            ["method=ig", "credit={p: 2}"],
            "names no credit; choose credit= one of agreeing, idgi, proportional, riemann",
        ),
        (["method=ig", "trainer.devices=null"], "trainer.devices=null must be how many devices"),
        (["method=ig", "seed=${nothing}"], "seed: Interpolation key 'nothing' not found"),
        (["method=ig", "baseline=blur", "baseline.sigma=-1"], "baseline sigma=-1 must be a number of pixels above 0"),
        (["method=ig", "steps=0"], "steps=0 must be a whole number of at least 1"),
        (["method=ig", "target=nothing"], "target='nothing' is unknown; choose label or prediction"),
        (["prior=file"], "prior.path is not set; give it on the command line, prior.path=..."),
        (["prior=file", "prior.path=none.safetensors"], "no prior at none.safetensors"),
        (["credit=proportional", "credit.p=-1"], "credit.p=-1 must be a number of at least 0"),
        (["credit=proportional", "credit.q=-.5"], "credit.q=-0.5 must be a number of at least 0"),
        (["credit=agreeing", "credit.footprint=1.5"], "credit.footprint=1.5 is wider than the image"),
        (["method=ig", "footprint=1.5"], "footprint=1.5 must be a share of the image's side"),
        (["method=lrp", "footprint=[0,wide]"], "footprint=wide must be a share of the image's side"),
        (
            ["guidance.keep=best"],
            "guidance.keep='best' is unknown; choose one of ['mean', 'consensus', 'best_mixture']",
        ),
        (["credit=agreeing", "credit.unit=mile"], "credit.unit='mile' is unknown"),
        (
            ["method=grad_cam", "credit=agreeing"],
            "GradCAM follows none; leave credit out, or choose one of method=agi,",
        ),
        (["method=ig", "trainer.accelerator=abacus"], "abacus"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_one_clear_line(
    evaluate: Evaluate, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert evaluate("hydra.run.dir=run", *words) == 1
    captured = capfd.readouterr()
    shown = captured.out + captured.err
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "run" / "rows.parquet").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("credit=null", "credit is a group and None none of its names; leave it out, or choose one of agreeing, idgi"),
        ("guidance=inf", "guidance is a group and inf none of its names"),
        ("dirs=[1,2]", "dirs is a group and [1, 2] none of its names"),
        ("metrics=[]", "metrics is a group and [] none of its names"),
        ("~metrics", "a run needs one; choose metrics= one of benchmark"),
        ("hydra.run.dir=null", "hydra.run.dir must be a folder, not None"),
    ],
)
def test_a_group_takes_a_name(evaluate: Evaluate, capfd: pytest.CaptureFixture[str], word: str, message: str) -> None:
    assert evaluate("method=ig", word) == 2
    said = capfd.readouterr().err
    assert message in said
    assert said.startswith(word)
    assert said.count("\n") == 1


def test_a_number_said_otherwise_is_taken(evaluate: Evaluate, tmp_path: Path) -> None:
    assert (
        evaluate("hydra.run.dir=run", "method=ig", "limit=3e0", "dirs.output=7", "objective=logit", "seed=${skip}") == 0
    )
    assert (tmp_path / "7" / "rows.parquet").is_file()


def test_files_that_are_missing_empty_or_of_another_network(
    program: Evaluate, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 8, 8), np.uint8), y=np.zeros(0, np.int64))
    other = weights_of_another_network(tmp_path)
    cases = [
        (["dataset=npz", "dataset.path=nowhere.npz"], "nowhere.npz", "dataset.path"),
        (["dataset=npz", "dataset.path=empty.npz"], "holds no images", "dataset.path"),
        (["dataset.size=8", f"classifier.checkpoint={other}"], "does not fit", "classifier"),
        (["classifier=cifar_resnet"], "have 1 channels, classifier 'cifar_resnet20' takes 3", "classifier=..."),
        (["dataset=npz"], "dataset.path is not set", "dataset.path=..."),
        (["dataset.size=8", "classifier.checkpoint=no.safetensors"], "does not exist", "classifier.checkpoint"),
    ]
    for words, message, next_step in cases:
        assert program("evaluate", "trainer=cpu", "method=ig", f"dirs.cache={cache}", "hydra.run.dir=run", *words) == 1
        captured = capfd.readouterr()
        lines = [line for line in captured.out.splitlines() if "ERROR" in line]
        assert len(lines) == 1, captured
        assert message in lines[0]
        assert next_step in lines[0]
        assert "Traceback" not in captured.out + captured.err
        assert (tmp_path / "run" / "error.txt").is_file()


@pytest.mark.parametrize(
    "words", [["trainer.strategy=ddp"], ["trainer.devices=2"], ["trainer=ddp", "trainer.accelerator=cpu"]]
)
def test_a_sweep_refuses_processes_that_would_start_it_again(
    evaluate: Evaluate, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert evaluate("-m", "method=ig,random", "hydra.sweep.dir=sweep", *words) == 1
    said = capfd.readouterr().err
    assert "trainer.strategy=ddp_spawn" in said
    (command,) = (line.strip() for line in said.splitlines() if line.startswith("    "))
    assert command.startswith("diffig-evaluate -m ")
    assert "method=ig,random" in command
    count = 1 if words == ["trainer.strategy=ddp"] else 2
    assert command.endswith(f"hydra/launcher=local compute.devices={count}")
    assert not {"trainer=ddp", "trainer.strategy=ddp", "trainer.devices=2"} & set(command.split())
    assert not list((tmp_path / "sweep").glob("*/rows.parquet"))
