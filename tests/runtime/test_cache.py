"""The cache of object code: what it returns, and which files it refuses."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from elman.runtime import directory as directory_module
from elman.runtime.cache import ObjectCache
from tests.runtime.stored import CODE, KEY, OTHER
from tests.systems import posix_only

# Loading and storing


@pytest.mark.parametrize("relative", [True, False], ids=["descriptors", "paths"])
@pytest.mark.parametrize("code", [b"", b"x", CODE], ids=len)
def test_what_is_stored_is_loaded(
    cache: ObjectCache,
    place: Path,
    code: bytes,
    relative: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not relative:  # as on Windows
        monkeypatch.setattr(directory_module, "_RELATIVE", False)
    assert cache.load(KEY) is None
    cache.store(KEY, code)
    assert cache.load(KEY) == code
    assert ObjectCache().load(KEY) == code
    assert cache.load(OTHER) is None
    assert [path.name for path in place.iterdir()] == [f"{KEY}.kernel"]
    assert "1 files" in cache.status()


def test_the_later_store_wins_and_leaves_one_file(cache: ObjectCache, file: Path) -> None:
    cache.store(KEY, b"later")
    assert cache.load(KEY) == b"later"
    assert list(file.parent.iterdir()) == [file]


def test_nothing_touches_the_disk_before_the_first_store(cache: ObjectCache, place: Path) -> None:
    cache.load(KEY)
    assert cache.status() == f"object cache: {place}, 0 files, 0.0 of 64 MiB"
    assert not place.exists()


def test_a_directory_removed_meanwhile_is_made_again(cache: ObjectCache, file: Path) -> None:
    shutil.rmtree(file.parent)
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


@pytest.mark.parametrize(
    "key", ["", "0" * 15, "0" * 129, "A" * 32, "../" + "0" * 32, "0" * 32 + "\n"]
)
def test_keys_are_validated(cache: ObjectCache, key: str) -> None:
    expected = (
        "The 'key' of the object cache must be 16 to 128 lower-case hexadecimal digits. "
        f"Got {key!r} instead."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        cache.load(key)
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        cache.store(key, CODE)


# Files that are not right


def damage(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]


DAMAGE = {
    "empty": lambda data: b"",
    "header cut": lambda data: data[:51],
    "header only": lambda data: data[:52],
    "truncated": lambda data: data[:-1],
    "prolonged": lambda data: data + b"\0",
    "magic": lambda data: damage(data, 0),
    "version": lambda data: damage(data, 11),
    "length": lambda data: damage(data, 19),
    "digest": lambda data: damage(data, 20),
    "first byte": lambda data: damage(data, 52),
    "last byte": lambda data: damage(data, len(data) - 1),
    "foreign": lambda data: b"\x7fELF" + bytes(1000),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_absent_and_removed(
    cache: ObjectCache, file: Path, change: Callable[[bytes], bytes]
) -> None:
    file.write_bytes(change(file.read_bytes()))
    assert cache.load(KEY) is None
    assert not file.exists()
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


def test_a_file_under_anothers_key_is_refused(cache: ObjectCache, file: Path) -> None:
    """A whole and valid file, but of another kernel."""
    stranger = file.with_name(file.name.replace(KEY, OTHER))
    shutil.copyfile(file, stranger)
    assert cache.load(OTHER) is None
    assert not stranger.exists()
    assert cache.load(KEY) == CODE


@posix_only
def test_a_link_in_place_of_a_file_is_refused(cache: ObjectCache, file: Path) -> None:
    target = file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(target)
    assert cache.load(KEY) is None
    assert not file.is_symlink()
    assert target.exists()


@posix_only
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_to_is_refused(
    cache: ObjectCache, file: Path, mode: int
) -> None:
    file.chmod(mode)
    assert cache.load(KEY) is None
    assert not file.exists()


@posix_only
@pytest.mark.parametrize("writer", [True, False], ids=["written to", "idle"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(
    cache: ObjectCache, file: Path, writer: bool
) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)
    end = os.open(file, os.O_RDWR) if writer else os.open(os.devnull, os.O_RDONLY)
    assert cache.load(KEY) is None
    os.close(end)
    assert not file.exists()


def test_a_directory_in_place_of_a_file_is_no_crash(cache: ObjectCache, file: Path) -> None:
    file.unlink()
    file.mkdir()
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert "the last store failed: " in cache.status()
    assert list(file.parent.iterdir()) == [file]
