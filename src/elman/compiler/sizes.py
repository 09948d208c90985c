"""How large everything of a call is: the numbers in the slots of a pass."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ..rows import Rows
from ..spaces import HIDDEN, INPUT, LONGEST, Sizes, Space
from . import forward as forward_pass
from . import masked
from .buffers import Slots
from .formats import Format
from .frame import PLACES
from .graph import Program
from .outer import OPERAND
from .plan import Plan, products_of
from .schedule import Order, Schedule
from .target import Target, Use
from .team import can_cut_units, mixes_units, reads_inputs
from .tile import Shape, odd
from .weights import Sums

_WHOLE = 1 << 40  # more units than there are: they are not cut


class KernelSpec(NamedTuple):
    """What a kernel is made for."""

    plan: Plan
    target: Target

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return self.target.isa.lanes(self.target.dtype)

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return Format(self.target.dtype).size

    @property
    def schedule(self) -> Schedule:
        """The tuning constants."""
        return self.target.schedule


def padded_units(spec: KernelSpec, units: int) -> int:
    """Hidden units rounded up to whole vectors, or whole tiles of one row."""
    return spec.target.step.padded(units, spec.lanes)


def padded_sizes(spec: KernelSpec, sizes: Sizes) -> Sizes:
    """The sizes rounded up to whole tiles: of the inputs' products, or of a step's."""

    def padded(space: Space, size: int) -> int:
        shapes = [spec.target.bulk] * (space is INPUT) + [spec.target.step] * (space in step.spaces)
        return max(shape.padded(size, spec.lanes) for shape in shapes or [spec.target.step])

    step = spec.plan.step
    found = Sizes({space: padded(space, size) for space, size in sizes.items()})
    if step.row is LONGEST:
        found[LONGEST] = max(found.values())
    return found


def mask_table(spec: KernelSpec, program: Program, sizes: Sizes) -> array[int]:
    """The table of :mod:`.masked` for a pass."""
    padded = padded_sizes(spec, sizes)
    return masked.table(spec.target, spec.plan.step, program, sizes, padded)


def saved_size(spec: KernelSpec, rows: Rows, units: int) -> int:
    """Elements of what the forward pass keeps for the backward pass, which reads rows in whole
    vectors, and so beyond the end of the last."""
    states, values = len(spec.plan.saved_states), len(spec.plan.saved)
    if not states + values:
        return 0
    saved_rows = (rows.N + rows.B) * states + rows.N * values
    return saved_rows * units + padded_units(spec, units) - units


def saved_offsets(spec: KernelSpec, rows: Rows, units: int) -> dict[str, int]:
    """Where the parts of it begin: by slot, bytes to each saved state, then to all saved values."""
    size = (rows.N + rows.B) * units * spec.size
    slots = [*(f"saved.{name}" for name in spec.plan.saved_states), "saved"]
    return {slot: i * size for i, slot in enumerate(slots)}


def _slices_of_units(spec: KernelSpec, padded: int, most: int) -> tuple[int, int]:
    """Into how many slices the units of a row can be cut, if there are to be so many at most; and
    the units of each: whole heads."""
    heads, lanes = spec.target.heads, spec.lanes
    if heads == 1:
        size = spec.target.step.slice_of(padded // lanes, most) * lanes
    else:
        of_head = padded // lanes // heads
        size = spec.target.front.slice_of(padded // lanes, most, of_head) * lanes
    return max(1, -(-padded // size)), size


def _unit_slices(
    spec: KernelSpec, rows: Rows, units: int, program: Program, most: int
) -> tuple[int, bool]:
    """Into how many slices the units of all rows are cut for so many threads, one if there is
    nothing to be gained; and whether these threads have to wait for one another."""
    back = program is spec.plan.backward
    # Panels of transposed matrices, and rows that are longer than the units, are not cut.
    special = spec.plan.tied or spec.plan.step.row is not HIDDEN
    if special or not can_cut_units(spec.target, back):
        return 1, False
    padded = padded_units(spec, units)
    mixes = mixes_units(program)
    several = rows.T > 1 or len(program.stages) > 1 or reads_inputs(program)
    meets = back or (mixes and several)
    if meets and mixes:
        nbytes = _weight_bytes(spec, padded, program) // len(program.stages)
        most = min(most, spec.schedule.team(nbytes))
    if (meets or several) and most <= -(-rows.B // spec.target.step.rows):
        return 1, False  # slices of rows do as well
    return _slices_of_units(spec, padded, max(1, most))[0], meets


def _weight_bytes(spec: KernelSpec, padded: int, program: Program) -> int:
    """Of weights that a step reads."""
    heads = spec.target.heads
    return len(products_of(program)) * spec.target.panel.nbytes(padded, padded // heads)


def _team(
    spec: KernelSpec, rows: Rows, units: int, program: Program, values: dict[str, int]
) -> dict[str, int]:
    """How units are cut, and the patience of threads that share them."""
    schedule, padded = spec.schedule, values[HIDDEN.padded]
    count, meets = _unit_slices(spec, rows, units, program, values["threads"])
    if count == 1:
        return {}
    read = _weight_bytes(spec, padded, program)
    if not read:  # of a step's weights: those of the inputs take the time
        read = len(spec.plan.columns) * spec.target.panel.nbytes(padded, values[INPUT.name])
    looks = max(schedule.patience, rows.T * read // schedule.look_bytes)
    # Each weight is read by one thread.
    found = {"slices": count, "slice": rows.B, "unit.slices": count, "pack.last": count}
    found |= {"team": int(meets), "patience": looks}
    for space in spec.plan.step.spaces:
        found[space.slice] = _slices_of_units(spec, values[space.padded], count)[1]
    vectors = values[INPUT.padded] // spec.lanes
    found[INPUT.slice] = spec.target.bulk.slice_of(vectors, count) * spec.lanes
    return found


def pieces(spec: KernelSpec, rows: Rows, units: int, program: Program) -> int:
    """Parts of a pass that threads may share: rows, or units."""
    if program is spec.plan.backward and spec.schedule.order(rows, units).parts > 1:
        return rows.B
    most = padded_units(spec, units) // spec.lanes
    return max(rows.B, _unit_slices(spec, rows, units, program, most)[0])


def _common(spec: KernelSpec, rows: Rows, sizes: Sizes, threads: int) -> dict[str, int]:
    """The numbers of all passes."""
    tile, pieces, spaces = spec.target.step.rows, threads, (INPUT, *spec.plan.step.spaces)
    if rows.ragged and threads > 1:
        pieces *= spec.schedule.ragged_slices
    piece = -(-rows.B // min(pieces, -(-rows.B // tile)))
    return {
        "T": rows.T,
        "B": rows.B,
        **{space.name: size for space, size in sizes.items()},
        spec.target.row.name: spec.plan.step.row_units(sizes),
        **{space.padded: size for space, size in padded_sizes(spec, sizes).items()},
        "N": rows.N,
        "t0": rows.T - 1 if rows.reverse else 0,
        "dt": -1 if rows.reverse else 1,
        "slices": -(-rows.B // piece),
        "slice": piece,
        "unit.slices": 1,
        "team": 0,
        "pack.first": 0,
        "pack.last": 1,
        **{space.slice: _WHOLE for space in spaces},
        "unpacked": 0,
        "threads": threads,
        "Ix": -(-sizes.width // spec.lanes) * spec.lanes,
    }


def forward(
    spec: KernelSpec, rows: Rows, sizes: Sizes, threads: int, training: bool, contiguous: bool
) -> dict[str, int]:
    """The numbers of the forward pass that depend on sizes; ``contiguous``: the last
    dimensions of matrices and input are, as PyTorch makes them."""
    plan, size, width, units = spec.plan, spec.size, sizes.width, spec.plan.step.row_units(sizes)
    program = forward_pass.program_of(plan, training)
    values = _common(spec, rows, sizes, threads)
    padded = values[HIDDEN.padded]
    values |= _team(spec, rows, units, program, values)
    packs_nothing = contiguous and not spec.target.panel.converts
    packs_nothing = packs_nothing and plan.plain
    if rows.T == 1 and values["slice"] >= rows.B and packs_nothing:
        values["unpacked"] = int(spec.schedule.few_rows(rows.B, width + units))
    step_bytes = max(1, values["slice"] * len(plan.columns) * padded * size)
    written = len(plan.step.outputs) + (len(plan.saved) + len(plan.saved_states)) * training
    values["ahead"] = int(rows.N * units * written * size >= spec.schedule.written_bytes)
    values["piece"] = max(1, min(rows.T, spec.schedule.piece_bytes // step_bytes))
    values["threads"] = min(threads, values["slices"])
    return values


class Layer(NamedTuple):
    """A layer whose sizes, and whose packed weights, its code is made for."""

    spec: KernelSpec
    slots: Slots
    weights: int  # bytes of its packed weights
    scratch: int  # bytes of its scratch memory

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers in its slots."""
        return self.spec.target.known

    def row_units(self, space: Space) -> int:
        """How many units a row of a space has room for: whole tiles."""
        return self.numbers[space.stored.padded]

    def row_bytes(self, space: Space) -> int:
        """What such a row takes."""
        return self.row_units(space) * self.spec.size


