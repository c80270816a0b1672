"""Odd values of any key on the command line: a run that ends well, or one line that names the key; never a trace.

`DIFFIG_FUZZ=1000` tries so many words of each program; a few by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from omegaconf import DictConfig, OmegaConf

from diffig.config import compose
from security.test_fuzz import fuzzed

Program = Callable[..., int]
few = settings(
    fuzzed,
    max_examples=int(os.environ.get("DIFFIG_FUZZ", "10")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
VALUES = ("abc", "''", "null", "true", "-1", "0", "1.5", "nan", "inf", "[]", "[abc]", "{a: 1}", "${nothing}", "???")
NEEDS = {"learned.lambda_comp": ("module=path_score",), "learned.lambda_faith": ("module=path_score",)}
EVALUATE = ("dataset.size=8", "classifier.width=8", "metrics=fast", "trainer=cpu", "limit=2", "batch_size=2", "steps=4")
EXPLAIN = ("dataset.size=8", "classifier.width=8", "image=3", "steps=4", "films=false")
TRAIN = ("trainer=cpu", "trainer.max_steps=1", "fields.val_samples=8", "fields.batch_size=4", "fields.num_workers=0")


def leaves(node: Any, place: str = "") -> Iterator[str]:
    """The dotted keys of a config, those of groups too."""
    for key in node if isinstance(node, DictConfig) else ():
        if not str(key).startswith("_"):
            name = f"{place}{key}"
            yield name
            yield from leaves(None if OmegaConf.is_missing(node, key) else node._get_node(key), f"{name}.")


def words_of(program: str, *chosen: str) -> st.SearchStrategy[tuple[str, ...]]:
    """What is chosen, and one key with an odd value."""
    keys = st.sampled_from(sorted(leaves(compose(program, list(chosen)))))
    return st.builds(lambda key, value: (*chosen, f"{key}={value}"), keys, st.sampled_from(VALUES))


def judge(code: int, said: str, words: tuple[str, ...]) -> None:
    """A run that failed has said so in a sentence with the key's own name, or with what it needs and has not."""
    assert code in (0, 1, 2), said
    assert "Traceback" not in said, said
    if code:
        key, _, value = words[-1].partition("=")
        group, last = key.partition(".")[0], key.rpartition(".")[2]
        named = ("nothing",) if value == "${nothing}" else (last, f"{group}.", *NEEDS.get(key, ()))
        assert any(len(line) > 20 and any(name in line for name in named) for line in said.splitlines()), said


@few
@given(st.one_of(*(words_of("evaluate", *EVALUATE, f"method={name}") for name in ("ig", "gig", "lrp", "diffig_field"))))
def test_evaluate(program: Program, cache: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code = program("evaluate", f"dirs.cache={cache}", "hydra.run.dir=run", *words)
    captured = capfd.readouterr()
    judge(code, captured.out + captured.err, words)


@few
@given(words_of("explain", *EXPLAIN, "method=ig"))
def test_explain(program: Program, cache: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code = program("explain", f"dirs.cache={cache}", "hydra.run.dir=run", *words)
    captured = capfd.readouterr()
    judge(code, captured.out + captured.err, words)


@few
@given(words_of("train", *TRAIN))
def test_train(program: Program, cache: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code = program("train", f"dirs.cache={cache}", "hydra.run.dir=run", "resume=false", *words)
    captured = capfd.readouterr()
    judge(code, captured.out + captured.err, words)


@few
@given(words_of("report"))
def test_report(program: Program, cache: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    for method in () if (cache / "rows").is_dir() else ("ig", "gig"):
        assert not program(
            "evaluate", f"dirs.cache={cache}", f"hydra.run.dir={cache}/rows/{method}", *EVALUATE, f"method={method}"
        )
    capfd.readouterr()
    code = program("report", f"runs={cache}/rows", "output=report", "bootstrap.n=50", "formats=[md]", *words)
    captured = capfd.readouterr()
    judge(code, captured.out + captured.err, words)
