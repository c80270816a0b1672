"""Words that need a plugin, where it is not installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from diffig.cli import extras


@pytest.mark.parametrize(
    ("word", "extra"),
    [("hydra/launcher=local", "slurm"), ("hydra/launcher=slurm", "slurm"), ("hydra/sweeper=search", "search")],
)
@pytest.mark.parametrize("name", ["evaluate", "train"])
def test_what_to_install_is_said_in_one_line(
    name: str,
    word: str,
    extra: str,
    program: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    assert program(name, "-m", word, "seed=0,1") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"{word} needs what is not installed: pip install 'diffig[{extra}]'\n"


def test_nothing_is_said_of_what_is_there_or_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(extras, "find_spec", asked.append)
    assert extras.missing(["-m", "method=ig,gig", "hydra/launcher=basic"]) is None
    assert not asked
    monkeypatch.setattr(extras, "find_spec", lambda module: "a spec")
    assert extras.missing(["hydra/sweeper=search", "hydra/launcher=slurm"]) is None


def test_a_machine_without_any_plugin_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(module: str) -> None:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(extras, "find_spec", gone)
    assert "pip install 'diffig[search]'" in str(extras.missing(["hydra/sweeper=search"]))
