"""The cache of object code: what it returns, what it refuses, what it says, how it's bounded."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from elman.runtime import cache as cache_module
from elman.runtime import directory as directory_module
from elman.runtime.cache import ObjectCache, cache_directory

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
CODE = bytes(range(256)) * 20

posix_only = pytest.mark.skipif(os.name != "posix", reason="owners and modes")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's directory, not made yet."""
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "objects"))
    return tmp_path / "objects"


@pytest.fixture
def cache(place: Path) -> ObjectCache:
    return ObjectCache()


@pytest.fixture
def file(cache: ObjectCache, place: Path) -> Path:
    """The one file of a cache that holds CODE under KEY."""
    cache.store(KEY, CODE)
    (path,) = place.iterdir()
    return path


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


# Directories that are not right


@posix_only
def test_the_directory_is_made_for_its_owner_only(file: Path) -> None:
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@posix_only
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_off_where_others_can_write(cache: ObjectCache, file: Path, mode: int) -> None:
    file.parent.chmod(mode)
    assert cache.load(KEY) is None
    cache.store(OTHER, CODE)
    assert list(file.parent.iterdir()) == [file]
    assert cache.status() == (
        f"object cache off: {file.parent} can be written to by others; forbid it with `chmod go-w`"
    )
    file.parent.chmod(0o755)  # reading is no danger
    assert cache.load(KEY) == CODE


@posix_only
def test_off_where_it_belongs_to_another(
    cache: ObjectCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert cache.load(KEY) is None
    cache.store(OTHER, CODE)
    assert list(file.parent.iterdir()) == [file]
    assert cache.status() == f"object cache off: {file.parent} belongs to another user"


@posix_only
@pytest.mark.parametrize("relative", [True, False], ids=["descriptors", "paths"])
def test_off_where_it_is_a_link(
    cache: ObjectCache, file: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "_RELATIVE", relative)
    place = file.parent
    target = place.rename(place.parent / "elsewhere")
    place.symlink_to(target)
    assert cache.load(KEY) is None
    cache.store(OTHER, CODE)
    assert len(list(target.iterdir())) == 1
    expected = f"object cache off: {place} is not a directory itself (a link to one won't do)"
    assert cache.status() == expected


@posix_only
def test_a_link_put_there_after_the_check_is_not_followed(
    cache: ObjectCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = file.parent
    before = place.lstat()
    place.symlink_to(place.rename(place.parent / "elsewhere"))
    monkeypatch.setattr(os, "lstat", lambda path: before)
    assert cache.load(KEY) is None
    assert cache.status().startswith("object cache off: ")


def test_off_where_it_is_a_file(cache: ObjectCache, place: Path) -> None:
    place.write_text("mine")
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    assert cache.status().startswith(f"object cache off: {place} is not a directory")
    assert place.read_text() == "mine"


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


# The place


def test_the_environment_is_read_at_each_call(
    cache: ObjectCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = file.parent.parent / "other"
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(other))
    assert cache.load(KEY) is None
    cache.store(KEY, b"other")
    assert str(other) in cache.status()
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(file.parent))
    assert cache.load(KEY) == CODE


@pytest.mark.parametrize("value", ["", "0", "off"])
def test_switched_off(
    cache: ObjectCache, tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELMAN_CACHE_DIR", value)
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    assert cache.status() == f"object cache off: ELMAN_CACHE_DIR is {value!r}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "{}/x"}, "x/elman"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, ".cache/elman"),
        ("linux", {}, ".cache/elman"),
        ("darwin", {"XDG_CACHE_HOME": "{}/x"}, "Library/Caches/elman"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local/elman"),
        ("win32", {"ELMAN_CACHE_DIR": "{}/mine"}, "mine"),
        ("linux", {"ELMAN_CACHE_DIR": "~/mine"}, "mine"),
    ],
)
def test_where_it_is(
    tmp_path: Path,
    platform: str,
    variables: dict[str, str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("ELMAN_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.format(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_directory() == tmp_path / expected


def test_off_without_a_home(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_CACHE_DIR")
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    cache.store(KEY, CODE)
    assert cache.status() == (
        "object cache off: this user has no home directory; set ELMAN_CACHE_DIR"
    )


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
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(list(place.iterdir())) == 1
    assert cache.load(KEY) in (b"a" * 20000, b"b" * 20000)
