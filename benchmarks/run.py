"""Measures, section by section; the file of figures is written after every row."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elman.bench.contest import ALLOCATORS
from elman.bench.workloads import WORKLOADS

from . import busy, custom, isa, latency, layers, memory, narrow, roofline, scaling, start
from .about import about
from .contestants import STREAMING

SECTIONS: dict[str, Any] = {
    "roofline": roofline,
    "layers": layers,
    "latency": latency,
    "narrow": narrow,
    "custom": custom,
    "isa": isa,
    "memory": memory,
    "busy": busy,
    "scaling": scaling,
    "start": start,
}
QUICK = ["roofline", "layers", "latency"]
FIGURES = Path("docs/performance.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what was chosen."""
    options = _options(arguments)
    figures: dict[str, Any] = {"about": {**about(), "allocator": options.allocator}}
    if options.resume and options.json.exists():
        known = json.loads(options.json.read_text())
        if known["about"] != figures["about"]:
            sys.exit(f"{options.json} is of another machine, commit or version: choose another")
        figures = known
    if options.again:
        figures = _without(options.sections, json.loads(FIGURES.read_text()), figures["about"])
    with tempfile.TemporaryDirectory() as cache:
        # What XLA has compiled for one thread it need not compile again for two.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        for name in options.sections or (QUICK if options.quick else SECTIONS):
            rows = figures.setdefault(name, {})
            for key, measure in SECTIONS[name].measurements(options):
                if key in rows:
                    continue
                began = time.monotonic()
                try:
                    rows[key] = measure()
                except Exception as error:  # noqa: BLE001 - the rest is worth having
                    print(f"{name}: {key}: {error!r}", file=sys.stderr)
                    continue
                print(f"{name}: {key} ({time.monotonic() - began:.0f} s)", flush=True)
                if options.json:
                    _write(options.json, figures)
    for name, section in SECTIONS.items():
        if figures.get(name) and hasattr(section, "show"):
            print(f"\n## {name}\n\n{section.show(figures)}")
    if figures.get("layers"):
        print(f"\n{layers.means(figures)}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; or all"
    )
    parser.add_argument("--rounds", type=int, help="by default 21, with --quick 6")
    parser.add_argument("--threads", type=int, nargs="+", help="by default 1 and 2, with --quick 1")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--contestants", nargs="+", choices=STREAMING, metavar="CONTESTANT")
    parser.add_argument("--allocator", choices=ALLOCATORS, default="kept")
    parser.add_argument(
        "--json", type=Path, help=f"their file; by default {FIGURES}, of a part none"
    )
    parser.add_argument(
        "--again", action="store_true", help=f"measure these sections of {FIGURES} again"
    )
    parser.add_argument("--resume", action="store_true", help="keep the rows it has, add others")
    options = parser.parse_args(arguments)
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    part = options.sections or options.quick or options.only or options.contestants
    if options.again and not options.sections:
        parser.error("--again needs the names of sections")
    options.json = options.json or (None if part and not options.again else FIGURES)
    if options.resume and not options.json:
        parser.error("--resume needs --json FILE where only a part is measured")
    options.rounds = options.rounds or (6 if options.quick else 21)
    options.threads = options.threads or ([1] if options.quick else [1, 2])
    return options


def _without(
    sections: Sequence[str], figures: dict[str, Any], about: dict[str, Any]
) -> dict[str, Any]:
    """The figures without those of some sections, whose commit is noted beside that of the rest."""
    if {**figures["about"], "commit": 0, "later": 0} != {**about, "commit": 0, "later": 0}:
        sys.exit(f"{FIGURES} is of another machine or version: measure all")
    later = {**figures["about"].get("later", {}), **dict.fromkeys(sections, about["commit"])}
    return {
        **figures,
        **{name: {} for name in sections},
        "about": {**figures["about"], "later": later},
    }


def _write(file: Path, figures: dict[str, Any]) -> None:
    """A row a line, so that a difference can be read."""
    parts = []
    for name, rows in figures.items():
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in rows.items())
        parts.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")
