"""What a config names and nobody can import is said with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffig.config import build


@pytest.mark.parametrize(
    "node", [{"_target_": "mine_.Metric"}, {"_target_": "builtins.dict", "a": {"_target_": "mine_.Metric"}}]
)
def test_a_module_that_is_not_there(node: dict[str, object]) -> None:
    with pytest.raises(
        ValueError, match=r"^mine_\.Metric cannot be imported: No module named 'mine_'; .*PYTHONPATH\?$"
    ):
        build(node)


def test_a_module_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_failing.py").write_text("from torch import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"mine_failing\.A cannot be imported: cannot import name 'nothing_of_this_name'"
    ):
        build({"_target_": "mine_failing.A"})
    sys.modules.pop("mine_failing", None)
