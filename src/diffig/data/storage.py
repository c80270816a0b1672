"""Files by name, whether they lie in a folder or in a .zip."""

import os
import threading
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any


class Storage:
    """Read access to the files below a folder or inside a .zip archive, under relative names with ``/``.

    Safe to use from several threads and worker processes: each process opens the archive for itself (a shared handle
    would share its position), and nothing is ever unpacked to disk.

    Args:
        path: an existing folder or .zip file.

    Raises:
        ValueError: a file that is no .zip archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = path.is_dir()
        self._open_in: int | None = None
        self._archive: zipfile.ZipFile | None = None
        self._lock = threading.Lock()
        if not self.is_folder and not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is neither a folder nor a readable .zip; set dataset.path to one of these")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def _zip(self) -> zipfile.ZipFile:
        if self._archive is None or self._open_in != os.getpid():
            self._archive, self._open_in = zipfile.ZipFile(self.path), os.getpid()
        return self._archive

    def names(self) -> list[str]:
        """Return the relative names of all files, sorted; hidden files are left out."""
        if self.is_folder:
            names = [file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()]
        else:
            with self._lock:
                names = [name for name in self._zip().namelist() if not name.endswith("/")]
        return sorted(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            ValueError: a name that leaves the folder, or a damaged member of the archive.
            FileNotFoundError: no such file.
        """
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"file name {name!r} leaves {self.path}; names must be relative and without '..'")
        if self.is_folder:
            return (self.path / name).read_bytes()
        try:
            with self._lock:
                return self._zip().read(name)
        except KeyError as error:
            raise FileNotFoundError(f"no {name} in {self.path}") from error
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{name} in {self.path} cannot be read ({error})") from error
