"""Object code kept on disk, so that a kernel is compiled once per machine and not once per process.

It's code that will run. So the directory must be private (see `directory`), and no byte is
returned before the SHA-256 of all is right. A file that is truncated, corrupted or not ours
counts as absent and is removed. Nothing here is worth an exception: whatever fails, the kernel is
compiled again, and `status` says why.

A file is this header, and then the object code to the end of the file:

    offset  bytes
         0      8  the characters ELMANOBJ
         8      4  version of the format (integers are big-endian)
        12      8  length of the object code
        20     32  SHA-256 of the key's characters followed by the object code
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys
import time
from pathlib import Path

from .directory import PrivateDirectory

LIMIT = 64 << 20
"""Bytes of all files together. Past it the least recently used go; a kernel takes 5 to 40 KB."""

_HEADER = struct.Struct(">8sIQ32s")
_MAGIC, _VERSION = b"ELMANOBJ", 1
_KEY = re.compile(r"[0-9a-f]{16,128}")
_OURS = re.compile(_KEY.pattern + r"\.kernel(\.[0-9a-f]{16}\.tmp)?")
_DRAFT_LIFE = 3600.0  # seconds until a draft is taken for the leftover of a process that died


def cache_directory() -> Path:
    """`ELMAN_CACHE_DIR`, or else `elman` in the place this platform has for a user's caches.

    An empty `ELMAN_CACHE_DIR`, `0` and `off` switch the cache off: OSError, with the reason.
    """
    chosen = os.environ.get("ELMAN_CACHE_DIR")
    if chosen in ("", "0", "off"):
        raise OSError(f"ELMAN_CACHE_DIR is {chosen!r}")
    if chosen is not None:
        return Path(os.path.expanduser(chosen)).absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification: ignore a relative path
            base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise OSError("this user has no home directory; set ELMAN_CACHE_DIR")
    return Path(base, "elman")


class ObjectCache:
    """Object code by key, in `cache_directory()` as it is at each call."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._failure: tuple[Path, str] | None = None  # where the last store failed, and why

    def load(self, key: str) -> bytes | None:
        """The object code stored under this key, or None."""
        name = _file_name(key)
        try:
            with PrivateDirectory(cache_directory()) as directory:
                try:
                    data = _unpack(key, directory.read(name, self._limit + 1))
                except FileNotFoundError:
                    return None
                except (OSError, ValueError):
                    directory.remove(name)
                    return None
                directory.touch(name)
                return data
        except OSError:
            return None

    def store(self, key: str, data: bytes) -> None:
        """Keep object code under this key, if that's possible; `status` tells if it wasn't."""
        name = _file_name(key)
        try:
            path = cache_directory()
        except OSError:
            return
        try:
            with PrivateDirectory(path, create=True) as directory:
                packed = _pack(key, data)
                if len(packed) > self._limit:
                    raise OSError(f"{len(packed)} bytes are more than the whole cache may hold")
                directory.write(name, packed)
                self._evict(directory)
            self._failure = None
        except OSError as error:
            self._failure = path, _reason(error)

    def status(self) -> str:
        """One line: where the cache is, how full, why the last store failed; or why it's off."""
        try:
            path = cache_directory()
            try:
                with PrivateDirectory(path) as directory:
                    sizes = [s.st_size for name, s in directory.files() if _OURS.fullmatch(name)]
            except FileNotFoundError:
                sizes = []  # made by the first store
        except OSError as error:
            return f"object cache off: {_reason(error)}"
        used, limit = sum(sizes) / 2**20, self._limit / 2**20
        line = f"object cache: {path}, {len(sizes)} files, {used:.1f} of {limit:.0f} MiB"
        if self._failure and self._failure[0] == path:
            line += f"; the last store failed: {self._failure[1]}"
        return line

    def _evict(self, directory: PrivateDirectory) -> None:
        """Remove leftover drafts, then the least recently used files until the rest fits."""
        files = [(s.st_mtime, s.st_size, n) for n, s in directory.files() if _OURS.fullmatch(n)]
        excess = sum(size for _, size, _ in files) - self._limit
        stale = time.time() - _DRAFT_LIFE
        for used, size, name in sorted(files):
            if excess > 0 or (name.endswith(".tmp") and used < stale):
                directory.remove(name)
                excess -= size


def _file_name(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"The 'key' of the object cache must be 16 to 128 lower-case hexadecimal digits. "
            f"Got {key!r} instead."
        )
    return f"{key}.kernel"


def _digest(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + data).digest()


def _pack(key: str, data: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _VERSION, len(data), _digest(key, data)) + data


def _unpack(key: str, packed: bytes) -> bytes:
    """The data of a file whose every part is right; raises ValueError for any other."""
    if len(packed) < _HEADER.size:
        raise ValueError("no room for a header")
    data = packed[_HEADER.size :]
    if _HEADER.unpack_from(packed) != (_MAGIC, _VERSION, len(data), _digest(key, data)):
        raise ValueError("not a file of this cache, or a damaged one")
    return data


def _reason(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
