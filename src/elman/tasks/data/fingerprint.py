"""A fingerprint of data: equal for the same texts with the same labels in the same order."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def fingerprint(texts: Iterable[Any], labels: Iterable[Any]) -> dict[str, Any]:
    """How many texts there are, and the SHA-256 of them and their labels.

    >>> fingerprint(["good", "bad"], [1, 0])
    {'texts': 2, 'sha256': '...'}
    """
    digest, count = hashlib.sha256(), 0
    for row in zip(texts, labels, strict=True):
        digest.update(json.dumps(row).encode())
        count += 1
    return {"texts": count, "sha256": digest.hexdigest()}
