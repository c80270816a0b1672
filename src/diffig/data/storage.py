"""Files by name, whether they lie in a folder or in a .zip."""

import functools
import os
import struct
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Self

LARGEST = 2**30  # bytes of one member; the largest photograph takes tens of MB


class Storage:
    """Read access to the files below a folder or inside a .zip archive, under relative names with `/`.

    Safe to use from several threads and worker processes: each process opens the archive for itself (a shared handle
    would share its position), and nothing is ever unpacked to disk.

    Links to files are followed wherever they lead, for a folder of links is how one makes a subset, and what is behind
    them is only ever decoded. Links to folders may lead round in circles and are refused, as are those to nothing.
    Links inside an archive are not followed.

    Args:
        path: an existing folder or .zip file.
        root: folder inside of it that names are relative to, ending in `/`; empty for all of it.

    Raises:
        ValueError: a file that is no .zip archive.
    """

    def __init__(self, path: Path, root: str = "") -> None:
        self.path, self.root = path, root
        self.is_folder = path.is_dir()
        self._open_in: int | None = None
        self._archive: zipfile.ZipFile | None = None
        self._lock = threading.Lock()
        if not self.is_folder and not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is neither a folder nor a readable .zip; set dataset.path to one of these")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["root"])  # type: ignore[misc]

    def below(self, folder: str) -> Self:
        """Return the part of this storage that lies in one of its folders."""
        return type(self)(self.path, f"{self.root}{folder}/")

    def _zip(self) -> zipfile.ZipFile:
        if self._archive is None or self._open_in != os.getpid():
            try:
                self._archive, self._open_in = zipfile.ZipFile(self.path), os.getpid()
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
                raise ValueError(f"{self.path} is a damaged .zip ({error}); fetch it again") from error
        return self._archive

    @functools.cached_property
    def _entries(self) -> list[str]:
        """Relative names of files, and of folders with `/` at their end; hidden ones are left out."""
        if self.is_folder:
            place = self.path / self.root
            found = [path for path in place.rglob("*") if path.is_dir() or path.is_file() or path.is_symlink()]
            names = [f"{path.relative_to(place).as_posix()}{'/' * path.is_dir()}" for path in found]
            links = {name for name, path in zip(names, found, strict=True) if path.is_symlink() and not path.is_file()}
        else:
            with self._lock:
                every = self._zip().namelist()
            names = [name.removeprefix(self.root) for name in every if name.startswith(self.root) and name != self.root]
            links = set()
        shown = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]
        for name in shown:
            if name in links:
                raise ValueError(
                    f"{name.rstrip('/')} in {self.path} is a link to "
                    + ("a folder, which is not followed; link its files" if name.endswith("/") else "nothing; mend")
                    + " or remove it"
                )
        return shown

    def names(self) -> list[str]:
        """Return the relative names of all files, sorted; hidden files are left out."""
        return sorted(name for name in self._entries if not name.endswith("/"))

    def folders(self) -> list[str]:
        """Return the names of the folders at the top, sorted, empty ones among them; hidden ones are left out."""
        return sorted({name.split("/", 1)[0] for name in self._entries if "/" in name})

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            ValueError: a name that leaves the folder, or a damaged member of the archive.
            FileNotFoundError: no such file.
        """
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"file name {name!r} leaves {self.path}; names must be relative and without '..'")
        if self.is_folder:
            return (self.path / self.root / name).read_bytes()
        try:
            with self._lock:
                member = self._zip().getinfo(f"{self.root}{name}")
                if member.file_size > LARGEST:
                    raise ValueError(f"{name} in {self.path} unpacks to {member.file_size / 1e6:.0f} MB; remove it")
                return self._zip().read(member)
        except KeyError as error:
            raise FileNotFoundError(f"no {name} in {self.path}") from error
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{name} in {self.path} cannot be read ({error})") from error

    def text(self, name: str) -> str:
        """Return the content of a text file.

        Raises:
            ValueError: it is not UTF-8, with or without a mark at its beginning; see also `read`.
        """
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name} in {self.path} is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start});"
                " save it as UTF-8"
            ) from error