def one_layer(
    plan: Plan, target: Target, sizes: Sizes, use: Use, strides: Mapping[str, int]
) -> Layer:
    """What runs one layer on one row, for a target of one row.

    No number is a variable of the code but how many steps there are, if there may be several.
    Tensors are contiguous, and all steps have the same rows, but for the ``strides`` given. States
    have room for whole tiles, and so have outputs that layers above read. Those addresses are null
    that no such layer needs.
    """
    target = replace(target, front=_front(target, use), numbers=(("B", 1),), use=use)
    spec = KernelSpec(plan, target)
    slots = forward_pass.slots(plan, target, training=False)
    rows = Rows(use.steps, 1, use.steps)
    numbers = forward(spec, rows, sizes, 1, training=False, contiguous=False)
    numbers |= {"packed": 1, "first": 0, "last": 1, "piece": use.steps}
    for argument in slots.arguments.values():
        units = {"u": 1, "c": 1}
        numbers |= {f"{argument.name}.{axis}": units.get(axis, 0) for axis in argument.strides}
    numbers |= strides
    (weights, size), (scratch, room) = (slots.layout(numbers, packed) for packed in (True, False))
    nothing = "counts", "offsets", *PLACES, "zeros", "done", "after.same", "after.other"
    numbers |= {**weights, **scratch, **dict.fromkeys(nothing, 0)}
    if use.steps > 1:
        del numbers["T"], numbers["N"]
    spec = KernelSpec(plan, replace(target, numbers=tuple(numbers.items())))
    return Layer(spec, slots, size, room)


