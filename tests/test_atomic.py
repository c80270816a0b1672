"""Files come to be in one place: whole or not at all."""

from __future__ import annotations

import ast
import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import diffig
from diffig.io import DiskFull, whole, write_bytes, write_json, write_tensors, write_text

SOURCE = Path(diffig.__file__).parent
MOVES = {("os", "replace"), ("os", "rename"), ("os", "renames"), ("shutil", "move")}


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.txt"
    write_text(file, "old, ü")
    with whole(file) as partial:
        assert partial.parent == file.parent, "a rename across disks is not atomic"
        partial.write_text("half")
        assert file.read_text(encoding="utf-8") == "old, ü"
    assert file.read_text() == "half"
    assert list(file.parent.iterdir()) == [file]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    write_bytes(file, b"old")

    def fail() -> None:
        with whole(file) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["full", "quota", "library"],
)
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, error: Exception) -> None:
    def fail() -> None:
        with whole(tmp_path / "a") as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(DiskFull, match=r"^no space left for .*a: free some, or write elsewhere") as caught:
        fail()
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "a", "text")  # type: ignore[arg-type]
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_text(tmp_path / "taken", "a folder stands here")
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with whole(tmp_path / "a") as first, whole(tmp_path / "a") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a").read_text() == "1", "the last to end has the last word"


def test_of_those_that_share_a_file_one_moves_it(tmp_path: Path) -> None:
    with whole(tmp_path / "a", shared=True, moves=False) as other:
        other.write_text("both")
    assert not (tmp_path / "a").exists()
    with whole(tmp_path / "a", shared=True) as first:
        assert first == other
    assert (tmp_path / "a").read_text() == "both"


def test_json_and_tensors(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"path": tmp_path, "n": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"path": str(tmp_path), "n": 1}
    turned = torch.arange(6.0).view(2, 3).T.requires_grad_()
    write_tensors(tmp_path / "a.safetensors", {"a": turned}, {"said": "so"})
    assert load_file(tmp_path / "a.safetensors")["a"].equal(turned.detach())
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o044 == 0o044, "others may read it"


def test_no_other_module_moves_files_into_place() -> None:
    """`os.replace`, `os.rename`, `shutil.move`, `Path.replace(target)`, `Path.rename(target)`, or a name for a part."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        if file == SOURCE / "io" / "atomic.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            place = f"{file.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".part"):
                found.append(place)
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            moved = (owner, node.func.attr) in MOVES
            onto = node.func.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords
            if moved or onto:
                found.append(place)
    assert not found, "diffig.io writes files, whole or not at all"
