"""What the figures depend on: the machine, versions, the commit."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from elman.bench.machine import machine

PEERS = ("jax", "onnxruntime", "openvino")


def about() -> dict[str, Any]:
    """None for a peer that isn't installed; a commit with changes is marked."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return {**machine(), **{peer: _version(peer) for peer in PEERS}, "commit": commit or None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