def _front(target: Target, use: Use) -> Shape:
    """The tiles of inputs: those of all steps of a piece are multiplied at once, so that each
    weight is read once. Whole ones fill a step's tile."""
    whole, most = target.step.widths[0], max(1, target.isa.accumulators // use.piece)
    return Shape(use.steps, (next(w for w in range(min(whole, most), 0, -1) if not whole % w),))


def reads_within(spec: KernelSpec, sizes: Sizes, inputs: bool) -> bool:
    """Whether the products of a backward pass, those for the ``inputs``' gradient too, read nothing
    beyond the rows of matrices as they lie."""
    padded = padded_sizes(spec, sizes)
    spaces = [*spec.plan.step.spaces, *[INPUT] * inputs]
    return all(padded[space] == sizes[space] for space in spaces)


def backward(
    spec: KernelSpec,
    rows: Rows,
    sizes: Sizes,
    threads: int,
    order: Order,
    sums: Sums,
    spans: bool,
    readable_as_panels: bool,
    apart: bool,
) -> dict[str, int]:
    """The numbers of the backward pass that depend on sizes. The sums of ``spans`` are kept between
    calls; ``readable_as_panels``: matrices may be read in place of panels; ``apart``: each row has
    sums of its own."""
    plan, size, schedule = spec.plan, spec.size, spec.schedule
    states, units = plan.step.states, plan.step.row_units(sizes)
    values = _common(spec, rows, sizes, threads)
    inner, padded = values[INPUT.padded], values[spec.target.row.padded]
    segment = rows.T if apart else order.segment
    depth = schedule.depth(segment * (1 if apart else order.rows), (inner + padded) * size)
    gates_row = odd(padded, spec.lanes)
    row = len(plan.gate_gradients) * gates_row * size
    chunk = schedule.chunk_steps(rows, order, row, sums.size * size)
    if apart and rows.T * row <= 2 * sums.apart * size:  # no chunk adds to what another wrote
        chunk = rows.T
    parts, most = -(-rows.B // order.rows), chunk * order.rows  # of this call
    if not apart:
        most = min(most, rows.N)
    if not apart and parts == 1:
        values |= _team(spec, rows, units, plan.backward, values)
        parts = values["unit.slices"]
    one_by_one = threads == 1 and not spans and not apart
    summed = rows.B if apart else order.parts
    few = schedule.unpacked_steps >= rows.N and (rows.T == 1 or not spec.target.single)
    plain = not spec.target.panel.converts and plan.plain
    packed = not (readable_as_panels and few and plain)
    return values | {
        "slices": parts,
        "parts": summed,
        "apart": int(apart),
        "gate_gradients.stride": chunk if apart else 1,
        "one.by.one": one_by_one,
        "slice": order.rows,
        "unpacked": int(not packed),
        "threads": min(threads, parts),
        "chunk": chunk,
        "piece": chunk,
        "segment": segment,
        "most": most,
        "matrices": sums.matrices,
        "tasks": sums.tasks,
        "goals.n": len(sums.places_in_goals),
        "partials.size": sums.size,
        "operands.n": len(sums.operands) // len(OPERAND),
        "width": sums.width,
        "depth": depth,
        "gate_gradients.row": gates_row,
        "ahead": int(
            rows.N * units * (len(states) + len(plan.saved) + 1) * size >= schedule.far_bytes
        ),
    }
