"""``python -m benchmarks``: measures, section by section, and writes the figures to a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from elman.bench.workloads import WORKLOADS

from . import layers
from .about import about
from .contestants import CONTESTANTS

SECTIONS = {"layers": layers}


def main() -> None:
    """Measures what was chosen; the file is written after every row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; by default all")
    parser.add_argument("--json", type=Path, default=Path("docs/performance.json"))
    parser.add_argument("--resume", action="store_true", help="keep the rows that the file has")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, metavar="CONTESTANT")
    parser.add_argument("--allocator", default="kept")
    options = parser.parse_args()
    figures: dict[str, Any] = {"about": about()}
    if options.resume and options.json.exists():
        figures = json.loads(options.json.read_text())
    for name in options.sections or SECTIONS:
        rows = figures.setdefault(name, {})
        for key, measure in SECTIONS[name].measurements(options):
            if key in rows:
                continue
            rows[key] = measure()
            print(f"{name}: {key}: {summary(rows[key])}", flush=True)
            options.json.write_text(json.dumps(figures, indent=1) + "\n")


def summary(row: dict[str, Any]) -> str:
    """A row in a line."""
    return "; ".join(
        f"{name} {one.get('failure') or format(one['us'], '.0f')}" for name, one in row["times"].items()
    )


if __name__ == "__main__":
    main()
