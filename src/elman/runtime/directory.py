"""A directory that nobody but its owner can write to, for files that will be executed.

Names are resolved relative to the open directory and never through a link, so what was checked is
what is used, even if the path is changed meanwhile. Hold it open for one operation only: a
descriptor kept for longer could be closed and reused behind our back (daemons close all they
find). Windows has neither such opens nor such owners: there the access rights of the user's
profile protect the default directory, and only links are refused.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_RELATIVE = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_FLAGS = sum(
    getattr(os, name, 0)  # absent where the platform has no such notion
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)
_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)


class PrivateDirectory:
    """An open directory; raises OSError, with the reason, if it's missing or not private."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            os.makedirs(path, mode=0o700, exist_ok=True)
        self._path = path
        self._descriptor: int | None = None
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or _is_junction(status):
            raise NotADirectoryError(f"{path} is not a directory itself (a link to one won't do)")
        if _RELATIVE:
            self._descriptor = os.open(path, os.O_RDONLY | _DIRECTORY | _FLAGS)
            try:
                _check_private(os.fstat(self._descriptor), str(path))
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """Release the directory."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> PrivateDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, limit: int) -> bytes:
        """The first `limit` bytes of a file, which must be regular and private."""
        descriptor = os.open(self._at(name), os.O_RDONLY | _FLAGS, dir_fd=self._descriptor)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PermissionError(f"{name} is not a regular file")
            _check_private(status, name)
            return file.read(limit)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file or, if that fails, nothing: readers see the old one or the new one."""
        draft = f"{name}.{os.urandom(8).hex()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        descriptor = os.open(self._at(draft), flags, 0o600, dir_fd=self._descriptor)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            here = self._descriptor
            os.replace(self._at(draft), self._at(name), src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            self.remove(draft)
            raise

    def touch(self, name: str) -> None:
        """Mark a file as used now, where the directory can be written to."""
        with contextlib.suppress(OSError):
            os.utime(self._at(name), dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file or a link, if it's there and can be removed."""
        with contextlib.suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Name and status of every file, skipping those that vanish meanwhile."""
        with os.scandir(self._path if self._descriptor is None else self._descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._path / name)


def _check_private(status: os.stat_result, name: str) -> None:
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{name} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{name} can be written to by others; forbid it with `chmod go-w`")


def _is_junction(status: os.stat_result) -> bool:
    attributes: int = getattr(status, "st_file_attributes", 0)  # Windows only
    return bool(attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)
