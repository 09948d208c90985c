"""What the machine can do: multiply-adds in registers alone, and reading each level of memory.

The roof of a task is the longer of two times: of the arithmetic of its matrix products at the
measured peak, and of reading its weights as often as no program avoids.
"""

from __future__ import annotations

import argparse
import ctypes
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from elman.bench.task import MODES, Task
from elman.compiler.ir import Function, Int, Module
from elman.compiler.jit import Code
from elman.compiler.objects import object_code
from elman.compiler.vector import Vector
from elman.dispatch.select import current_isa

from .contestants import ELMAN
from .show import by_workload, median, table, task_of

SECONDS = 0.1  # that a measurement takes at least; the best of five counts
CHAINS = 12  # independent sums: enough for the latency of an addition, few enough for registers
LEVELS = ("L1", "L2", "L3", "DRAM")


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each number of threads."""
    for threads in options.threads:
        yield str(threads), partial(measure, threads)


def measure(threads: int) -> dict[str, Any]:
    """GFLOP/s in float32, and by level GB/s, of so many threads together."""
    caches = cache_sizes()
    multiply, read = _Loop(multiply=True), _Loop(multiply=False)
    row: dict[str, Any] = {"gflops": 2 * multiply.rate(2**16, threads) / 4 / 1e9}
    # Half of a thread's own caches; of the third level, what no second level holds.
    sizes = (caches["L1"] // 2, caches["L2"] // 2, 4 * caches["L2"], 8 * caches["L3"])
    for level, size in zip(LEVELS, sizes, strict=True):
        row[level] = read.rate(size, threads) / 1e9
    return {**row, "caches": caches}


def cache_sizes() -> dict[str, int]:
    """Bytes of each level: Linux's, or usual ones."""
    found = {"L1": 2**15, "L2": 2**20, "L3": 2**25}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind, level, size = (index.joinpath(f).read_text() for f in ("type", "level", "size"))
        if kind.strip() != "Instruction":
            found[f"L{level.strip()}"] = int(size.strip().removesuffix("K")) * 1024
    return found


class _Loop:
    """Adds up the vectors of a buffer, or, to ``multiply``, products of two registers."""

    def __init__(self, multiply: bool) -> None:
        isa = current_isa()
        if isa is None:
            raise RuntimeError("this processor has none of elman's instruction sets")
        module = Module()
        f = Function(module, "measured", [("ptr", "table")], public=True)
        v = Vector(f, isa, "float")
        self.bytes_a_round = CHAINS * v.lanes * v.size
        repeats, rounds = (f.load("i64", f.params[0], i) for i in (0, 1))
        data = f.load("ptr", f.params[0], 2)
        with f.loop(0, repeats):
            factor = v.load(data)

            def turn(i: Int, sums: list[str], factor: str = factor) -> list[str]:
                if multiply:
                    return [v.fma(factor, factor, now) for now in sums]
                places = [f.add(f.mul(i, CHAINS * v.lanes), c * v.lanes) for c in range(CHAINS)]
                read = [v.load(f.gep("float", data, place)) for place in places]
                return [v.add(now, value) for now, value in zip(sums, read, strict=True)]

            zeros = [v.number(0.0)] * CHAINS
            sums = f.carry((0, rounds), [v.type] * CHAINS, zeros, turn)
            for now in sums:  # so that LLVM keeps them
                v.store(now, data)
        self._code = Code(object_code(module, isa), "measured")
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._code.address)

    def rate(self, size: int, threads: int) -> float:
        """Bytes a second that so many threads handle, each with a buffer of this size."""
        buffers = [np.full(size // 4, 1e-3, np.float32) for _ in range(threads)]
        rounds, repeats = size // self.bytes_a_round, 1
        while True:
            arguments = [array("q", [repeats, rounds, b.ctypes.data]) for b in buffers]
            seconds = min(self._seconds(arguments) for _ in range(5))
            if seconds >= SECONDS:
                return threads * repeats * rounds * self.bytes_a_round / seconds
            repeats = max(2 * repeats, int(1.2 * repeats * SECONDS / seconds))

    def _seconds(self, arguments: list[Any]) -> float:
        calls = [threading.Thread(target=self._call, args=[a.buffer_info()[0]]) for a in arguments]
        began = time.perf_counter()
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        return time.perf_counter() - began


def flops(task: Task) -> float:
    """Of the matrix products, two for each weight, step and row. The backward pass has twice as
    many as the forward pass, but for the gradient of the input, which nobody needs."""
    rows = 2.0 * task.T * task.B * task.gates * task.H * task.directions
    forward = rows * sum(task.input_size(layer) + task.H for layer in range(task.num_layers))
    return forward if task.mode == "inference" else 3 * forward - rows * task.I


def traffic(task: Task, machine: dict[str, Any]) -> tuple[float, str]:
    """Bytes of weights that are read, and from where.

    Every pass reads the input weights once and the recurrent weights at every step, from the first
    level that holds a layer's recurrent weights; in streaming, from that which holds all weights.
    """
    recurrent = 4 * task.gates * task.H * task.H
    inputs = sum(4 * task.gates * task.H * task.input_size(i) for i in range(task.num_layers))
    read = task.directions * (task.num_layers * task.T * recurrent + inputs)
    held = read if task.streaming else recurrent
    level = next((lv for lv in LEVELS[:3] if held <= machine["caches"][lv]), LEVELS[3])
    return read * (1 if task.mode == "inference" else 2), level


def roof(task: Task, machine: dict[str, Any]) -> tuple[float, str]:
    """Microseconds that no program undercuts, and what bounds them, ``"FMA"`` or a level."""
    read, level = traffic(task, machine)
    return max((flops(task) / machine["gflops"] / 1e3, "FMA"), (read / machine[level] / 1e3, level))


def show(figures: dict[str, Any]) -> str:
    """The table."""
    rows = figures["roofline"].items()
    return table(
        ["threads", "multiply-adds (GFLOP/s)", *(f"{level} (GB/s)" for level in LEVELS)],
        [[n, *(f"{row[what]:.0f}" for what in ("gflops", *LEVELS))] for n, row in rows],
    )


def plot(figures: dict[str, Any], figure: Any) -> None:
    """Which share of its roof each workload reaches, on one thread."""

    def share(row: dict[str, Any]) -> float | None:
        measured = row["times"][ELMAN]["us"]
        return 100 * roof(task_of(row), machine)[0] / median(row, ELMAN) if measured else None

    machine = figures["roofline"]["1"]
    axes, bars = figure.subplots(), by_workload(figures, share)
    for mode, marker in zip(MODES, "o^", strict=True):
        points = [(found[mode], i) for i, found in enumerate(bars.values()) if mode in found]
        axes.scatter(*np.transpose(points), marker=marker, label=mode, zorder=2)
    axes.set_yticks(range(len(bars)), labels=list(bars))
    axes.invert_yaxis()
    axes.set(xlim=(0, 105), xlabel="share of the roof (%), one thread")
    axes.grid(linewidth=0.3)
    axes.legend()
