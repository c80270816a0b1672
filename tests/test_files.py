"""Files are whole or not there, and a full disk is said in one sentence that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from diffig.evaluation.explanation.film import save_strip
from diffig.evaluation.explanation.side_by_side import save_side_by_side
from diffig.evaluation.explanation.tracks import Track
from diffig.evaluation.gallery import save_gallery
from diffig.files import DiskFull, is_full, whole, write_bytes, write_json, write_picture, write_tensors, write_text
from diffig.loss_curves import draw_losses

IMAGE = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
SAID = r"kept.* cannot be written: the disk is full, or your quota is used up; make room and run the same command again"


def full(code: int = errno.ENOSPC) -> OSError:
    return OSError(code, os.strerror(code))


def left(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize("error", [full(), full(errno.EDQUOT), ValueError("no"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "kept"
    write_text(file, "old")

    def write() -> None:
        with whole(file) as partial:
            partial.write_text("half of the n")
            raise error

    with pytest.raises(DiskFull if is_full(error) else type(error)):
        write()
    assert left(tmp_path) == {"kept": "old"}


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
