"""Where the cache of object code is, and when it is off."""

import os
import sys
from pathlib import Path

import pytest

from elman.runtime import directory as directory_module
from elman.runtime.cache import ObjectCache, cache_directory
from tests.runtime.stored import CODE, KEY, OTHER
from tests.systems import posix_only

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
