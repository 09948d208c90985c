"""Less memory for long sequences: only the states between spans of time are kept.

The forward pass runs span after span; the backward pass runs each once more, now keeping what it
needs, and then back. The bits are those of a call that keeps everything: states are handed over as
they are, and a span is whole segments of those over which the weights' gradients are summed up
(``Schedule.spans``). The idea is T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training Deep Nets with
Sublinear Memory Cost" (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..batch import by_layer, inputs_of, part_of
from ..launch.calls import NativeCall
from ..launch.kernel import Kernel
from ..launch.stack import Tensors
from ..launch.table import Launch
from ..rows import Rows
from ..runtime.bounded import BoundedCache
from ..runtime.large import fresh
from ..runtime.tensors import TensorSpec, TensorSpecs, spec_of
from ..runtime.threads import thread_count
from ..spaces import Sizes
from .executable import Executable, Kind, Saved

_READY = 64  # native calls over spans of one layer, each with tables of some kilobytes
_Maybe = TypeVar("_Maybe", Tensor, Tensor | None)


class Recomputing(Executable):
    """An executable whose backward pass runs each span of time once more."""

    def __init__(self, kind: Kind, rows: Rows, tensors: Tensors) -> None:
        super().__init__(kind, rows, tensors)
        self.reads_output = False  # each span computes its own
        self._states = len(self.step.states)
        self._spans = [Spans(self.kernel, size) for size in self.sizes]

    def run(
        self, rows: Rows, tensors: Tensors, keep: bool, masks: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Of each direction the states before every span are kept."""
        if not keep:
            return super().run(rows, tensors, keep, masks)
        output, *results = TensorSpecs(self.results).new()
        finals, further = results[: self._states], results[self._states :]
        outputs: list[Tensor] = [*TensorSpecs([self.output] * (self.layers - 1)).new(), output]
        x, dropped, kept = tensors[0], list[Tensor](), list[Tensor]()
        every = by_layer(self.step, tensors, self.layers), self._by_layer(finals)
        each = zip(self._spans, *every, outputs, strict=True)
        for layer, (spans, mine, final, to) in enumerate(each):
            for d, way in enumerate(rows.ways(self.directions)):
                kept += spans.forward(way, [x, *mine[1:]], [fresh(to), *final, *further], d)
            x = to
            if layer < len(masks):
                x = to * masks[layer]
                dropped.append(x)
        return [output, *results], [*masks, *outputs[:-1], *dropped, *kept]

    def _kept_specs(self, rows: Rows) -> list[TensorSpec]:
        count = len(self.kernel.spans(rows, self.sizes[0].units))
        finals = self.results[1 : 1 + self._states]
        states = [spec_of((count, *s.shape[1:]), s.dtype) for s in finals]
        return [self.output] * (self.layers - 1) + states * (self.layers * self.directions)

    def _between(self, _: int) -> int:
        return self.layers - 1

    def _backward_calls(self, *_: Any) -> NativeCall | None:
        return None

    def _run_backward(self, _: NativeCall | None, given: Saved, made: Tensors) -> None:
        rows, tensors, __, kept, arrived, mask_count = given
        masks = kept[:mask_count]
        kept = kept[2 * mask_count :]  # without the outputs times the masks
        states, top = self._states, self.layers - 1
        gradient, finals, further = arrived[0], arrived[1 : 1 + states], arrived[1 + states :]
        parts = by_layer(self.step, tensors, self.layers), self._by_layer(finals)
        goals = by_layer(self.step, made[: len(tensors)], self.layers)
        for layer, mine, final, wanted in reversed(
            [*zip(range(self.layers), *parts, goals, strict=True)]
        ):
            if layer:
                x, dx = kept[layer - 1], made[len(tensors) + layer - 1]
            else:
                x, dx = tensors[0], made[0]
            begin = top + layer * self.directions * states
            for d, way in enumerate(rows.ways(self.directions)):
                began = kept[begin + d * states : begin + (d + 1) * states]
                above = [gradient, *final, *further]
                self._spans[layer].backward(way, [x, *mine[1:]], began, above, [dx, *wanted[1:]], d)
            gradient = dx.mul_(masks[layer - 1]) if masks and layer else dx

    def _by_layer(self, states: Sequence[Any]) -> list[list[Any]]:
        """Those of each layer."""
        return [[part_of(s, i, self.directions) for s in states] for i in range(self.layers)]


