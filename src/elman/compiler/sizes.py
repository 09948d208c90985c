"""How large everything of a call is: the numbers in the slots of a pass."""

from __future__ import annotations

from typing import NamedTuple

from ..batch import Order
from ..spaces import HIDDEN, INPUT, Sizes, Space
from . import forward as forward_pass
from .formats import Format
from .outer import OPERAND
from .plan import Plan
from .target import Target
from .tile import Shape, odd
from .weights import Sums

_PIECE_BYTES = 96 << 10  # of projected inputs of a slice: they stay in the second cache
_WHOLE = 1 << 40  # more units than there are: they are not cut
_DEPTH_BYTES = 128 << 10  # of inputs and states side by side in the weights' gradients
_FEW_ROWS = 768  # of all steps of a backward pass: to pack weights takes as long as it gains
_FAR_BYTES = 4 << 20  # that a backward pass reads: they have left the second cache
_WRITTEN_BYTES = 1 << 20  # of a forward pass: they go to memory that is not in the second cache
_GATE_BYTES = 512 << 10  # of gradients at the gates of a chunk of the backward pass
_SMALL_BYTES = 128 << 10  # of a chunk, however short the call


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


class Steps(NamedTuple):
    """The rows of a batch over time, in numbers, see ``batch.Rows``."""

    T: int
    B: int
    N: int  # rows of all steps together
    ragged: bool = False  # some rows have fewer steps than others
    reverse: bool = False


def padded_units(spec: KernelSpec, units: int) -> int:
    """Hidden units rounded up to whole vectors, or whole tiles of one row."""
    return spec.target.step.padded(units, spec.lanes)


def padded_sizes(spec: KernelSpec, sizes: Sizes) -> Sizes:
    """The sizes rounded up to whole tiles: of the inputs' products, or of a step's."""

    def shape(space: Space) -> Shape:
        return spec.target.bulk if space is INPUT else spec.target.step

    return Sizes({space: shape(space).padded(size, spec.lanes) for space, size in sizes.items()})


def saved_size(spec: KernelSpec, rows: Steps, units: int) -> int:
    """Elements of what the forward pass keeps for the backward pass, which reads rows in whole
    vectors, and so beyond the end of the last."""
    states, values = len(spec.plan.saved_states), len(spec.plan.saved)
    if not states + values:
        return 0
    rows_kept = (rows.N + rows.B) * states + rows.N * values
    return rows_kept * units + padded_units(spec, units) - units


def kept(spec: KernelSpec, rows: Steps, units: int) -> dict[str, int]:
    """The parts of it: slot and offset in bytes of each kept state, then of all kept values."""
    size = (rows.N + rows.B) * units * spec.size
    slots = [*(f"saved.{name}" for name in spec.plan.saved_states), "saved"]
    return {slot: i * size for i, slot in enumerate(slots)}


