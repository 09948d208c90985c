"""A step's compiled passes, for one direction of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from ..compiler import backward, forward, sizes
from ..compiler.buffers import AXES
from ..compiler.frame import PLACES
from ..compiler.graph import Program
from ..compiler.ir import Module
from ..compiler.jit import Source
from ..compiler.masked import SLOT
from ..compiler.schedule import Order
from ..compiler.sizes import KernelSpec
from ..compiler.target import Target
from ..compiler.weights import Sums, sums_of_weights
from ..rows import Rows
from ..runtime.threads import yield_address
from ..spaces import Sizes
from .table import EntryPoint, Inner, Launch, Place


def _constants(dtype: torch.dtype) -> Tensor:
    values = torch.zeros(257, dtype=dtype, device="cpu")
    values[256] = 1
    return values


#: Zeros, as many as the widest tile has units, then a one. Prepared tables hold their addresses, so
#: they are made once, before any thread asks.
_CONSTANTS = {"float": _constants(torch.float32), "double": _constants(torch.float64)}


INFER, TRAIN, BACKWARD = "infer", "train", "backward"


class Kernel:
    """The compiled passes of a step, for one dtype, instruction set and shape of tiles.

    They are prepared for the tensors of a layer in the order of ``LayerArgs``, those of all its
    directions, ``count`` of them, and one direction; states are those of all layers of a stack.
    Tensors of the same sizes and strides may take their place in a call.
    """

    def __init__(self, spec: KernelSpec) -> None:
        self.spec, plan = spec, spec.plan
        zeros = _CONSTANTS[spec.target.dtype].data_ptr()
        self._constants = {"zeros": zeros, "one": zeros + 256 * spec.size}
        self.columns, self.products = len(plan.columns), len(plan.products)
        self.plan = plan
        self.back = EntryPoint(backward.slots(*spec), self._source(BACKWARD, spec.target))
        #: By what they do, and whether they multiply matrices as they lie.
        self._forward: dict[tuple[str, bool], EntryPoint] = {}
        for mode, soon in ((INFER, []), (TRAIN, [self.back])):
            for lies in (False, True):
                source = self._source(mode, replace(spec.target, packs=not lies))
                run = EntryPoint(forward.slots(*spec, mode == TRAIN), source, soon)
                self._forward[mode, lies] = run
        self.passes = {
            mode + " of one step" * lies: run for (mode, lies), run in self._forward.items()
        }
        self.passes[BACKWARD] = self.back

    def _source(self, mode: str, target: Target) -> Callable[[], Source]:
        plan = self.plan

        def emit() -> Module:
            if mode == BACKWARD:
                return backward.emit(plan, target)
            return forward.emit(plan, target, mode == TRAIN)

        name = "elman_backward" if mode == BACKWARD else "elman_forward"
        return lambda: Source(f"{plan.key} {mode} {target}", target.isa, name, emit)

    def saved_size(self, rows: Rows, units: int) -> int:
        """Elements of what the forward pass keeps for the backward pass, in rows of so many
        units."""
        return sizes.saved_size(self.spec, rows, units)

    def order(self, rows: Rows, units: int) -> Order:
        """The order in which the weights' gradients are summed up."""
        return self.spec.schedule.order(rows, units)

    def spans(self, rows: Rows, units: int) -> list[tuple[int, int]]:
        """The spans of ``recompute``, see :meth:`.Schedule.spans`."""
        return self.spec.schedule.spans(rows, units)

    def pieces(self, rows: Rows, units: int, program: Program) -> int:
        """Parts of the pass of a program that threads may share."""
        return sizes.pieces(self.spec, rows, units, program)

    def work(self, rows: int, size: Sizes) -> float:
        """Floating-point operations of a forward pass over so many rows; the backward pass does
        twice as many."""
        row = size.units * (self.columns * size.width + self.products * size.units)
        return 2.0 * rows * row

    def forward(
        self,
        rows: Rows,
        size: Sizes,
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        kept: Sequence[Tensor],
        training: bool,
        threads: int,
        direction: int = 0,
        count: int = 1,
        layer: int = 0,
        packed: bool = False,
    ) -> Launch:
        """The forward pass of one direction: called with the tensors, the results (the first
        output, the final states, further outputs), and in training what is kept of each direction,
        it writes the last two. If its weights will be ``packed``, it multiplies none as it lies."""
        contiguous = self._contiguous(tensors, direction) and self._contiguous(tensors[:1])
        values = sizes.forward(self.spec, rows, size, threads, training, contiguous)
        if packed:
            values["unpacked"] = 0
        run = self._forward[TRAIN if training else INFER, bool(values["unpacked"])]
        every = [*tensors, *results, *kept, rows.counts, rows.offsets]
        names = [*self._given("h0", direction, count), *self._results("output", "hn")]
        names += [*[""] * len(kept), "counts", "offsets"]
        places = _places(run, names, every, direction, count, layer)
        places += self._kept(rows, size, kept, len(tensors) + len(results) + direction)
        places += _padded(rows, len(every) - 1)
        values["yield"] = yield_address()
        program = self.plan.train if training else self.plan.infer
        inner, work = self._masks(program, size), self.work(rows.N, size)
        return run.prepare(places, values | self._constants, inner, work)

    def backward(
        self,
        rows: Rows,
        size: Sizes,
        tensors: Sequence[Tensor | None],
        gradients: Sequence[Tensor | None],
        goals: Sequence[Tensor | None],
        before: Sequence[Tensor],
        kept: Sequence[Tensor],
        threads: int,
        direction: int = 0,
        count: int = 1,
        layer: int = 0,
        *,
        add: bool = False,
        order: Order | None = None,
        partials: Tensor | None = None,
        last: bool = True,
        apart: bool = False,
    ) -> Launch:
        """The backward pass of one direction.

        It is called with the tensors, the gradients of the results, the goals, what was before and
        what was kept. It writes the goals that are not None. Those of x and of the weights are
        contiguous.

        Args:
            before: ``plan.read_outputs``, then the initial values of these states; the units of
                each side by side.
            add: x's and the inputs' are added to what is there, for the second direction.
            order: the call is a span of a longer one, whose weights' gradients have this order.
            partials: where their sums are kept between spans, zeros at first: for each part of the
                rows as many numbers as :meth:`sums` says. A call is given it before what was kept.
            last: no span follows, and the weights' gradients are written.
            apart: the weights' gradients are those of each row, which is their first dimension.
        """
        every = [*tensors, *gradients, *goals, *before, partials, *kept, rows.counts, rows.offsets]
        run, step, x = self.back, self.plan.step, tensors[0]
        assert x is not None
        first = len(tensors) + len(gradients)  # of the goals; those of the weights are the jobs'
        names = self._given("", direction, count)
        names += self._results("gout", "ghn")
        names += ["dx" if self.plan.has_dx else "", *_slots("gh0", step.states)]
        names += [*_slots("ginput", step.inputs), *[""] * (count * len(step.parameters))]
        read = self.plan.read_outputs if before else ()
        names += [*_slots("output", read), *_slots("h0", read), "partials.given"]
        names += [*[""] * len(kept), "counts", "offsets"]
        places = _places(run, names, every, direction, count, layer)
        places += self._kept(rows, size, kept, len(every) - 2 - len(kept) + direction)
        places += _padded(rows, len(every) - 1)
        mine = self.first_weight(direction)
        order = order or self.order(rows, size.units)
        spans = partials is not None
        of_parameters = goals[mine : mine + len(step.parameters)]
        direct = apart or (order.parts == 1 and not spans)
        sums = self.sums(of_parameters, x, size, direct, apart)
        readable = self._contiguous(tensors, direction)
        readable = readable and sizes.reads_within(self.spec, size, goals[0] is not None)
        given = self.spec, rows, size, threads, order, sums, spans, readable, apart
        values = sizes.backward(*given) | self._constants | {"dx.add": add, "partials.end": last}
        values["yield"] = yield_address()

        def addresses(places: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
            return [(at, first + mine + n, offset * x.itemsize) for at, n, offset in places]

        inner = {
            "operands": Inner(sums.operands),
            "jobs": Inner(sums.jobs, addresses(sums.places_in_jobs)),
            "goals": Inner(sums.goals, addresses(sums.places_in_goals)),
            **self._masks(self.plan.backward, size),
        }
        return run.prepare(places, values, inner, 2 * self.work(rows.N, size))

    def _masks(self, program: Program, size: Sizes) -> dict[str, Inner]:
        """What a pass is told of its masks, if there are any."""
        if not self.plan.step.masks:
            return {}
        return {SLOT: Inner(sizes.mask_table(self.spec, program, size))}

    def sums(
        self,
        goals: Sequence[Tensor | None],
        x: Tensor,
        size: Sizes,
        direct: bool = False,
        apart: bool = False,
    ) -> Sums:
        """What a part of the batch, or each row if they are ``apart``, sums up for these of a
        direction's parameters: the gradients themselves, if ``direct``."""
        asked = [goal is not None for goal in goals]
        steps = [goal.stride(0) if apart and goal is not None else 0 for goal in goals]
        units = self.plan.step.row_units(size)
        padded, lanes = sizes.padded_units(self.spec, units), self.spec.lanes
        return sums_of_weights(self.plan, asked, x.stride(-1), size, padded, lanes, direct, steps)

    def _contiguous(self, tensors: Sequence[Tensor | None], direction: int | None = None) -> bool:
        """Whether the last dimension of all tensors, or of a direction's weights, is contiguous."""
        if direction is not None:
            first = self.first_weight(direction)
            tensors = tensors[first : first + len(self.plan.step.parameters)]
        return all(t is None or t.dim() < 2 or t.stride(-1) == 1 for t in tensors)

    def first_weight(self, direction: int) -> int:
        """The number of a direction's first parameter."""
        step = self.plan.step
        return step.first_weight + direction * len(step.parameters)

    def _given(self, initial: str, direction: int, count: int) -> list[str]:
        """The slots of a layer's tensors, those of the initial states by this name, if they have
        any; other directions' weights have none."""
        step, none = self.plan.step, [""] * len(self.plan.step.parameters)
        states = _slots(initial, step.states) if initial else [""] * len(step.states)
        weights = [step.parameters if d == direction else none for d in range(count)]
        return ["x", *states, *_slots("input", step.inputs), *chain(*weights)]

    def _results(self, output: str, final: str) -> list[str]:
        """The slots of a layer's results, or of their gradients, outputs and final states by these
        names."""
        first, *further = _slots(output, self.plan.step.outputs)
        return [first, *_slots(final, self.plan.step.states), *further]

    def _kept(
        self, rows: Rows, size: Sizes, kept: Sequence[Tensor], number: int
    ) -> Iterator[Place]:
        """What a direction's tensor of those that are ``kept`` consists of, if there are any."""
        if kept:
            units = self.plan.step.row_units(size)
            for slot, offset in sizes.saved_offsets(self.spec, rows, units).items():
                yield Place(slot, number, offset)


def _slots(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}.{name}" for name in names]


def _padded(rows: Rows, offsets: int) -> Iterator[Place]:
    """The tables behind the offsets, a tensor of that number, of rows in padded tensors."""
    if rows.padded is not None:
        for i, slot in enumerate(PLACES):
            yield Place(slot, offsets, 8 * (rows.T + i * rows.B))


def _places(
    run: EntryPoint,
    names: Sequence[str],
    tensors: Sequence[Tensor | None],
    direction: int,
    count: int,
    layer: int,
) -> list[Place]:
    """Where those tensors go that are there and have the name of a slot."""
    places = list[Place]()
    for number, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
        if name and tensor is not None:
            declared, offset = run.slots.arguments[name], 0
            if declared.of == "row":
                offset = (layer * count + direction) * tensor.stride(0)
            elif declared.of == "units":
                offset = direction * (tensor.shape[-1] // count) * tensor.stride(-1)
            strides = [tensor.stride(AXES[letter]) for letter in declared.strides]
            places.append(Place(name, number, offset * tensor.itemsize, strides))
    return places
