"""Nothing in a file of a stranger's runs or is read from elsewhere; what is too large is refused in one sentence."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffig.classifiers.checkpoint import read_tensors
from diffig.data.image_folder import ImageFolder
from diffig.data.npz import read_npz
from diffig.data.pictures import read_picture
from diffig.data.storage import Storage

SOURCES = sorted(Path(__file__).parents[2].glob("src/diffig/**/*.py"))


class Evil:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_no_reader_runs_pickles() -> None:
    """Every call that could names the safe way; the one unpickler refuses all classes."""
    for file in SOURCES:
        text = file.read_text()
        for call in re.findall(r"(?:torch|np)\.load\([^\n]*", text):
            assert "weights_only=True" in call or "allow_pickle=False" in call, (file, call)
        assert not re.search(
            r"\bpickle\.loads?\(|yaml\.load\(|(?<![.\w])eval\(|\bexec\(|pd\.read_pickle|joblib", text
        ), file
        assert "hydra.utils import instantiate" not in text or file.name == "config.py", file


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".pth", ".bin"])
@pytest.mark.parametrize("old", [False, True])
def test_weights_with_objects(suffix: str, old: bool) -> None:
    file = Path(f"weights{suffix}")
    torch.save({"state_dict": {"w": torch.zeros(2)}, "more": Evil()}, file, _use_new_zipfile_serialization=not old)
    with pytest.raises(ValueError, match=r"weights.* holds Python objects besides tensors, which are not read"):
        read_tensors(file)
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="weights"):
        read_tensors(file)
    assert not Path("ran").exists()


def test_arrays_of_objects() -> None:
    np.savez("x.npz", x=np.array([Evil()], dtype=object), y=np.zeros(1, np.int64))
    with pytest.raises(ValueError, match=r"x\.npz cannot be read"):
        read_npz(Path("x.npz"))
    assert not Path("ran").exists()


def npz_that_claims(shape: str) -> Path:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64
    file = Path("claims.npz")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", array)
        out = io.BytesIO()
        np.save(out, np.zeros(4, np.int64))
        archive.writestr("y.npy", out.getvalue())
    return file


@pytest.mark.parametrize("shape", ["(1000000000, 1000, 1000, 3)", "(9223372036854775807, 8, 8)", "(-4, 8, 8)"])
def test_an_array_that_claims_more_than_its_file_holds(shape: str) -> None:
    with pytest.raises(ValueError, match=r"claims\.npz cannot be read"):
        read_npz(npz_that_claims(shape))


def test_an_array_that_unpacks_to_far_more_than_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffig.data.npz.LARGEST", 2**20)
    np.savez_compressed("bomb.npz", x=np.zeros((2000, 32, 32), np.uint8), y=np.zeros(2000, np.int64))
    with pytest.raises(ValueError, match=r"bomb\.npz cannot be read \(its arrays unpack to 2.* MB"):
        read_npz(Path("bomb.npz"))


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_picture_of_far_too_many_pixels(side: int) -> None:
    """Pillow warns above a limit and refuses above twice that; here the limit itself refuses."""
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG")
    with pytest.raises(ValueError, match=r"bomb\.png is not a readable image .*pixels"):
        read_picture(out.getvalue(), "bomb.png")


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_names_that_leave_a_folder_or_an_archive(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile("data.zip", "w") as archive:
        archive.writestr(name, "evil")
    for place in (tmp_path / "data", tmp_path / "data.zip"):
        with pytest.raises(ValueError, match=r"leaves .*data"):
            Storage(place).read(name)
    assert (tmp_path / "secret.txt").read_text() == "secret"


def test_links_inside_a_zip_are_no_way_out() -> None:
    link = zipfile.ZipInfo("cat/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile("data.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert Storage(Path("data.zip")).read("cat/a.png") == b"/etc/passwd"  # the text itself, nothing is followed


def test_links_to_files_are_followed_and_only_pictures_come_of_them(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "elsewhere" / "secret.txt").write_text("secret")
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    data = ImageFolder(tmp_path / "data", size=8)
    assert list(data.test_set.labels) == [0, 1]
    assert data.test_set[0][0].mean((1, 2)).tolist() == [1, 0, 0]
    (tmp_path / "data" / "ant" / "b.png").symlink_to(tmp_path / "elsewhere" / "secret.txt")
    with pytest.raises(ValueError, match=r"ant/b\.png .*is not a readable image") as caught:
        ImageFolder(tmp_path / "data", size=8).test_set[1]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("leads", "says"), [("..", "a folder, which is not followed"), ("gone.png", "nothing; mend")])
def test_links_in_a_circle_and_to_nothing_are_named(leads: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "ant").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "ant" / "a.png")
    (tmp_path / "data" / "ant" / "b.png").symlink_to(leads)
    with pytest.raises(ValueError, match=rf"ant/b\.png in .*data is a link to {says} or|{says}; link"):
        ImageFolder(tmp_path / "data", size=8).setup()


def test_a_member_that_unpacks_to_far_more_than_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffig.data.storage.LARGEST", 2**16)
    with zipfile.ZipFile("data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/a.png", b"\0" * 2**20)
    with pytest.raises(ValueError, match=r"cat/a\.png in data\.zip .*1 MB"):
        Storage(Path("data.zip")).read("cat/a.png")
