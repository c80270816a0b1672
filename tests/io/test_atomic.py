"""Files come to be in one place: whole or not at all, and a full disk is said in one sentence that names the file."""

from __future__ import annotations

import ast
import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

import diffig
from diffig.evaluation.gallery import save_gallery
from diffig.explain.film import save_strip
from diffig.explain.side_by_side import save_side_by_side
from diffig.explain.tracks import Track
from diffig.io import DiskFull, is_full, whole, write_bytes, write_json, write_picture, write_tensors, write_text
from diffig.training.loss_curves import draw_losses

SOURCE = Path(diffig.__file__).parent
MOVES = {("os", "replace"), ("os", "rename"), ("os", "renames"), ("shutil", "move")}
IMAGE = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
SAID = r"kept.* cannot be written: the disk is full, or your quota is used up; make room and run the same command again"


def full(code: int = errno.ENOSPC) -> OSError:
    return OSError(code, os.strerror(code))


def left(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.txt"
    write_text(file, "old, ü")
    with whole(file) as partial:
        assert partial.parent == file.parent, "a rename across disks is not atomic"
        partial.write_text("half")
        assert file.read_text(encoding="utf-8") == "old, ü"
    assert file.read_text() == "half"
    assert list(file.parent.iterdir()) == [file]


LIBRARY = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    "error",
    [full(), full(errno.EDQUOT), LIBRARY, ValueError("no"), KeyboardInterrupt()],
    ids=["full", "quota", "library", "another", "interrupt"],
)
def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "kept"
    write_text(file, "old")

    def write() -> None:
        with whole(file) as partial:
            partial.write_text("half of the n")
            raise error

    with pytest.raises(DiskFull if is_full(error) else type(error), match=SAID if is_full(error) else None) as caught:
        write()
    if is_full(error):
        assert caught.value.errno == errno.ENOSPC  # type: ignore[attr-defined]
    assert left(tmp_path) == {"kept": "old"}


def test_an_interrupt_among_the_clearing_up_stays_one(tmp_path: Path) -> None:
    def write() -> None:
        with whole(tmp_path / "kept"):
            try:
                raise full()
            finally:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()


def test_the_sentence_comes_whole_from_another_process() -> None:
    error = DiskFull(Path("kept"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_libraries_say_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    class Full:
        def write(self, _: object) -> int:
            raise full()

        def flush(self) -> None: ...

    with pytest.raises(DiskFull, match=SAID), whole(tmp_path / "kept"):
        torch.save({"weights": torch.zeros(100_000)}, Full())  # a RuntimeError, in whose context it stands
    assert is_full(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_full(RuntimeError("CUDA error 28"))
    assert not is_full(RuntimeError("unable to write to file </torch_7_1>: No space left on device (28)")), "memory"


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


def test_files_have_the_rights_of_others_and_their_folder_is_made(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    write_tensors(tmp_path / "a" / "t.safetensors", {"x": torch.rand(3, 4).T})
    write_json(tmp_path / "a" / "b" / "t.json", {"where": tmp_path})
    write_picture(tmp_path / "a" / "t.png", IMAGE.expand(3, 4, 4))
    write_bytes(tmp_path / "a" / "t", b"x")
    for file in (tmp_path / "a").rglob("t*"):
        assert file.stat().st_mode & 0o444 == plain.stat().st_mode & 0o444, file
    assert not list(tmp_path.rglob("*.part"))


def draw(file: Path) -> None:
    log = file.with_name("log")
    log.write_text("step,val/loss\n1,2.0\n")
    try:
        draw_losses(log, file)
    finally:
        log.unlink()


def strip(file: Path) -> None:
    track = Track("one", torch.rand(3, 1, 4, 4), torch.rand(3))
    save_strip(file, [track], torch.linspace(0, 1, 3), "share", "title")


PICTURES: dict[str, Callable[[Path], None]] = {
    "gallery": lambda file: save_gallery(file, IMAGE[None], {"ig": IMAGE[None]}, ["cat"]),
    "losses": draw,
    "strip": strip,
    "side by side": lambda file: save_side_by_side(file, IMAGE, {"ig": IMAGE}, [("cat", 0.9)], "cat", "title"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_find_no_room_leave_the_earlier_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def savefig(figure: Figure, place: Path, **_: object) -> None:
        Path(place).write_bytes(b"half")
        raise full()

    file = tmp_path / "kept.png"
    file.write_text("old")
    monkeypatch.setattr(Figure, "savefig", savefig)
    with pytest.raises(DiskFull, match=SAID):
        PICTURES[name](file)
    assert left(tmp_path) == {"kept.png": "old"}


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


def test_errors_that_came_of_each_other_end_the_search() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert not is_full(first)
    second.__context__ = OSError(errno.ENOSPC, "no room")
    assert is_full(first)
