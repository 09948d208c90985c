"""How large everything of a call is: slices, chunks, scratch memory, and the table of jobs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..batch import Rows
from . import backward as backward_pass
from .frame import Target
from .outer import strip_width
from .plan import Plan, products_of

_CHUNK_BYTES = 96 << 10  # of projected inputs of a slice: they stay in the second cache
_DEPTH_BYTES = 128 << 10  # of packed rows in the weights' gradients


class Form(NamedTuple):
    """What a kernel is made for."""

    plan: Plan
    dtype: torch.dtype
    target: Target


class Layout:
    """Consecutive buffers in one piece of scratch memory, each at a multiple of 64 bytes."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.bytes = 0

    def add(self, name: str, nbytes: int) -> None:
        self.offsets[name] = self.bytes
        self.bytes += -(-nbytes // 64) * 64


def _constants(dtype: torch.dtype) -> Tensor:
    values = torch.zeros(257, dtype=dtype, device="cpu")
    values[256] = 1
    return values


#: By dtype zeros, as many as the widest tile has units, then a one. Prepared tables hold their
#: addresses, so they are made once, before any thread asks.
_CONSTANTS = {dtype: _constants(dtype) for dtype in (torch.float32, torch.float64)}


def padded_units(form: Form, units: int) -> int:
    """Hidden units rounded up to whole vectors, or whole tiles of one row."""
    return form.target.step.padded(units, form.target.isa.lanes(form.target.dtype))


def saved_size(form: Form, rows: Rows, units: int) -> int:
    """Elements of what the forward pass keeps for the backward pass."""
    states, values = len(form.plan.saved_states), len(form.plan.saved)
    return ((rows.N + rows.B) * states + rows.N * values) * padded_units(form, units)


def kept(form: Form, rows: Rows, units: int) -> list[tuple[str, int]]:
    """The parts of it: slot and offset in bytes of each kept state, then of all kept values."""
    size = (rows.N + rows.B) * padded_units(form, units) * form.dtype.itemsize
    names = [*(f"saved.{name}" for name in form.plan.saved_states), "saved"]
    return [(name, i * size) for i, name in enumerate(names)]


def _common(
    form: Form, rows: Rows, width: int, units: int, threads: int, tensors: Sequence[str]
) -> dict[str, int]:
    """The slots of all passes. A tensor that is not given is a zero with no strides."""
    tile = form.target.step.rows
    # Rows of unequal length are handed out in more pieces than there are threads.
    pieces = threads if rows.counts is None else 4 * threads if threads > 1 else 1
    piece = -(-rows.B // min(pieces, -(-rows.B // tile)))
    zeros = _CONSTANTS[form.dtype].data_ptr()
    return {
        **dict.fromkeys(tensors, zeros),
        "T": rows.T,
        "B": rows.B,
        "I": width,
        "H": units,
        "Hp": padded_units(form, units),
        "N": rows.N,
        "t0": rows.T - 1 if rows.reverse else 0,
        "dt": -1 if rows.reverse else 1,
        "slices": -(-rows.B // piece),
        "slice": piece,
        "threads": threads,
        "zeros": zeros,
    }


def forward(
    form: Form, rows: Rows, width: int, units: int, threads: int, training: bool
) -> tuple[dict[str, int], Layout]:
    """The slots of the forward pass that depend on sizes, and its scratch memory."""
    plan, size = form.plan, form.dtype.itemsize
    program = plan.train if training else plan.infer
    products, columns = len(products_of(program)), len(plan.columns)
    values = _common(form, rows, width, units, threads, [f"h0.{name}" for name in plan.step.states])
    padded = values["Hp"]
    step_bytes = max(1, values["slice"] * columns * padded * size)
    values["chunk"] = max(1, min(rows.T, _CHUNK_BYTES // step_bytes))
    area = values["slices"] * values["slice"] * values["chunk"]
    layout = Layout()
    layout.add("panels", products * padded * units * size)
    layout.add("panels_x", columns * padded * width * size)
    layout.add("starts", (columns + products) * padded * size)
    layout.add("rows", area * 8)
    layout.add("projected", area * columns * padded * size)
    layout.add("states", 2 * len(plan.step.states) * rows.B * padded * size)
    layout.add("crossing", len(program.crossing) * rows.B * padded * size)
    return values, layout


def backward(
    form: Form,
    rows: Rows,
    width: int,
    units: int,
    threads: int,
    asked: tuple[bool, bool, bool, bool],
) -> tuple[dict[str, int], Layout]:
    """The slots of the backward pass that depend on sizes, and its scratch memory."""
    plan, size, bulk = form.plan, form.dtype.itemsize, form.target.bulk
    states = plan.step.states
    values = _common(
        form, rows, width, units, threads, ["gout", *(f"ghn.{name}" for name in states)]
    )
    padded = values["Hp"]
    lanes = form.target.isa.lanes(form.target.dtype)
    inner = bulk.padded(width, lanes)
    widest = max(inner, padded)
    parts = min(threads, -(-units // bulk.rows))
    depth = max(32, min(256, _DEPTH_BYTES // (max(widest, 1) * size)))
    w_ih, w_hh, b_ih, b_hh = asked
    matrices = w_ih * len(plan.z_x) + w_hh * len(plan.gates_of_products)
    biases = b_ih * len(plan.z_x) + b_hh * len(plan.z_bias)
    strip = strip_width(bulk, lanes)
    area = widest * (units + depth) + depth * strip * -(-units // bulk.rows)
    area = -(-area * size // 64) * 64 // size
    values |= {
        "Ip": inner,
        "matrices": matrices,
        "parts": parts,
        "tasks": matrices * parts + biases,
        "columns": widest,
        "depth": depth,
        "area": area,
        "one": _CONSTANTS[form.dtype].data_ptr() + 256 * size,
    }
    layout = Layout()
    layout.add("panels", len(products_of(plan.backward)) * padded * units * size)
    layout.add("panels_x", len(plan.z_x) * inner * units * size)
    layout.add("lists", len(backward_pass.lists(plan)) * rows.N * 8)
    layout.add("areas", threads * area * size)
    layout.add("states", 2 * len(states) * rows.B * padded * size)
    layout.add("crossing", len(plan.backward.crossing) * rows.B * padded * size)
    layout.add("z", (rows.N * len(plan.z) * padded + strip) * size)
    return values, layout


def jobs(
    form: Form, wanted: Sequence[Tensor | None], x_stride: int, width: int, units: int
) -> array[int]:
    """The table of jobs for the weights' gradients (see ``outer``)."""
    plan, gates = form.plan, form.plan.step.gates
    lanes = form.target.isa.lanes(form.target.dtype)
    inner, padded = form.target.bulk.padded(width, lanes), padded_units(form, units)
    w_ih, w_hh, b_ih, b_hh = wanted
    matrices: list[list[tuple[int, ...]]] = []  # for each matrix and gate what is added up

    def goal(tensor: Tensor, gate: str) -> int:
        rows = gates.index(gate) * units * tensor.stride(0)
        return tensor.data_ptr() + rows * form.dtype.itemsize

    if w_ih is not None:
        for gate, z in plan.z_x.items():
            matrices.append([(goal(w_ih, gate), z, 0, x_stride, width, inner)])
    if w_hh is not None:
        operands = backward_pass.lists(plan)
        for gate in plan.gates_of_products:
            first = goal(w_hh, gate)
            matrices.append(
                [
                    (first, z, operands.index(operand), 1, units, padded)
                    for name, z, operand in plan.z_product
                    if name == gate
                ]
            )
    biases = [
        (goal(bias, gate), z)
        for bias, columns in ((b_ih, plan.z_x), (b_hh, plan.z_bias))
        if bias is not None
        for gate, z in columns.items()
    ]
    numbers, more = array("q"), len(matrices) + len(biases)
    for terms in matrices:
        numbers.extend((*terms[0], len(terms), more))
        more += len(terms) - 1
    for bias in biases:
        numbers.extend((*bias, 0, 0, 0, 0, 0, 0))
    for terms in matrices:
        for term in terms[1:]:
            numbers.extend((*term, 0, 0))
    return numbers or array("q", [0])
