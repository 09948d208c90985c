"""A cache with a limit."""

from elman.runtime.bounded import BoundedCache


def test_what_was_kept_last_is_there_and_never_more_than_the_limit() -> None:
    cache: BoundedCache[int, str] = BoundedCache(3)
    for key in range(20):
        assert cache.keep(key, str(key)) == str(key)
        assert cache.get(key) == str(key)
        assert 0 < len(cache) <= 3