def _slice_of_units(spec: KernelSpec, units: int, slices: int) -> int:
    """The units of a slice, if those of a row are cut into so many, or fewer."""
    lanes = spec.lanes
    return spec.target.step.slice_of(padded_units(spec, units) // lanes, slices) * lanes


def pieces(spec: KernelSpec, rows: Steps, units: int, training: bool) -> int:
    """Parts of a forward pass that threads may share: rows, in a single step tiles of units too."""
    program = forward_pass.program_of(spec.plan, training)
    if rows.T > 1 or not forward_pass.can_cut_units(program, spec.target):
        return rows.B
    padded = padded_units(spec, units)
    return max(rows.B, -(-padded // _slice_of_units(spec, units, max(1, padded))))


def _common(spec: KernelSpec, rows: Steps, sizes: Sizes, threads: int) -> dict[str, int]:
    """The numbers of all passes."""
    tile = spec.target.step.rows
    # Rows of unequal length are handed out in more pieces than there are threads.
    pieces = threads if not rows.ragged else 4 * threads if threads > 1 else 1
    piece = -(-rows.B // min(pieces, -(-rows.B // tile)))
    return {
        "T": rows.T,
        "B": rows.B,
        **{space.name: size for space, size in sizes.items()},
        **{space.padded: size for space, size in padded_sizes(spec, sizes).items()},
        "N": rows.N,
        "t0": rows.T - 1 if rows.reverse else 0,
        "dt": -1 if rows.reverse else 1,
        "slices": -(-rows.B // piece),
        "slice": piece,
        "unit.slices": 1,
        "unit.slice": _WHOLE,
        "unpacked": 0,
        "threads": threads,
        "Ix": -(-sizes.width // spec.lanes) * spec.lanes,
    }


def _few(rows: int, length: int) -> bool:
    """Whether rows are so few that weights are better not packed in a call of one step.

    To pack one takes nine cycles for a vector of units. To multiply it as it lies takes one more
    for a vector of rows, and some hundred for the sums of all its ``length`` weights (Zen 4).
    """
    return rows * (length + 100) <= 16 * 9 * length


def forward(
    spec: KernelSpec, rows: Steps, sizes: Sizes, threads: int, training: bool, lie: bool
) -> dict[str, int]:
    """The numbers of the forward pass that depend on sizes; ``lie``: matrices and the input do as
    PyTorch makes them."""
    plan, size, width, units = spec.plan, spec.size, sizes.width, sizes.units
    program = forward_pass.program_of(plan, training)
    values = _common(spec, rows, sizes, threads)
    padded = values[HIDDEN.padded]
    if rows.T == 1 and forward_pass.can_cut_units(program, spec.target):
        unit_slice = _slice_of_units(spec, units, threads)
        count = max(1, -(-padded // unit_slice))
        values |= {"slices": count, "slice": rows.B}  # each weight is read by one thread
        values |= {"unit.slices": count, "unit.slice": unit_slice}
    if rows.T == 1 and values["slice"] >= rows.B and lie and spec.target.panel.plain:
        values["unpacked"] = int(_few(rows.B, width + units))
    step_bytes = max(1, values["slice"] * len(plan.columns) * padded * size)
    written = len(plan.step.outputs) + (len(plan.saved) + len(plan.saved_states)) * training
    values["ahead"] = int(rows.N * units * written * size >= _WRITTEN_BYTES)
    values["piece"] = max(1, min(rows.T, _PIECE_BYTES // step_bytes))
    return values


def _equal(total: int, most: int) -> int:
    """The size of parts of a total that are as equal as can be, none larger than ``most``."""
    return -(-total // -(-total // most))


def reads_within(spec: KernelSpec, sizes: Sizes, inputs: bool) -> bool:
    """Whether the products of a backward pass, those for the ``inputs``' gradient too, read nothing
    beyond the rows of matrices as they lie."""
    padded = padded_sizes(spec, sizes)
    spaces = [*spec.plan.step.spaces, *[INPUT] * inputs]
    return all(padded[space] == sizes[space] for space in spaces)


def _chunk_steps(rows: Steps, order: Order, row_bytes: int, weight_bytes: int) -> int:
    """The steps of a chunk of the backward pass: whole segments of the order of summation.

    The steps of a chunk run back, then the inputs' and the weights' gradients are summed up, so the
    gradients at the gates are read before they have left the cache. Large weights, whose gradients
    are read and written once a chunk, ask for larger ones. A chunk that is not small has half of
    the steps at most: its gradients are a good part of a short call's memory.
    """
    segment_bytes = max(1, order.segment * order.rows * row_bytes)
    fitting = max(_GATE_BYTES, 2 * weight_bytes) // segment_bytes
    half = -(-rows.T // order.segment) // 2
    segments = max(1, _SMALL_BYTES // segment_bytes, min(fitting, half))
    return min(rows.T, order.segment * segments)


def backward(
    spec: KernelSpec,
    rows: Steps,
    sizes: Sizes,
    threads: int,
    order: Order,
    sums: Sums,
    spans: bool,
    lie: bool,
    apart: bool,
) -> dict[str, int]:
    """The numbers of the backward pass that depend on sizes. The sums of ``spans`` are kept between
    calls; ``lie``: matrices do as panels would; ``apart``: each row has sums of its own."""
    plan, size = spec.plan, spec.size
    states, units = plan.step.states, sizes.units
    values = _common(spec, rows, sizes, threads)
    inner, padded = values[INPUT.padded], values[HIDDEN.padded]
    deepest = max(32, min(256, _DEPTH_BYTES // (max(inner + padded, 1) * size)))
    segment = rows.T if apart else order.segment
    depth = _equal(segment * (1 if apart else order.rows), deepest)
    z_row = odd(padded, spec.lanes)
    row = len(plan.z) * z_row * size
    chunk = _chunk_steps(rows, order, row, sums.size * size)
    if apart and rows.T * row <= 2 * sums.apart * size:  # no chunk adds to what another wrote
        chunk = rows.T
    parts, most = -(-rows.B // order.rows), chunk * order.rows  # of this call
    if not apart:
        most = min(most, rows.N)
    one_by_one = threads == 1 and not spans and not apart
    summed = rows.B if apart else order.parts
    few = rows.N <= _FEW_ROWS and (rows.T == 1 or not spec.target.single)
    packed = not (lie and few) or not spec.target.panel.plain
    return values | {
        "slices": parts,
        "parts": summed,
        "apart": int(apart),
        "pitch": chunk if apart else 1,
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
        "Zp": z_row,
        "ahead": int(rows.N * units * (len(states) + len(plan.saved) + 1) * size >= _FAR_BYTES),
    }
