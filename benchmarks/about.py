"""What the figures depend on: the machine, versions, the commit."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from elman.bench.machine import machine

PEERS = ("jax", "onnxruntime", "openvino")


def about() -> dict[str, Any]:
    """None for a peer that isn't installed; a commit whose code was changed is marked."""
    commit = _git("rev-parse", "--short=12", "HEAD") or None
    if commit and _git("status", "--porcelain", "src", "benchmarks"):
        commit += " with changes"
    return {**machine(), **{peer: _version(peer) for peer in PEERS}, "commit": commit}


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
