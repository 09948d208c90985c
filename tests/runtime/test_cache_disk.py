"""The cache of object code on full and read-only disks, its bound, and two processes at once."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from elman.runtime import cache as cache_module
from elman.runtime.cache import ObjectCache
from tests.runtime.stored import CODE, KEY, OTHER
from tests.systems import PATIENCE

# Disks that are full, read-only or unwritable


def fail(number: int) -> Callable[..., None]:
    def raise_error(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return raise_error


@pytest.mark.parametrize("function", ["write", "replace"])
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    cache: ObjectCache, file: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail(errno.ENOSPC))
        cache.store(OTHER, CODE)
        cache.store(KEY, b"later")
    assert cache.status().endswith("; the last store failed: No space left on device")
    assert cache.load(OTHER) is None
    assert cache.load(KEY) == CODE
    assert list(file.parent.iterdir()) == [file]
    cache.store(OTHER, CODE)
    assert "failed" not in cache.status()
    assert cache.load(OTHER) == CODE


def test_a_write_in_pieces_is_whole(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


def test_an_interrupted_write_leaves_nothing_behind(
    cache: ObjectCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.store(OTHER, CODE)
    assert list(file.parent.iterdir()) == [file]


def test_a_read_only_cache_is_still_read(
    cache: ObjectCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container image that was built with a warm cache."""
    real = os.open

    def read_only(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    for function in ("utime", "unlink"):
        monkeypatch.setattr(os, function, fail(errno.EROFS))
    cache.store(OTHER, CODE)
    assert cache.load(KEY) == CODE
    assert cache.status().endswith("; the last store failed: Read-only file system")


def test_a_place_where_nothing_can_be_made_is_told(
    cache: ObjectCache, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "makedirs", fail(errno.EACCES))
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    assert cache.status().endswith("; the last store failed: Permission denied")


# The bound


def test_the_least_recently_used_go_first(place: Path) -> None:
    keys = [f"{number:064x}" for number in range(8)]
    cache = ObjectCache(limit=4 * (52 + 1000))
    past = time.time() - 1000
    for age, key in enumerate(keys[:4]):
        cache.store(key, bytes(1000))
        os.utime(place / f"{key}.kernel", (past + age, past + age))
    assert cache.load(keys[0]) is not None  # used again: now keys[1] is the oldest
    for key in keys[4:6]:
        cache.store(key, bytes(1000))
    kept = [key for key in keys if cache.load(key) is not None]
    assert kept == [keys[0], keys[3], keys[4], keys[5]]


def test_the_limit_holds_whatever_is_stored(place: Path) -> None:
    cache = ObjectCache(limit=10_000)
    for number in range(60):
        cache.store(f"{number:064x}", bytes(100 * number))
        assert sum(path.stat().st_size for path in place.iterdir()) <= 10_000
    assert cache.load(f"{59:064x}") == bytes(5900)
    assert cache_module.LIMIT == 64 * 2**20 == ObjectCache()._limit


def test_what_is_larger_than_the_cache_is_not_stored_and_told(cache: ObjectCache) -> None:
    small = ObjectCache(limit=1000)
    small.store(KEY, b"small")
    small.store(OTHER, bytes(1000))
    assert small.load(OTHER) is None
    assert small.load(KEY) == b"small"
    assert small.status().endswith("failed: 1052 bytes are more than the whole cache may hold")


def test_leftovers_of_dead_processes_go_and_files_of_others_stay(
    cache: ObjectCache, file: Path
) -> None:
    old, new = (file.with_name(f"{file.name}.{digit * 16}.tmp") for digit in "01")
    mine = file.with_name("notes.tmp")
    for path in (old, new, mine):
        path.write_bytes(bytes(100))
    for path in (old, mine):
        os.utime(path, (1, 1))
    cache.store(OTHER, CODE)
    assert not old.exists()
    assert new.exists()  # somebody may be writing it
    assert mine.exists()
    ObjectCache(limit=10).store(KEY, b"")
    ObjectCache(limit=60).store(KEY, b"")
    assert mine.exists()


# Processes


HAMMER = """
import sys
from elman.runtime.cache import ObjectCache
key, mine, theirs = sys.argv[1], sys.argv[2].encode() * 20000, sys.argv[3].encode() * 20000
cache = ObjectCache()
print("ready", flush=True)
sys.stdin.read()
for _ in range(100):
    cache.store(key, mine)
    assert cache.load(key) in (mine, theirs)
    assert "failed" not in cache.status(), cache.status()
"""


def test_two_processes_at_once(cache: ObjectCache, place: Path) -> None:
    """A whole value of one or the other, always; and nothing left behind."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, KEY, *letters],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for letters in ("ab", "ba")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # now let both go
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(list(place.iterdir())) == 1
    assert cache.load(KEY) in (b"a" * 20000, b"b" * 20000)
