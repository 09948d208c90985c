"""``python -m benchmarks [--rounds N] [--json FILE] [--only NAME] [--no-start]``."""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

import llvmlite
import torch

import elman
from elman.paths import current_isa

from . import pace, start
from .workloads import WORKLOADS


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    isa = current_isa()
    return {
        "processor": platform.processor() or platform.machine(),
        "isa": isa.name if isa else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "llvmlite": llvmlite.__version__,
        "elman": elman.__version__,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Times everything and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--only", help="workloads whose name contains this")
    parser.add_argument("--no-start", action="store_true", help="leave out the first calls")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about = machine()
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    print()
    print("| workload | T, B, I, H | mode | torch.nn (us) | elman (us) | ratio | 95% interval |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for workload in WORKLOADS:
        if options.only and options.only not in workload.name:
            continue
        for mode in pace.MODES:
            row = pace.compare(workload, mode, options.rounds)
            rows.append(row)
            sizes = ", ".join(map(str, workload[1:5]))
            low, high = row["interval"]
            print(
                f"| {workload.name} | {sizes} | {mode} | {row['torch_us']:.0f} | "
                f"{row['elman_us']:.0f} | {row['ratio']:.2f} | {low:.2f} to {high:.2f} |",
                flush=True,
            )
    first = {} if options.no_start else start.run()
    if first:
        print()
        print("| once in a process | seconds |")
        print("|---|---|")
        for what, seconds in first.items():
            print(f"| {what} | {seconds:.3f} |")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "pace": rows, "start": first}, file, indent=1)


if __name__ == "__main__":
    main()
