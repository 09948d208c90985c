"""Layers on one another, with nothing between them, as one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .batch import Rows
from .compiler.calls import Calls
from .compiler.table import Known
from .compiler.together import Task, together
from .execution import Bound
from .runtime import threads as team

Tensors = Sequence[Tensor | None]


class Stacked:
    """The passes of several layers, each of which takes the output of the one below; in other
    respects a :class:`Bound`.

    The tensors of a call are those of the first layer, then those of each further one but its
    input. The results are the last output, then the final states of each layer.

    A single row is nothing that threads may share. There the layers, and the two directions of
    each, run at the same time, some steps behind one another (``compiler.together``).
    """

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self.bounds, self.step = bounds, bounds[0].step
        self.reads_output = bounds[-1].reads_output
        self._work = sum(bound.count * bound.work for bound in bounds)
        self._passes = sum(bound.count for bound in bounds)
        self._single, self._spans = bounds[0].single, any(bound.spans for bound in bounds)
        self._known = Known()
        parts = itertools.accumulate((bound.tensors - 1 for bound in bounds), initial=1)
        kept = itertools.accumulate((bound.keeps for bound in bounds), initial=len(bounds) - 1)
        #: Each with the place of its tensors but the input, and that of what it keeps.
        self._layers = [
            (bound, slice(*part), slice(*mine))
            for bound, part, mine in zip(
                bounds, itertools.pairwise(parts), itertools.pairwise(kept), strict=True
            )
        ]

    def by_layer(self, tensors: Tensors) -> list[Tensors]:
        """The tensors of each layer; None for the input of all but the first."""
        inputs = [tensors[0], *[None] * (len(self._layers) - 1)]
        return [[x, *tensors[p]] for x, (_, p, _) in zip(inputs, self._layers, strict=True)]

    def run(
        self, rows: Rows, tensors: Tensors, keep: bool
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The results, and what is kept for the backward pass beside the last output: those below
        it, then what each layer keeps."""
        x: Any = tensors[0]
        outputs, finals, kept = list[Tensor](), list[Tensor](), list[Tensor]()
        passes = self._gather(rows, backward=False)
        for bound, part, _ in self._layers:
            mine = [x, *tensors[part]]
            if passes is None:
                (x, *final), more = bound.run(rows, mine, keep)
            else:
                (x, *final), more, calls, every = bound.forward_passes(rows, mine, keep)
                passes.add(calls, every)
            outputs.append(x)
            finals += final
            kept += more
        if passes is not None:
            passes.run()
        return [x, *finals], [*outputs[:-1], *kept]

    def gradients(
        self,
        rows: Rows,
        tensors: Tensors,
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Tensors,
        needed: tuple[bool, ...],
    ) -> list[Tensor | None] | None:
        """See :meth:`Bound.gradients`."""
        below, states = [tensors[0], *kept], len(self.step.states)
        gradient, *final = arrived
        found = list[Tensor | None]()
        passes = self._gather(rows, backward=True)
        for i, (bound, part, mine) in reversed([*enumerate(self._layers)]):
            given = (
                *(rows, [below[i], *tensors[part]], output, kept[mine]),
                [gradient, *final[i * states : (i + 1) * states]],
                (any(needed[: part.start]), *needed[part]),
            )
            if passes is None:
                made = bound.gradients(*given)
            elif found_passes := bound.backward_passes(*given):
                made, calls, every, _ = found_passes
                passes.add(calls, every)
            else:
                made = None
            if made is None:
                return None
            gradient, *more = made
            found, output = [*more, *found], below[i]
        if passes is not None:
            passes.run()
        return [gradient, *found]

    def _gather(self, rows: Rows, backward: bool) -> _Passes | None:
        """What gathers the passes; None if spans of them run one after another."""
        if self._spans:
            return None
        threads, work = 1, self._work * (2 if backward else 1)
        if self._single and rows.T > 1:
            threads = team.thread_count(work, self._passes)
        return _Passes(self._known, threads, work, backward)


class _Passes:
    """Passes of layers on one another, or of their gradients, that one call runs."""

    def __init__(self, known: Known, threads: int, work: float, backward: bool) -> None:
        self._known, self._threads, self._work, self._backward = known, threads, work, backward
        self._layers: list[Calls] = []
        self._tensors: list[list[Tensor | None]] = []

    def add(self, calls: Calls | None, tensors: list[Tensor | None]) -> None:
        """The passes of the next layer, one for each direction, and what they are called with."""
        assert calls is not None
        self._layers.append(calls)
        self._tensors.append(tensors)

    def run(self) -> None:
        key = self._threads, *self._layers
        calls = self._known.find(key) or self._known.keep(key, self._joined())
        calls.run(list(itertools.chain.from_iterable(self._tensors)))

    def _joined(self) -> Calls:
        layers = [calls.runs for calls in self._layers]
        starts = itertools.accumulate(map(len, self._tensors), initial=0)
        every = [(run, start) for runs, start in zip(layers, starts, strict=False) for run in runs]
        runs, places = zip(*every, strict=True)
        if self._threads == 1:
            return Calls(runs, places)
        tasks: list[Task] = []
        for mine in layers:
            own = len(tasks)
            before = own - len(mine) if own else None
            if len(mine) == 1:
                tasks.append(Task(mine[0], places[own], before))
                continue
            after = None if before is None else before + 1
            first, second = places[own : own + 2]
            tasks.append(Task(mine[0], first, before, after))
            beside = own if self._backward else None
            tasks.append(Task(mine[1], second, after, before, beside))
        return Calls([together(tasks, self._threads, self._work)])


def stacked_of(bounds: Sequence[Bound | None]) -> Stacked | None:
    """What runs the layers of a stack as one, if all are bound, each to take what the one below
    returns. A layer alone is not worth it, unless its directions are worth a thread each."""
    every: Any = bounds
    if not all(bounds):
        return None
    first, *others = every
    if not others and (
        first.count < 2 or not first.single or 2 * first.work < team.FLOP_PER_THREAD
    ):
        return None
    fits = all(above.takes_output_of(below) for below, above in itertools.pairwise(every))
    return Stacked(every) if fits else None
