"""Whatever is wrong with the cache on disk, layers compute the same, and explain says what."""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import elman
from elman.launch import kernel_cache
from elman.runtime.cache import ObjectCache
from tests.nn.kinds import assert_same_bits
from tests.systems import posix_only


@pytest.fixture(scope="module", autouse=True)
def _process_that_calls_kernels() -> None:
    """What calls them is made once in a process: it is in no cache of these tests."""
    with elman.set_path("kernel"):
        elman.RNN(1, 1)(torch.ones(1, 1))


@pytest.fixture
def module() -> elman.RNN:
    torch.manual_seed(0)
    return elman.RNN(3, 5)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 2, 3)


@pytest.fixture
def results(no_kernels_in_memory: None, module: elman.RNN, x: Tensor) -> Callable[[], list[Tensor]]:
    """What the layer computes in a process that has no kernel yet: inference needs one alone."""

    def fresh() -> list[Tensor]:
        kernel_cache.forget()
        with elman.set_path("kernel"), torch.no_grad():
            return [*module(x)]

    return fresh


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's directory, not made yet."""
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "objects"))
    return tmp_path / "objects"


@contextlib.contextmanager
def patched(function: str, replacement: Callable[..., object]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, function, replacement)
        yield


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@contextlib.contextmanager
def open_to_others(place: Path) -> Iterator[None]:
    place.mkdir()
    place.chmod(0o777)
    yield


@contextlib.contextmanager
def of_another_user(place: Path) -> Iterator[None]:
    place.mkdir(0o700)
    stranger = os.geteuid() + 1
    with patched("geteuid", lambda: stranger):
        yield


@contextlib.contextmanager
def a_file(place: Path) -> Iterator[None]:
    place.write_text("mine")
    yield


@contextlib.contextmanager
def within_a_file(place: Path) -> Iterator[None]:
    """Nothing can be made there, not even by root."""
    place.parent.rmdir()
    place.parent.write_text("mine")
    yield


@contextlib.contextmanager
def a_full_disk(place: Path) -> Iterator[None]:
    with patched("write", failing(errno.ENOSPC)):
        yield


@contextlib.contextmanager
def a_limit_on_files(place: Path) -> Iterator[None]:
    """The system's own: writing stops in the middle of a file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    with patched("makedirs", failing(errno.EROFS)):
        yield


PLACES = {
    open_to_others: r"off: .* can be written to by others; forbid it with `chmod go-w`",
    of_another_user: r"off: .* belongs to another user",
    a_file: r"off: .* is not a directory itself",
    within_a_file: r"off: Not a directory",
    a_full_disk: r"0 files, .*; the last store failed: No space left on device",
    a_limit_on_files: r"0 files, .*; the last store failed: File too large",
    read_only: r"0 files, .*; the last store failed: Read-only file system",
}


@posix_only
@pytest.mark.parametrize(("wrong", "reason"), PLACES.items(), ids=[f.__name__ for f in PLACES])
def test_a_cache_that_cannot_be_used_is_explained(
    wrong: Callable[[Path], contextlib.AbstractContextManager[None]],
    reason: str,
    place: Path,
    module: elman.RNN,
    results: Callable[[], list[Tensor]],
) -> None:
    with wrong(place):
        first, second = results(), results()
        report = elman.explain(module)
    assert_same_bits(second, first)
    assert set(report.layers[0].kernels.values()) == {"compiled"}
    assert re.search(reason, report.cache), report.cache
    assert report.cache in str(report)
    assert not place.is_dir() or not list(place.iterdir())


def stored_as(code: bytes) -> Callable[[Path], None]:
    """A whole and valid file, whose code is not what it should be."""

    def store(path: Path) -> None:
        ObjectCache().store(path.name.removesuffix(".kernel"), code)

    return store


FILES: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "corrupted": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "empty": lambda path: path.write_bytes(b""),
    "of another format": lambda path: path.write_bytes(b"\x7fELF" + bytes(5000)),
    "open to others": lambda path: path.chmod(0o666),
    "no code": stored_as(b"hello world"),
    "nothing": stored_as(b""),
    "code without the function": stored_as(bytes(4000)),
}


@posix_only
@pytest.mark.parametrize("wrong", FILES)
def test_files_that_are_not_right_are_made_again(
    wrong: str,
    place: Path,
    module: elman.RNN,
    results: Callable[[], list[Tensor]],
) -> None:
    def origins() -> set[str]:
        return set(elman.explain(module).layers[0].kernels.values())

    expected = results()
    assert origins() == {"compiled"}
    paths = stored = sorted(place.iterdir())
    assert len(paths) > 2  # of the kernel, and of functions that it shares with others
    if "code" not in wrong and wrong != "nothing":  # refused before anyone asks what it holds
        paths = [paths[list(FILES).index(wrong) % len(paths)]]
    for path in paths:
        FILES[wrong](path)
        assert_same_bits(results(), expected)
        assert origins() == {"compiled"}
        assert_same_bits(results(), expected)
        assert origins() == {"disk"}
        assert sorted(place.iterdir()) == stored
