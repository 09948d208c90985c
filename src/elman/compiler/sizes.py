"""How large everything of a call is: slices, chunks, scratch memory, and the table of jobs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..batch import Rows
from . import backward as backward_pass
from . import chunks
from .frame import Target
from .outer import strip_length
from .plan import Plan, products_of, sums_of

_CHUNK_BYTES = 96 << 10  # of projected inputs of a slice: they stay in the second cache
_DEPTH_BYTES = 128 << 10  # of packed rows in the weights' gradients
_ROW = 9  # numbers of a job, see ``outer``


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


class Sizes(NamedTuple):
    """Features of the input, and units of the hidden and of the projected state."""

    width: int
    units: int
    projected: int


def saved_size(form: Form, rows: Rows, units: int) -> int:
    """Elements of what the forward pass keeps for the backward pass."""
    states, values = len(form.plan.saved_states), len(form.plan.saved)
    return ((rows.N + rows.B) * states + rows.N * values) * padded_units(form, units)


def kept(form: Form, rows: Rows, units: int) -> dict[str, int]:
    """The parts of it: slot and offset in bytes of each kept state, then of all kept values."""
    size = (rows.N + rows.B) * padded_units(form, units) * form.dtype.itemsize
    return {slot: i * size for i, slot in enumerate(kept_slots(form.plan))}


def kept_slots(plan: Plan) -> list[str]:
    """The slots of what is kept."""
    return [*(f"saved.{name}" for name in plan.saved_states), "saved"]


def _common(
    form: Form, rows: Rows, sizes: Sizes, threads: int, tensors: Sequence[str]
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
        "I": sizes.width,
        "H": sizes.units,
        "P": sizes.projected,
        "Hp": padded_units(form, sizes.units),
        "Pp": padded_units(form, sizes.projected),
        "N": rows.N,
        "t0": rows.T - 1 if rows.reverse else 0,
        "dt": -1 if rows.reverse else 1,
        "slices": -(-rows.B // piece),
        "slice": piece,
        "fleeting": int(rows.T == 1 and piece >= rows.B),
        "threads": threads,
        "zeros": zeros,
    }


def forward(
    form: Form, rows: Rows, sizes: Sizes, threads: int, training: bool
) -> tuple[dict[str, int], Layout]:
    """The slots of the forward pass that depend on sizes, and its scratch memory."""
    plan, size = form.plan, form.dtype.itemsize
    width, units, _ = sizes
    program = plan.train if training else plan.infer
    products, columns = len(products_of(program)), len(plan.columns)
    values = _common(form, rows, sizes, threads, [f"h0.{name}" for name in plan.step.states])
    padded = values["Hp"]
    values |= kept(form, rows, units) if training else {}
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
    layout.add("sums", len(sums_of(program)) * rows.B * size)
    return values, layout


def backward(
    form: Form,
    rows: Rows,
    sizes: Sizes,
    threads: int,
    asked: Sequence[bool],
    segment: int,
) -> tuple[dict[str, int], Layout]:
    """The slots of the backward pass that depend on sizes, and its scratch memory. A segment has
    so many steps."""
    plan, size, bulk = form.plan, form.dtype.itemsize, form.target.bulk
    states, (width, units, _) = plan.step.states, sizes
    values = _common(form, rows, sizes, threads, ["gout", *(f"ghn.{name}" for name in states)])
    padded = values["Hp"]
    values |= kept(form, rows, units)
    lanes = form.target.isa.lanes(form.target.dtype)
    inner = bulk.padded(width, lanes)
    widest = max(inner, padded)
    parts = min(threads, -(-units // bulk.rows))
    depth = max(32, min(256, _DEPTH_BYTES // (max(widest, 1) * size)))
    matrices, vectors = _counts(plan, asked)
    strips = strip_length(bulk, lanes, depth) * -(-units // bulk.rows)
    area = widest * (units + depth) + strips
    area = -(-area * size // 64) * 64 // size
    row = len(plan.z) * padded * size
    weights = units * (len(plan.z_x) * width + len(plan.factors) * units)
    work = 4 * weights if threads > 1 else 0
    chunk = chunks.steps_of(rows, segment, row, weights * size, work)
    most = min(chunk * rows.B, rows.N)  # rows of a chunk
    values |= {
        "chunk": chunk,
        "most": most,
        "Ip": inner,
        "matrices": matrices,
        "parts": parts,
        "tasks": matrices * parts + vectors,
        "columns": widest,
        "depth": depth,
        "area": area,
        "one": _CONSTANTS[form.dtype].data_ptr() + 256 * size,
    }
    layout = Layout()
    layout.add("panels", len(products_of(plan.backward)) * padded * units * size)
    layout.add("panels_x", len(plan.z_x) * inner * units * size)
    layout.add("lists", len(backward_pass.lists(plan)) * most * 8)
    layout.add("areas", threads * area * size)
    layout.add("states", 2 * len(states) * rows.B * padded * size)
    layout.add("crossing", len(plan.backward.crossing) * rows.B * padded * size)
    layout.add("sums", len(sums_of(plan.backward)) * rows.B * size)
    layout.add("z", most * row + (bulk.rows + lanes) * size)
    return values, layout


def _goals(plan: Plan) -> tuple[list[tuple[str, int, str]], list[tuple[str, int, int]]]:
    """What the weights' gradients consist of: for matrices the parameter, a block of its rows and
    the gate or matrix; for biases and vectors the parameter, the block and the column of z."""
    step = plan.step
    matrices = [("weight_ih", step.x_gates.index(gate), gate) for gate in plan.z_x]
    for name in plan.factors:
        if name in step.matrices:
            matrices.append((f"weight_{name}", 0, name))
        else:
            matrices.append(("weight_hh", step.u_gates.index(name), name))
    vectors = [("bias_ih", step.x_gates.index(gate), z) for gate, z in plan.z_x.items()]
    vectors += [("bias_hh", step.u_gates.index(gate), z) for gate, z in plan.z_bias.items()]
    vectors += [(f"weight_{name}", 0, z) for name, z in plan.z_vector.items()]
    return matrices, vectors


def _counts(plan: Plan, asked: Sequence[bool]) -> tuple[int, int]:
    """How many matrices and vectors of these are asked for."""
    wanted = dict(zip(plan.step.parameters, asked, strict=True))
    matrices, vectors = _goals(plan)
    return sum(wanted[m[0]] for m in matrices), sum(wanted[v[0]] for v in vectors)


class Jobs(NamedTuple):
    """A table of jobs for the weights' gradients (see ``outer``) that lacks addresses.

    ``goals`` are the places of those, each with the number of a parameter and an offset in bytes.
    """

    table: array[int]
    goals: list[tuple[int, int, int]]


def jobs(form: Form, asked: Sequence[bool], x_stride: int, sizes: Sizes) -> Jobs:
    """The table of jobs for those of the parameters' gradients that are asked for."""
    plan, units = form.plan, sizes.units
    step, size = plan.step, {"H": units, "P": sizes.projected}
    lanes = form.target.isa.lanes(form.target.dtype)
    shapes = step.shapes(*sizes)
    operands = backward_pass.lists(plan)
    wanted = dict(zip(step.parameters, asked, strict=True))
    every_matrix, every_vector = _goals(plan)
    matrices = [m for m in every_matrix if wanted[m[0]]]
    vectors = [v for v in every_vector if wanted[v[0]]]
    places: list[tuple[int, int, int]] = []

    def goal(name: str, block: int) -> None:
        columns = shapes[name][1] if len(shapes[name]) > 1 else 1
        offset = block * units * columns * form.dtype.itemsize
        places.append((_ROW * len(places), step.parameters.index(name), offset))

    terms_of: list[list[tuple[int, ...]]] = []  # for each matrix and gate what is added up
    for name, block, factor in matrices:
        goal(name, block)
        if name == "weight_ih":
            inner = form.target.bulk.padded(sizes.width, lanes)
            mine: list[tuple[int, ...]] = [
                (units, plan.z_x[factor], 0, x_stride, sizes.width, inner)
            ]
        else:
            rows, columns = step.matrices.get(factor, ("H", step.output_space))
            inner = padded_units(form, size[columns])
            mine = [
                (size[rows], z, operands.index(operand), 1, size[columns], inner)
                for other, z, operand in plan.z_product
                if other == factor
            ]
        terms_of.append(mine)
    numbers, more = array("q"), len(terms_of) + len(vectors)
    for terms in terms_of:
        numbers.extend((0, *terms[0], len(terms), more))
        more += len(terms) - 1
    for name, block, column in vectors:
        goal(name, block)
        numbers.extend((0, units, column, 0, 0, 0, 0, 0, 0))
    for terms in terms_of:
        for term in terms[1:]:
            numbers.extend((0, *term, 0, 0))
    return Jobs(numbers or array("q", [0]), places)
