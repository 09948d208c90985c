"""What the tests of the cache store, and under which keys."""

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
CODE = bytes(range(256)) * 20
