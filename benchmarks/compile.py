"""``python -m benchmarks.compile [CELL ...]``: what compiling a cell takes, and where that goes.

The kernels of a training step, forward and backward: milliseconds of the processor from the formula
to code in memory, the least of some rounds, by what takes them, and the kilobytes of the code. Then
the time that a user waits, with no kernel on disk and all cores at work.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from elman.cells import CATALOGUE
from elman.compiler import backward, forward, isa
from elman.compiler.formats import Format
from elman.compiler.ir import Part
from elman.compiler.isa import ISA
from elman.compiler.jit import Code
from elman.compiler.objects import object_code, text_bytes
from elman.compiler.plan import plan_of
from elman.compiler.target import target_of
from elman.launch import kernel_cache
from elman.step import Step

from .show import table

COLUMNS = ("formula", "plan", "IR", "LLVM", "loading", "all", "KB", "waiting")


def main() -> None:
    """Prints a table for each instruction set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile", description=__doc__)
    every = isa.available()
    parser.add_argument("cells", nargs="*", metavar="CELL", help="by default the catalogue's")
    parser.add_argument("--isa", nargs="+", choices=[row.name for row in every])
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--one", action="store_true", help="of one row, not of many")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name in options.isa or [every[0].name, "avx2"]:
        row, found = isa.by_name(name), dict[str, list[float]]()
        for cell in options.cells or CATALOGUE:
            given = CATALOGUE[cell], row, options.units, options.one
            rounds = [compiled(*given) for _ in range(options.rounds)]
            found[cell] = [min(column) for column in zip(*rounds, strict=True)]
        print(f"\n{name}, {options.units} units\n")
        print(_table(found))


def compiled(kind: type, row: ISA, units: int, single: bool) -> list[float]:
    """The columns of a cell's line."""
    laps = [time.process_time()]

    def lap() -> None:
        laps.append(time.process_time())

    step = kind().trace()
    lap()
    plan = plan_of.__wrapped__(step)
    target = target_of(plan, "float", Format("float"), row, units, single)
    packing = replace(target, packs=True)
    lap()
    modules = forward.emit(plan, packing, training=True), backward.emit(plan, target)
    passes = [module.parts() for module in modules]
    lap()
    objects = {part.text: object_code(part.text, row) for parts in passes for part in parts}
    lap()
    _load(passes, objects)
    lap()
    spent = [1e3 * (after - before) for before, after in itertools.pairwise(laps)]
    size = sum(map(text_bytes, objects.values())) / 1e3
    return [*spent, sum(spent), size, 1e3 * _waiting(step, row, units, single)]


def _load(passes: Sequence[Sequence[Part]], objects: dict[str, bytes]) -> None:
    """Links the functions of both passes, those that they share once."""
    made: dict[str, Code] = {}
    for name, parts in zip(("elman_forward", "elman_backward"), passes, strict=True):
        mine: dict[str, Code] = {}
        for part in parts:
            calls = {called: mine[called] for called in part.calls}
            if part.text not in made:
                made[part.text] = Code(objects[part.text], part.name or name, {}, calls)
            mine[part.name] = made[part.text]


def _waiting(step: Step, row: ISA, units: int, single: bool) -> float:
    """Seconds until both passes are there."""
    kernel_cache.forget()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ELMAN_CACHE_DIR"] = os.path.join(cache, "kernels")
        began = time.perf_counter()
        kernel = kernel_cache.kernel_for(step, torch.float32, row, units, single)
        for run in (kernel.passes["train"], kernel.back):
            assert run.code.address
        return time.perf_counter() - began


def _table(found: dict[str, list[float]]) -> str:
    """The cells, the one that takes longest first, and their median."""
    lines = sorted(found.items(), key=lambda line: -line[1][COLUMNS.index("all")])
    medians = [statistics.median(column) for column in zip(*found.values(), strict=True)]
    rows = [*lines, ("median", medians)]
    text = [[name, *(f"{number:.0f}" for number in numbers)] for name, numbers in rows]
    return table(["cell", *COLUMNS], text)


if __name__ == "__main__":
    main()
