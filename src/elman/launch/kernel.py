"""A step's compiled passes, for one direction of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..batch import Rows
from ..compiler import backward, forward, sizes
from ..compiler.ir import Module
from ..compiler.jit import Code, load
from ..compiler.schedule import Order, Steps
from ..compiler.sizes import KernelSpec
from ..compiler.weights import Sums, sums_of_weights
from ..spaces import Sizes
from .table import Inner, Pass, Place, Prepared


def _constants(dtype: torch.dtype) -> Tensor:
    values = torch.zeros(257, dtype=dtype, device="cpu")
    values[256] = 1
    return values


#: Zeros, as many as the widest tile has units, then a one. Prepared tables hold their addresses, so
#: they are made once, before any thread asks.
_CONSTANTS = {"float": _constants(torch.float32), "double": _constants(torch.float64)}


class Kernel:
    """The compiled passes of a step, for one dtype, instruction set and shape of tiles.

    They are prepared for the tensors of a layer in the order of ``batch.Given``, those of all its
    directions, ``count`` of them, and one direction; states are those of all layers of a stack.
    Tensors of the same sizes and strides may take their place in a call.
    """

    def __init__(self, spec: KernelSpec) -> None:
        self.spec, plan = spec, spec.plan
        zeros = _CONSTANTS[spec.target.dtype].data_ptr()
        self._constants = {"zeros": zeros, "one": zeros + 256 * spec.size}
        self.columns, self.products = len(plan.columns), len(plan.products)
        self.plan = plan
        infer, train = (forward.slots(*spec, training) for training in (False, True))
        self.infer = Pass(infer, self._loader("infer", "elman_forward"))
        self.train = Pass(train, self._loader("train", "elman_forward"))
        self.back = Pass(backward.slots(*spec), self._loader("backward", "elman_backward"))
        self.passes = {"infer": self.infer, "train": self.train, "backward": self.back}

    def _loader(self, which: str, name: str) -> Callable[[], tuple[Code, str]]:
        plan, target = self.spec

        def emit() -> Module:
            if which == "backward":
                return backward.emit(plan, target)
            return forward.emit(plan, target, which == "train")

        return lambda: load(f"{plan.key} {which} {target}", target.isa, name, emit)

    def saved_size(self, rows: Rows, units: int) -> int:
        """Elements of what the forward pass keeps for the backward pass."""
        return sizes.saved_size(self.spec, steps_of(rows), units)

    def order(self, rows: Rows, units: int) -> Order:
        """The order in which the weights' gradients are summed up."""
        return self.spec.schedule.order(steps_of(rows), units)

    def spans(self, rows: Rows, units: int) -> list[tuple[int, int]]:
        """The spans of ``recompute``, see :meth:`.Schedule.spans`."""
        return self.spec.schedule.spans(steps_of(rows), units)

    def pieces(self, rows: Rows, units: int, training: bool) -> int:
        """Parts of a forward pass that threads may share."""
        return sizes.pieces(self.spec, steps_of(rows), units, training)

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
    ) -> Prepared:
        """The forward pass of one direction: called with the tensors, the results, and in training
        what is kept of each direction, it writes the last two."""
        run, row = self.train if training else self.infer, layer * count + direction
        every = [*tensors, *results, *kept, rows.counts, rows.offsets]
        places = [*self._given(every, direction), *self._states("h0", every, 1, row)]
        places += self._ends("output", "hn", every, len(tensors), direction, count, row)
        places += self._beside(rows, size, every, len(tensors) + len(results), direction)
        lie = self._lie(tensors, direction) and self._lie(tensors[:1])
        values = sizes.forward(self.spec, steps_of(rows), size, threads, training, lie)
        return run.prepare(every, places, values | self._constants, work=self.work(rows.N, size))

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
    ) -> Prepared:
        """The backward pass of one direction: called with the tensors, the gradients of the
        results, the goals, what was before and what was kept, it writes those goals that are not
        None, x's and the weights' contiguous.

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
        run, x = self.back, tensors[0]
        assert x is not None
        states, first = len(tensors), len(tensors) + len(gradients)
        row = layer * count + direction
        places = [*self._given(every, direction)]
        places += self._ends("gout", "ghn", every, states, direction, count, row)
        places += self._goals(every, first, row)
        places += self._before(before, first + len(goals), direction, count, row)
        further = first + len(goals) + len(before)
        places.append(Place("partials.given", further))
        places += self._beside(rows, size, every, further + 1, direction)
        mine = self.first_weight(direction)
        order = order or self.order(rows, size.units)
        spans = partials is not None
        of_parameters = goals[mine : mine + len(self.plan.step.parameters)]
        direct = apart or (order.parts == 1 and not spans)
        sums = self.sums(of_parameters, x, size, direct, apart)
        lie = self._lie(tensors, direction)
        lie = lie and sizes.reads_within(self.spec, size, goals[0] is not None)
        given = self.spec, steps_of(rows), size, threads, order, sums, spans, lie, apart
        values = sizes.backward(*given) | self._constants | {"dx.add": add, "partials.end": last}

        def addresses(places: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
            return [(at, first + mine + n, offset * x.itemsize) for at, n, offset in places]

        inner = {
            "operands": Inner(sums.operands),
            "jobs": Inner(sums.jobs, addresses(sums.places_in_jobs)),
            "goals": Inner(sums.goals, addresses(sums.places_in_goals)),
        }
        return run.prepare(every, places, values, inner, 2 * self.work(rows.N, size))

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
        padded, lanes = sizes.padded_units(self.spec, size.units), self.spec.lanes
        return sums_of_weights(self.plan, asked, x.stride(-1), size, padded, lanes, direct, steps)

    def _lie(self, tensors: Sequence[Tensor | None], direction: int | None = None) -> bool:
        """Whether the last dimension of some tensors lies side by side, as PyTorch makes it; those
        of a direction's weights."""
        if direction is not None:
            first = self.first_weight(direction)
            tensors = tensors[first : first + len(self.plan.step.parameters)]
        return all(t is None or t.dim() < 2 or t.stride(-1) == 1 for t in tensors)

    def first_weight(self, direction: int) -> int:
        """The number of a direction's first parameter."""
        step = self.plan.step
        return 1 + len(step.states) + len(step.inputs) + direction * len(step.parameters)

    def _given(self, every: Sequence[Tensor | None], direction: int) -> Iterator[Place]:
        """The tensors of the layer but the initial states."""
        step = self.plan.step
        yield Place("x", 0)
        for number, name in enumerate(step.inputs, 1 + len(step.states)):
            yield Place(f"input.{name}", number)
        for number, name in enumerate(step.parameters, self.first_weight(direction)):
            yield Place(name, number)

    def _states(
        self, slot: str, every: Sequence[Tensor | None], first: int, row: int
    ) -> Iterator[Place]:
        """A direction's row of tensors ``(layers * count, B, H)``, one for each state."""
        for number, name in enumerate(self.plan.step.states, first):
            tensor, offset = every[number], 0
            if tensor is not None and row:
                offset = row * tensor.stride(0) * tensor.itemsize
            yield Place(f"{slot}.{name}", number, offset)

    def _ends(
        self,
        output: str,
        state: str,
        every: Sequence[Tensor | None],
        first: int,
        direction: int,
        count: int,
        row: int,
    ) -> Iterator[Place]:
        """A direction's part of the units of the outputs, and of the final states after them."""
        names = self.plan.step.outputs
        for number, name in enumerate(names, first):
            tensor, offset = every[number], 0
            if tensor is not None:
                units = tensor.shape[-1] // count
                offset = direction * units * tensor.stride(-1) * tensor.itemsize
            yield Place(f"{output}.{name}", number, offset)
        yield from self._states(state, every, first + len(names), row)

    def _before(
        self, before: Sequence[Tensor], first: int, direction: int, count: int, row: int
    ) -> Iterator[Place]:
        """A direction's part of the outputs, and of the initial values of these states."""
        names = self.plan.read_outputs if before else ()
        for number, name in enumerate(names):
            output, initial = before[number], before[len(names) + number]
            units = output.shape[-1] // count
            yield Place(f"output.{name}", first + number, direction * units * output.itemsize)
            offset = row * initial.stride(0) * initial.itemsize
            yield Place(f"h0.{name}", first + len(names) + number, offset)

    def _beside(
        self, rows: Rows, size: Sizes, every: Sequence[Tensor | None], first: int, direction: int
    ) -> Iterator[Place]:
        """The last tensors of a call: what is kept of each direction, if anything is, then the
        tables of ragged rows."""
        if len(every) > first + 2:
            for slot, offset in sizes.kept(self.spec, steps_of(rows), size.units).items():
                yield Place(slot, first + direction, offset)
        for number, slot in enumerate(("counts", "offsets"), len(every) - 2):
            yield Place(slot, number)

    def _goals(self, every: Sequence[Tensor | None], first: int, row: int) -> Iterator[Place]:
        """The gradients but those of the weights, which are the jobs'."""
        if self.plan.z_x:
            yield Place("dx", first)
        yield from self._states("gh0", every, first + 1, row)
        states = len(self.plan.step.states)
        for number, name in enumerate(self.plan.step.inputs, first + 1 + states):
            yield Place(f"ginput.{name}", number)


def steps_of(rows: Rows) -> Steps:
    """The rows of a call in numbers."""
    return Steps(rows.T, rows.B, rows.N, rows.counts is not None, rows.reverse)
