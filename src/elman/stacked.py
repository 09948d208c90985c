"""Layers on one another, with nothing between them, as one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .batch import Rows
from .compiler.table import Known, Prepared
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
        #: Whether passes never run at the same time.
        self._alone = not bounds[0].single or any(bound.spans for bound in bounds)
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
        together = self._together(rows, backward=False)
        for bound, part, _ in self._layers:
            mine = [x, *tensors[part]]
            if together is None:
                (x, *final), more = bound.run(rows, mine, keep)
            else:
                (x, *final), more, runs, every = bound.forward_passes(rows, mine, keep)
                together.add(runs, every)
            outputs.append(x)
            finals += final
            kept += more
        if together is not None:
            together.run()
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
        together = self._together(rows, backward=True)
        for i, (bound, part, mine) in reversed([*enumerate(self._layers)]):
            given = (
                *(rows, [below[i], *tensors[part]], output, kept[mine]),
                [gradient, *final[i * states : (i + 1) * states]],
                (any(needed[: part.start]), *needed[part]),
            )
            if together is None:
                made = bound.gradients(*given)
            elif passes := bound.backward_passes(*given):
                made, runs, every, _ = passes
                together.add(runs, every)
            else:
                made = None
            if made is None:
                return None
            gradient, *more = made
            found, output = [*more, *found], below[i]
        if together is not None:
            together.run()
        return [gradient, *found]

    def _together(self, rows: Rows, backward: bool) -> _Together | None:
        """What collects the passes, if they are better run at the same time."""
        if self._alone or rows.T == 1:
            return None
        work = self._work * (2 if backward else 1)
        threads = team.thread_count(work, self._passes)
        return _Together(self._known, threads, work, backward) if threads > 1 else None


class _Together:
    """Passes of layers on one another, or of their gradients, which run at the same time."""

    def __init__(self, known: Known, threads: int, work: float, backward: bool) -> None:
        self._known, self._threads, self._work, self._backward = known, threads, work, backward
        self._layers: list[list[Prepared]] = []
        self._tensors: list[Tensor | None] = []

    def add(self, runs: list[Prepared], tensors: Tensors) -> None:
        """The passes of the next layer, one for each direction, and what each is called with."""
        self._layers.append(runs)
        for _ in runs:
            self._tensors += tensors

    def run(self) -> None:
        key = self._threads, *(id(run) for runs in self._layers for run in runs)
        run = self._known.find(key) or self._known.keep(
            key, together(self._tasks(), self._threads, self._work)
        )
        run.run(self._tensors)

    def _tasks(self) -> list[Task]:
        tasks: list[Task] = []
        for runs in self._layers:
            own = len(tasks)
            before = own - len(runs) if own else None
            if len(runs) == 1:
                tasks.append(Task(runs[0], before))
                continue
            after = None if before is None else before + 1
            tasks.append(Task(runs[0], before, after))
            tasks.append(Task(runs[1], after, before, own if self._backward else None))
        return tasks


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
