"""What the tests of the cache store, and under which keys."""

import os

import pytest

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
CODE = bytes(range(256)) * 20

posix_only = pytest.mark.skipif(os.name != "posix", reason="owners and modes")
