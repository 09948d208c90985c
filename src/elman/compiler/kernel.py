"""A step's compiled passes, and how they are called: sizes, scratch memory, arguments."""

from __future__ import annotations

import functools
import math
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..runtime.memory import scratch
from ..runtime.threads import parallel_address, thread_count
from . import backward, forward
from .frame import Target
from .isa import ISA, chains
from .jit import Code, load
from .outer import JOB
from .plan import Plan, products_of
from .tile import Shape

DTYPES = {torch.float32: "float", torch.float64: "double"}
_CHUNK_BYTES = 96 << 10  # of projected inputs of a slice: they stay in the second cache
_DEPTH_BYTES = 128 << 10  # of packed rows in the weights' gradients


@dataclass(frozen=True)
class Rows:
    """The rows of a batch over time. ``counts`` and ``offsets`` are None if all have ``T`` steps;
    else ``counts[t]`` rows are active at step ``t`` and lie from row ``offsets[t]`` on."""

    T: int
    B: int
    N: int  # rows of all steps together
    counts: Tensor | None = None
    offsets: Tensor | None = None
    reverse: bool = False


@dataclass(frozen=True)
class Weights:
    """The tensors of one layer and direction, ``(G*H, I)``, ``(G*H, H)``, ``(G*H,)`` twice."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


@functools.cache
def _constants(dtype: torch.dtype) -> tuple[Tensor, int, int]:
    """Zeros, as many as the widest tile has units, then a one; and their addresses."""
    values = torch.zeros(257, dtype=dtype)
    values[256] = 1
    return values, values.data_ptr(), values.data_ptr() + 256 * values.element_size()


def _table(slots: Sequence[str], values: dict[str, int]) -> array[int]:
    return array("q", map(values.__getitem__, slots))


def _matrix(values: dict[str, int], name: str, tensor: Tensor) -> None:
    values[name] = tensor.data_ptr()
    values[f"{name}.r"], values[f"{name}.c"] = tensor.stride()


def _give(values: dict[str, int], name: str, tensor: Tensor | None, zeros: int) -> None:
    """The slots of a tensor ``(T, B, H)``, ``(N, H)`` or ``(B, H)``; None is all zeros."""
    if tensor is None:
        address, time, row, unit = zeros, 0, 0, 0
    elif tensor.dim() == 3:
        address, (time, row, unit) = tensor.data_ptr(), tensor.stride()
    else:
        address, (row, unit) = tensor.data_ptr(), tensor.stride()
        time = row
    values[name], values[f"{name}.t"], values[f"{name}.r"], values[f"{name}.u"] = (
        *(address, time),
        *(row, unit),
    )


class Layout:
    """Consecutive buffers in one piece of scratch memory, each at a multiple of 64 bytes."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.bytes = 0

    def add(self, name: str, nbytes: int) -> None:
        self.offsets[name] = self.bytes
        self.bytes += -(-nbytes // 64) * 64 + 64

    def place(self, values: dict[str, int]) -> Any:
        """Allocates all, writes the addresses; the memory lives as long as the result."""
        memory, base = scratch(self.bytes)
        for name, offset in self.offsets.items():
            values[name] = base + offset
        return memory


class Kernel:
    """The compiled passes of one step, for one dtype, instruction set and class of sizes."""

    def __init__(self, plan: Plan, dtype: torch.dtype, target: Target) -> None:
        self.plan, self.dtype, self.target = plan, dtype, target
        self.size = dtype.itemsize
        self.source: dict[str, str] = {}  # by pass: where the code came from
        self.forward_slots = forward.slots(plan)
        self.backward_slots = backward.slots(plan)

    @functools.cached_property
    def infer(self) -> Code:
        return self._load("infer", "elman_forward")

    @functools.cached_property
    def train(self) -> Code:
        return self._load("train", "elman_forward")

    @functools.cached_property
    def back(self) -> Code:
        return self._load("backward", "elman_backward")

    def _load(self, which: str, name: str) -> Code:
        plan, target = self.plan, self.target
        key = f"{plan.key} {which} {target}"
        if which == "backward":
            code, origin = load(key, target.isa, name, lambda: backward.emit(plan, target))
        else:
            train = which == "train"
            code, origin = load(key, target.isa, name, lambda: forward.emit(plan, target, train))
        self.source[which] = origin
        return code

    # -- sizes

    def padded(self, units: int) -> int:
        return self.target.step.padded(units, self.target.isa.lanes(self.target.dtype))

    def padded_inputs(self, inputs: int) -> int:
        return self.target.bulk.padded(inputs, self.target.isa.lanes(self.target.dtype))

    def saved_size(self, rows: Rows, units: int) -> int:
        """Elements of what the forward pass keeps for the backward pass."""
        states, values = len(self.plan.saved_states), len(self.plan.saved)
        return ((rows.N + rows.B) * states + rows.N * values) * self.padded(units)

    def _work(self, rows: Rows, inputs: int, units: int, products: int) -> float:
        gates = len(self.plan.step.gates)
        return 2.0 * rows.N * units * (gates * inputs + products * units)

    def _common(
        self, rows: Rows, inputs: int, units: int, threads: int
    ) -> tuple[dict[str, int], int]:
        """The slots of all passes, and how many rows a slice has at most."""
        parts = threads if rows.counts is None else 4 * threads if threads > 1 else 1
        size = math.ceil(rows.B / min(parts, math.ceil(rows.B / self.target.step.rows)))
        values = {
            "T": rows.T,
            "B": rows.B,
            "I": inputs,
            "H": units,
            "Hp": self.padded(units),
            "N": rows.N,
            "t0": rows.T - 1 if rows.reverse else 0,
            "dt": -1 if rows.reverse else 1,
            "counts": 0 if rows.counts is None else rows.counts.data_ptr(),
            "offsets": 0 if rows.offsets is None else rows.offsets.data_ptr(),
            "slices": math.ceil(rows.B / size),
            "slice": size,
            "ticket": 0,
            "threads": threads,
            "parallel": parallel_address() if threads > 1 else 0,
            "fp": 0,
        }
        return values, size

    def _kept(self, values: dict[str, int], saved: Tensor | None, rows: Rows, padded: int) -> None:
        address = 0 if saved is None else saved.data_ptr()
        for name in self.plan.saved_states:
            values[f"saved.{name}"] = address
            address += (rows.N + rows.B) * padded * self.size
        values["saved"] = address

    # -- calls

    def forward(
        self,
        rows: Rows,
        x: Tensor,
        weights: Weights,
        initial: Sequence[Tensor | None],
        output: Tensor,
        final: Sequence[Tensor],
        saved: Tensor | None,
        inputs: Sequence[Tensor] = (),
    ) -> None:
        """Runs the forward pass; writes ``output``, ``final`` and, for training, ``saved``."""
        plan, size = self.plan, self.size
        units, width = weights.w_hh.shape[1], x.shape[-1]
        program = plan.infer if saved is None else plan.train
        products = len(products_of(program))
        threads = thread_count(self._work(rows, width, units, products), rows.B)
        values, piece = self._common(rows, width, units, threads)
        padded, columns = values["Hp"], len(plan.columns)
        _, zeros, _ = _constants(self.dtype)
        _give(values, "x", x, zeros)
        _give(values, "output", output, zeros)
        for name, h0, hn in zip(plan.step.states, initial, final, strict=True):
            _give(values, f"h0.{name}", h0, zeros)
            _give(values, f"hn.{name}", hn, zeros)
        for name, given in zip(plan.step.inputs, inputs, strict=True):
            _give(values, f"input.{name}", given, zeros)
        _matrix(values, "w_ih", weights.w_ih)
        _matrix(values, "w_hh", weights.w_hh)
        values["b_ih"] = 0 if weights.b_ih is None else weights.b_ih.data_ptr()
        values["b_hh"] = 0 if weights.b_hh is None else weights.b_hh.data_ptr()
        step_bytes = max(1, piece * columns * padded * size)
        chunk = max(1, min(rows.T, _CHUNK_BYTES // step_bytes))
        values["chunk"], values["zeros"] = chunk, zeros
        self._kept(values, saved, rows, padded)
        area = values["slices"] * piece * chunk
        layout = Layout()
        layout.add("panels", products * padded * units * size)
        layout.add("panels_x", columns * padded * width * size)
        layout.add("starts", (columns + products) * padded * size)
        layout.add("rows", area * 8)
        layout.add("projected", area * columns * padded * size)
        layout.add("states", 2 * len(plan.step.states) * rows.B * padded * size)
        layout.add("crossing", len(program.crossing) * rows.B * padded * size)
        memory = layout.place(values)
        table = _table(self.forward_slots, values)
        (self.infer if saved is None else self.train).call(table.buffer_info()[0])
        del memory

    def backward(
        self,
        rows: Rows,
        x: Tensor,
        weights: Weights,
        saved: Tensor,
        gradient: tuple[Tensor | None, Sequence[Tensor | None]],
        wanted: Gradients,
        inputs: Sequence[Tensor] = (),
    ) -> None:
        """Runs the backward pass; writes the tensors of ``wanted`` that are not None."""
        plan, size = self.plan, self.size
        units, width = weights.w_hh.shape[1], x.shape[-1]
        products = len(products_of(plan.backward))
        threads = thread_count(2 * self._work(rows, width, units, products), rows.B)
        values, _ = self._common(rows, width, units, threads)
        padded, inner = values["Hp"], self.padded_inputs(width)
        _, zeros, one = _constants(self.dtype)
        _give(values, "x", x, zeros)
        _give(values, "gout", gradient[0], zeros)
        for name, ghn, gh0 in zip(plan.step.states, gradient[1], wanted.initial, strict=True):
            _give(values, f"ghn.{name}", ghn, zeros)
            _give(values, f"gh0.{name}", gh0, 0)
        for name, given in zip(plan.step.inputs, inputs, strict=True):
            _give(values, f"input.{name}", given, zeros)
        _matrix(values, "w_ih", weights.w_ih)
        _matrix(values, "w_hh", weights.w_hh)
        values["dx"] = 0 if wanted.x is None else wanted.x.data_ptr()
        values["dx.add"], values["Ip"] = int(wanted.add_x), inner
        self._kept(values, saved, rows, padded)

        matrices, biases = self._jobs(weights, wanted, (width, inner), (units, padded))
        parts = min(threads, math.ceil(units / self.target.bulk.rows))
        widest = max(inner, padded)
        depth = max(32, min(256, _DEPTH_BYTES // (widest * size)))
        area = widest * (units + depth) + depth * self.target.bulk.rows
        jobs = array("q", [number for job in [*matrices, *biases] for number in job] or [0])
        values["jobs"], values["matrices"] = jobs.buffer_info()[0], len(matrices)
        values["tasks"], values["parts"] = len(matrices) * parts + len(biases), parts
        values["columns"], values["depth"], values["workers"] = widest, depth, 0
        values["zeros"], values["one"], values["area"] = zeros, one, area
        layout = Layout()
        layout.add("panels", products * padded * units * size)
        layout.add("panels_x", len(plan.z_x) * inner * units * size)
        layout.add("lists", len(backward.lists(plan)) * rows.N * 8)
        layout.add("scratch", threads * area * size)
        layout.add("states", 2 * len(plan.step.states) * rows.B * padded * size)
        layout.add("crossing", len(plan.backward.crossing) * rows.B * padded * size)
        layout.add("z", rows.N * len(plan.z) * padded * size)
        memory = layout.place(values)
        table = _table(self.backward_slots, values)
        self.back.call(table.buffer_info()[0])
        del memory

    def _jobs(
        self,
        weights: Weights,
        wanted: Gradients,
        inputs: tuple[int, int],
        hidden: tuple[int, int],
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """The weights' gradients as jobs (see ``outer``): of matrices, then of biases."""
        plan, gates, units = self.plan, self.plan.step.gates, hidden[0]
        operands = backward.lists(plan)
        matrices: list[tuple[int, ...]] = []
        biases: list[tuple[int, ...]] = []

        def goal(tensor: Tensor, gate: str) -> int:
            return tensor.data_ptr() + gates.index(gate) * units * tensor.stride(0) * self.size

        if wanted.w_ih is not None:
            stride = wanted.x_stride
            for gate, z in plan.z_x.items():
                matrices.append((goal(wanted.w_ih, gate), z, 0, stride, *inputs))
        if wanted.w_hh is not None:
            for gate, z, operand in plan.z_product:
                place = operands.index(operand)
                matrices.append((goal(wanted.w_hh, gate), z, place, 1, *hidden))
        for bias, columns in ((wanted.b_ih, plan.z_x), (wanted.b_hh, plan.z_bias)):
            if bias is not None:
                biases += [(goal(bias, gate), z, 0, 0, 0, 0) for gate, z in columns.items()]
        assert all(len(job) == len(JOB) for job in [*matrices, *biases])
        return matrices, biases


@dataclass
class Gradients:
    """Where the backward pass writes; None is not computed. Weights' are contiguous."""

    x: Tensor | None  # (N, I), contiguous
    add_x: bool  # added to what is there, for the second direction
    x_stride: int  # between units of the input, which the weights' gradient reads
    initial: Sequence[Tensor | None]
    w_ih: Tensor | None
    w_hh: Tensor | None
    b_ih: Tensor | None
    b_hh: Tensor | None


_LIMIT = 128  # kernels in memory
_kernels: dict[tuple[Any, ...], Kernel] = {}
_kernels_lock = threading.Lock()


def kernel_for(plan: Plan, dtype: torch.dtype, isa: ISA, units: int, single: bool) -> Kernel:
    """The kernel for a step and sizes; the least recently made go when there are too many."""
    name = DTYPES[dtype]
    cut = chains(isa, name, units)
    bulk = Shape.many(isa, cut)
    step = Shape.single(isa, name, cut, units) if single else bulk
    target = Target(isa, name, step, bulk)
    key = (plan.key, target)
    kernel = _kernels.get(key)
    if kernel is None:
        with _kernels_lock:
            while len(_kernels) >= _LIMIT:
                _kernels.pop(next(iter(_kernels)), None)
            kernel = _kernels.setdefault(key, Kernel(plan, dtype, target))
    return kernel
