"""The passes of a stack's layers, forward or backward, as one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

from torch import Tensor

from ..rows import Rows
from ..runtime.threads import may_share, thread_count
from ..spaces import Sizes
from .calls import NativeCall
from .kernel import BACKWARD, INFER, TRAIN, Kernel
from .packed import PackedWeights
from .table import Launch
from .together import Task, link_pass, together

Tensors = Sequence[Tensor | None]
_Run = tuple[Launch, Sequence[int]]  # with the places of its tensors among those of the call


class StackLauncher:
    """Prepares the passes of layers on one another, each in ``count`` directions. There is one
    layer if the step gives out more than one value.

    The tensors of a call are the stack's (``batch.by_layer``), and then what :meth:`forward` and
    :meth:`backward` say. What lies between two layers takes the memory of what lies between two
    others where layers run one after another and nothing is kept. With dropout it is multiplied by
    ``factors``, of which there is one tensor between two layers each (:func:`.link_pass`).

    Layers of a single row run at the same time if there are threads, some steps behind one another
    (``launch.together``): one row is nothing that threads may share.
    """

    def __init__(self, kernel: Kernel, rows: Rows, sizes: Sequence[Sizes], count: int) -> None:
        plan, step, units = kernel.plan, kernel.plan.step, sizes[0].units
        self._kernel, self._sizes, self._count = kernel, sizes, count
        self._states = len(step.states)
        self._results = step.results
        self._kept_outputs = len(kernel.plan.kept_outputs)
        self._own = len(step.inputs) + count * len(step.parameters)  # tensors of a layer
        self._many = count * len(sizes)
        self._pipelined = rows.B == 1 and rows.T > 1 and self._many > 1
        self._work = [kernel.work(rows.N, size) for size in sizes]
        self._parts = {
            INFER: kernel.pieces(rows, units, plan.infer),
            TRAIN: kernel.pieces(rows, units, plan.train),
            BACKWARD: kernel.pieces(rows, units, plan.backward),
        }
        most = sum(self._work) if self._pipelined else max(self._work)
        parts = dict.fromkeys(self._parts, self._many) if self._pipelined else self._parts
        self._least = kernel.spec.schedule.flop_per_thread
        shared = {
            mode: (2 * most if mode == BACKWARD else most, parts[mode], self._least)
            for mode in self._parts
        }
        #: For each mode, the work and the parts that threads may share, and the least for each;
        #: without those modes in which a call always has one thread.
        self._shared = {mode: given for mode, given in shared.items() if may_share(*given)}

    def threads(self, mode: str) -> int:
        """How many threads a call gets here and now: what its passes depend on besides sizes."""
        shared = self._shared.get(mode)
        return 1 if shared is None else thread_count(*shared)

    def alone(self, mode: str) -> bool:
        """Whether a call always gets one thread."""
        return mode not in self._shared

    def between(self, mode: str, threads: int) -> int:
        """How many outputs, or gradients of them, lie between layers."""
        at_once = mode == TRAIN or (self._pipelined and threads > 1)
        return len(self._sizes) - 1 if at_once else min(2, len(self._sizes) - 1)

    def forward(
        self,
        rows: Rows,
        tensors: Tensors,
        factors: Sequence[Tensor],
        made: Sequence[Tensor],
        mode: str,
        threads: int,
        packed: PackedWeights | None = None,
    ) -> NativeCall:
        """The forward passes. They write what was ``made``: the results, the outputs between
        layers, and in training these times the ``factors``, if there are any, and what is kept of
        each direction of each layer. Calls bring no weights if these are ``packed``."""
        groups = [tensors, factors, made, [rows.counts, rows.offsets]]
        every, (_, factor, first, tables, end) = _behind_one_another(groups)
        top, between, ways = len(self._sizes) - 1, self.between(mode, threads), self._ways(rows)
        others = range(first + 1, first + self._results)  # of the results
        outputs = inputs = others.stop  # of the layers below others, and what these are given
        if factors and mode == TRAIN:
            inputs += between
        kept = range(inputs + between, tables)
        layers, x = list[list[_Run]](), 0
        for layer, size in enumerate(self._sizes):
            output = first if layer == top else outputs + layer % between
            mine = kept[layer * self._count :][: self._count]
            parts = [[x, *self._tensors(layer)], [output, *others], mine]
            given, results, saved = ([every[i] for i in part] for part in parts)
            own = self._threads_of(layer, mode, threads)
            places = [*chain(*parts), *range(tables, end)]
            runs = [
                self._kernel.forward(
                    *(way, size, given, results, saved, mode == TRAIN, own),
                    *(d, self._count, layer, packed is not None),
                )
                for d, way in ways
            ]
            each: list[_Run] = [(run, places) for run in runs]
            if packed is not None:
                every_own = *given, *results, *saved, rows.counts, rows.offsets
                each = [
                    self._reading(packed, run, d, every_own, places) for d, run in enumerate(runs)
                ]
            layers.append(each)
            if layer < top:
                x = inputs + layer % between
                if factors:
                    layers.append([self._link(rows, factors[layer], x, output, factor + layer)])
        return self._calls(layers, mode, threads)

    def backward(
        self,
        rows: Rows,
        tensors: Tensors,
        arrived: Tensors,
        made: Tensors,
        before: Sequence[Tensor],
        kept: Sequence[Tensor],
        threads: int,
        mask_count: int,
        apart: bool = False,
    ) -> NativeCall:
        """The backward passes of those layers whose tensors, or those of a layer below, have a
        goal. They get the gradients of the results that have ``arrived``, and write what was
        ``made``: the gradients of the tensors, None for those that nobody needs, and those between
        layers. ``before`` is that of :meth:`Kernel.backward`, for the last layer; ``kept`` are the
        ``mask_count`` factors, the outputs between layers, if there are factors these times them,
        ``plan.kept_outputs``, and what was kept of each direction. ``apart`` is that of
        :meth:`Kernel.backward`."""
        groups = [tensors, arrived, made, before, [None], kept, [rows.counts, rows.offsets]]
        every, starts = _behind_one_another(groups)
        _, first, goals, last, none, factors, tables, end = starts
        top, ways, between = len(self._sizes) - 1, self._ways(rows), self.between(BACKWARD, threads)
        outputs, inputs = factors + mask_count, factors + 2 * mask_count
        ends = range(inputs + top + self._kept_outputs, tables)
        layers, gradient = list[list[_Run]](), first
        for layer, size in reversed([*enumerate(self._sizes)]):
            mine = self._tensors(layer)
            below = any(goal is not None for goal in made[: mine[-1] + 1 - self._own])
            if not below and all(made[i] is None for i in mine):
                break
            x, dx = (inputs + layer - 1, none) if layer else (0, goals)
            if layer and below:
                dx = goals + len(tensors) + (layer - 1) % between
            output = last if layer == top else outputs + layer
            parts = [
                [x, *mine],
                [gradient, *range(first + 1, goals)],
                [dx, *(goals + i for i in mine)],
                [output, *range(last + 1, none)] if before else [],
                ends[layer * self._count :][: self._count],
            ]
            given, above, wanted, output_before, saved = ([every[i] for i in p] for p in parts)
            own = self._threads_of(layer, BACKWARD, threads)
            places = [*chain(*parts[:-1]), none, *parts[-1], *range(tables, end)]
            runs = [
                self._kernel.backward(
                    *(way, size, given, above, wanted, output_before, saved, own),
                    *(d, self._count, layer),
                    add=d > 0,
                    apart=apart,
                )
                for d, way in ways
            ]
            layers.append([(run, places) for run in runs])
            gradient = dx
            if mask_count and layer and below:
                by = factors + layer - 1
                layers.append([self._link(rows, every[by], dx, dx, by, backwards=True)])
        return self._calls(layers, BACKWARD, threads)

    def _reading(
        self,
        packed: PackedWeights,
        run: Launch,
        direction: int,
        tensors: Tensors,
        places: Sequence[int],
    ) -> _Run:
        """A layer's pass, made for these tensors, that reads packed weights."""
        first = self._kernel.first_weight(0)
        weights = range(first, first + self._count * len(self._kernel.plan.step.parameters))
        free = [n for n in run.numbers if n not in weights]
        run = packed.read_by(run, self._kernel, tensors, direction)
        return run.hold(tensors, free, own_memory=False), [places[n] for n in free]

    def _link(
        self,
        rows: Rows,
        factors: Tensor,
        *places: int,
        backwards: bool = False,
    ) -> _Run:
        """One tensor becomes another times the ``factors``; ``places`` are those of all three."""
        target = self._kernel.spec.target
        kind = target.kind_of("output")
        form = math.prod(rows.lead), factors.shape[-1], backwards
        return link_pass(kind, target.isa, *form, target.schedule), places

    def _ways(self, rows: Rows) -> list[tuple[int, Rows]]:
        return [*enumerate(rows.ways(self._count))]

    def _tensors(self, layer: int) -> list[int]:
        """The places of a layer's tensors but its input: all states, its further inputs, its
        weights."""
        own = 1 + self._states + layer * self._own
        return [*range(1, 1 + self._states), *range(own, own + self._own)]

    def _threads_of(self, layer: int, mode: str, threads: int) -> int:
        """How many threads each pass of a layer gets."""
        work = self._work[layer] * (2 if mode == BACKWARD else 1)
        if self._pipelined:
            return 1
        return min(threads, thread_count(work, self._parts[mode], self._least))

    def _calls(self, layers: Sequence[Sequence[_Run]], mode: str, threads: int) -> NativeCall:
        """All passes as one call: of each layer those of both directions, and what links it to the
        next. They take what those before them in this list write."""
        if not self._pipelined or threads == 1:
            return NativeCall([*chain(*layers)])
        tasks = list[Task]()
        same: int | None = None
        other: int | None = None
        for mine in layers:
            own = len(tasks)
            tasks.append(Task(*mine[0], same, other))
            if len(mine) > 1:
                tasks.append(Task(*mine[1], other, same, own if mode == BACKWARD else None))
            same, other = own, own + 1 if len(mine) > 1 else None
        work = sum(self._work) * (2 if mode == BACKWARD else 1)
        run, _ = together(tasks, threads, work, self._kernel.spec.schedule)
        return NativeCall([(run, range(1 + max(run.numbers)))])


def _behind_one_another(groups: Sequence[Tensors]) -> tuple[list[Any], list[int]]:
    """All tensors of a call, and where each group begins among them; also where they end."""
    return [*chain(*groups)], [*accumulate(map(len, groups), initial=0)]
