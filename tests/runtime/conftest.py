"""A cache in a directory of its own."""

from pathlib import Path

import pytest

from elman.runtime.cache import ObjectCache
from tests.runtime.stored import CODE, KEY


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