class Spans:
    """A layer's passes over spans of time, prepared once for spans that are alike."""

    def __init__(self, kernel: Kernel, size: Sizes) -> None:
        self.kernel, self.size = kernel, size
        step = kernel.plan.step
        self._states = len(step.states)
        #: Units of each output.
        self._units = [size[step.space(name)] for name in step.outputs]
        self._ready: BoundedCache[Any, NativeCall] = BoundedCache(_READY)

    def forward(
        self, rows: Rows, tensors: Tensors, results: Sequence[Tensor], direction: int
    ) -> list[Tensor]:
        """Writes a direction's part of the ``results``; returns for each state its values before
        each span, ``(spans, B, H)``. The tensors are those of :meth:`Kernel.forward`."""
        one = _one(self.kernel, tensors, direction)
        now, outputs = _way(results, self._states, self._units, direction)
        for given, state in zip(one[1 : 1 + self._states], now, strict=True):
            state.zero_() if given is None else state.copy_(given)
        before: list[list[Tensor]] = []
        for a, b in self.kernel.spans(rows, self.size.units):
            some = rows.part(a, b)
            before.append([state.clone() for state in now])
            # Read at a row's start, written at its end.
            begin = [state[:, : some.B] for state in now]
            mine = _part(self.kernel, one, begin, rows, a, b)
            first, *further = (_steps(output, rows, a, b) for output in outputs)
            self._run_forward(some, mine, [first, *begin, *further])
        return [torch.cat(values) for values in zip(*before, strict=True)]

    def backward(
        self,
        rows: Rows,
        tensors: Tensors,
        before: Sequence[Tensor],
        arrived: Tensors,
        goals: Tensors,
        direction: int,
    ) -> None:
        """Writes a direction's part of those ``goals`` that are not None, see
        :meth:`Kernel.backward`; ``arrived`` are the gradients of the results."""
        kernel, size, step = self.kernel, self.size, self.kernel.plan.step
        one, wanted = _one(kernel, tensors, direction), _one(kernel, goals, direction)
        gfinal, gouts = _way(arrived, self._states, self._units, direction)
        now = [torch.zeros_like(b[:1]) for b in before]
        for state, given in zip(now, gfinal, strict=True):
            if given is not None:
                state.copy_(given)
        spans, order = kernel.spans(rows, size.units), kernel.order(rows, size.units)
        x = one[0]
        assert x is not None
        of_part = kernel.sums(wanted[step.first_weight :], x, size).size
        partials = x.new_zeros(order.parts * of_part)
        for index, (a, b) in reversed(list(enumerate(spans))):
            some = rows.part(a, b)
            begin = [s[index : index + 1, : some.B] for s in before]
            mine = _part(kernel, one, begin, rows, a, b)
            after = [state[:, : some.B] for state in now]
            saved = [x.new_empty(kernel.saved_size(some, step.row_units(size)))]
            first, *further = (x.new_empty((*some.lead, units)) for units in self._units)
            results = [first, *(torch.empty_like(s) for s in begin), *further]
            self._run_forward(some, mine, results, saved)
            gout, *gfurther = (_steps(gout, rows, a, b) for gout in gouts)
            above = [gout, *after, *gfurther]
            below = _part(kernel, wanted, after, rows, a, b)
            output = [results[step.place(name)] for name in kernel.plan.read_outputs]
            output += [begin[step.states.index(name)] for name in kernel.plan.read_outputs]
            every = [*mine, *above, *below, *output, partials, *saved]
            add, last = direction > 0, index == 0
            fixed = some, size, mine, above, below, output, saved
            options = {"order": order, "partials": partials, "add": add, "last": last}
            self._run(some, every, (order, add, last), kernel.backward, fixed, options)
        for state, goal in zip(now, wanted[1 : 1 + self._states], strict=True):
            if goal is not None:
                goal.copy_(state)

    def _run_forward(
        self,
        rows: Rows,
        tensors: Tensors,
        results: Sequence[Tensor],
        saved: Sequence[Tensor] = (),
    ) -> None:
        key = (bool(saved),)
        given = rows, self.size, tensors, results, saved, *key
        self._run(rows, [*tensors, *results, *saved], key, self.kernel.forward, given, {})

    def _run(
        self,
        rows: Rows,
        tensors: Tensors,
        key: tuple[Any, ...],
        prepare: Callable[..., Launch],
        given: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        """Runs a pass over a span; it is a backward pass if there are ``options``."""
        every = [*tensors, rows.counts, rows.offsets]
        work = (2 if options else 1) * self.kernel.work(rows.N, self.size)
        threads = thread_count(work, rows.B, self.kernel.spec.schedule.flop_per_thread)
        strides = [None if t is None else t.stride() for t in every]
        key = (*key, rows[:3], rows.reverse, threads, *strides)
        calls = self._ready.get(key)
        if calls is None:
            ready = prepare(*given, threads=threads, **options)
            calls = self._ready.keep(key, NativeCall([(ready, range(len(every)))]))
        calls.run(every)


def _one(kernel: Kernel, tensors: Tensors, direction: int) -> list[Tensor | None]:
    """Those of one direction."""
    step = kernel.plan.step
    states, first = step.first_input, kernel.first_weight(direction)
    initial = [None if t is None else t[direction : direction + 1] for t in tensors[1:states]]
    count = (len(tensors) - step.first_weight) // len(step.parameters)
    inputs = inputs_of(step, tensors[states : step.first_weight], direction, count)
    return [tensors[0], *initial, *inputs, *tensors[first : first + len(step.parameters)]]


def _way(
    results: Tensors, states: int, units: Sequence[int], direction: int
) -> tuple[list[Any], list[Any]]:
    """A direction's part of so many final states, and of the outputs, of so many ``units``."""
    first, *others = results
    finals = [None if t is None else t[direction : direction + 1] for t in others[:states]]
    outputs = [
        None if t is None else t.narrow(-1, direction * n, n)
        for t, n in zip([first, *others[states:]], units, strict=True)
    ]
    return finals, outputs


def _part(
    kernel: Kernel, one: Tensors, states: Sequence[Tensor], rows: Rows, first: int, stop: int
) -> list[Tensor | None]:
    """Some steps of a direction's tensors, with these for the initial states."""
    step = kernel.plan.step
    inputs = [_steps(t, rows, first, stop) for t in one[step.first_input : step.first_weight]]
    return [_steps(one[0], rows, first, stop), *states, *inputs, *one[step.first_weight :]]


def _steps(tensor: _Maybe, rows: Rows, first: int, stop: int) -> _Maybe:
    """Some steps of a tensor ``(T, B, ...)``, or ``(N, ...)`` for ragged rows."""
    if tensor is None:
        return tensor
    if rows.counts is None:
        return tensor[first:stop]
    return tensor[rows.first_row(first) : rows.first_row(stop)]
