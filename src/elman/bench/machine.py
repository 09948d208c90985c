"""What figures depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..paths import current_isa


def machine() -> dict[str, Any]:
    """Processor, system and versions."""
    isa = current_isa()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "isa": isa.name if isa else None,
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "elman": __version__,
        **{package: version(package) for package in ("torch", "llvmlite", "numpy")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
