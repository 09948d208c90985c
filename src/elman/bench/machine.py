"""What figures depend on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..dispatch.select import current_isa


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


def busy_share(seconds: float = 0.5) -> float:
    """The share of all processors' time that is used while this process sleeps.

    From the counters of Linux; elsewhere from the load of the last minute, where there is one.
    """
    try:
        before = _times()
        time.sleep(seconds)
        idle, total = (now - then for now, then in zip(_times(), before, strict=True))
        return 1 - idle / max(1, total)
    except OSError:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return min(1.0, load / (os.cpu_count() or 1))


def _times() -> tuple[int, int]:
    """What all processors spent idle or waiting for disks, and altogether."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    spent = [int(number) for number in first.split()[1:9]]  # guests count as user already
    return spent[3] + spent[4], sum(spent)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
