"""A checked call of all layers: one executable runs them, or each layer after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from ..batch import part_of
from ..dispatch.autograd import run
from ..dispatch.executable import Executable
from ..dispatch.layer import Held, bind_stack, run_layer
from ..padded import Marks, Padded, dropout_of, with_room
from ..rows import Rows
from ..step import Step
from .arguments import of_state
from .marks import Given
from .masks import LayerMasks, masked
from .regularise import Drawn
from .states import join

#: A state of all layers: a tensor ``(L*D, B, H)``, or where the layers' sizes differ a list of one
#: ``(D, B, H)`` for each. None stands for zeros.
State = Any
#: What makes one output of those of two directions; None if they lie side by side.
Merge = Callable[[Tensor, Tensor], Tensor] | None


class Asked(NamedTuple):
    """What a caller asks of a stack, as it comes."""

    input: Any
    hx: Any
    marks: Given | None = None  # lengths and resets
    inputs: Any = None  # further ones, by name
    return_states: bool = False  # then the step is that which gives them out: `Step.full`
    drawn: Drawn | None = None  # of a call of training: its random values


class StackResults(NamedTuple):
    """What a call of all layers gives."""

    output: Tensor
    finals: Sequence[State]
    every: list[list[Tensor]]  # of each layer what it gives out at every step, if that is asked
    executables: Any = None  # of all layers as one, or of each, if kernels ran them


class StackCall(NamedTuple):
    """A checked call of all layers, and the options that say how they are put together."""

    step: Step
    rows: Rows
    x: Tensor
    initial: Sequence[State]
    layers: Sequence[Sequence[Any]]  # of each its further inputs, then its weights
    directions: int
    merge: Merge
    residual: bool
    dropout: float  # of this call: 0 unless it is one of training
    recompute: bool
    masks: Sequence[LayerMasks] = ()
    marks: Marks | None = None  # of a call that is captured
    held: Held | None = None  # see `RecurrentModule._held`
    return_states: bool = False

    @property
    def tensors(self) -> list[Any]:
        """All of them, in the order of ``batch.by_layer``."""
        return [self.x, *self.initial, *(t for mine in self.layers for t in mine)]

    @property
    def plain(self) -> bool:
        """Whether the results are those of the layers, as kernels give them."""
        masks = self.return_states and any(mine.output is not None for mine in self.masks)
        return self.merge is None and not masks

    def run(self, before: Sequence[Executable] = ()) -> StackResults:
        """The results; ``before`` are the executables of each layer, if an earlier call had
        some."""
        return self._run_as_one() or self._run_each(before)

    def run_padded(self, some: Padded) -> StackResults:
        """The results of the sequences in padded tensors, whose initial states these are. Spans of
        recomputed steps are parts of packed tensors."""
        rows = some.in_place(room=True)
        if rows is None or self.recompute or not self.x.is_cpu:
            done = self._packed(some).run()
            every = [[*map(some.restore, own)] for own in done.every]
            return done._replace(output=some.restore(done.output), every=every)
        begin = [of_state(partial(with_room, rows=rows), s) for s in self.initial]
        return self._replace(rows=rows, initial=begin).run()

    def _packed(self, some: Padded) -> StackCall:
        """The same with copies of the steps that count."""
        end = len(self.step.inputs)
        layers = [[*map(some.select, mine[:end]), *mine[end:]] for mine in self.layers]
        masks = [mine._replace(inner=()).map(some.select) for mine in self.masks]
        return self._replace(rows=some.packed, x=some.select(self.x), layers=layers, masks=masks)

    def _run_as_one(self) -> StackResults | None:
        """The results, if one executable or operator can run all layers."""
        step, rows, count = self.step, self.rows, len(self.layers)
        if type(self.initial[0]) is list:
            return None
        if count == 1:
            first = self.masks[0] if self.masks else LayerMasks()
            tensors = [masked(self.x, first.input), *self.tensors[1:]]
            results, executable = run_layer(
                step, rows, tensors, self.recompute, self.marks, None, self.held
            )
            return self._finish(results, first.output)._replace(executables=executable)
        masks = any(mine.input is not None or mine.output is not None for mine in self.masks)
        if masks or self.residual or self.merge is not None or self.return_states:
            return None
        executable = bind_stack(step, rows, self.tensors, count, self.recompute)
        if executable is None:
            return None
        runs = executable if self.held is None else self.held(executable, rows)
        results = run(runs, rows, self.tensors, self.dropout)
        return self._finish(results)._replace(executables=executable)

    def _run_each(self, before: Sequence[Executable]) -> StackResults:
        """The results of one layer after the other."""
        step, rows, x = self.step, self.rows, self.x
        finals, every, made = [], [], []
        for layer, mine in enumerate(self.layers):
            below, masks = x, self.masks[layer] if self.masks else LayerMasks()
            if layer and self.dropout:
                x = dropout_of(x, self.dropout, rows)
            tensors = [masked(x, masks.input), *self._initial_of(layer), *mine]
            executable: Executable | None
            if before and (not layer or before[layer].takes(tensors[0])):
                executable = before[layer]
                results = run(executable, rows, tensors)
            else:
                held = self.held and partial(self.held, layer=layer)
                results, executable = run_layer(
                    step, rows, tensors, self.recompute, self.marks, None, held
                )
            done = self._finish(results, masks.output)
            x = below + done.output if self.residual and layer else done.output
            finals.append(done.finals)
            every += done.every
            made.append(executable)
        by_state: list[Any] = [[*parts] for parts in zip(*finals, strict=True)]
        if type(self.initial[0]) is not list:
            by_state = [*map(join, by_state)]
        return StackResults(x, by_state, every, made if all(made) else None)

    def _initial_of(self, layer: int) -> list[Tensor | None]:
        """The initial states of one layer."""
        of_each = type(self.initial[0]) is list
        return [s[layer] if of_each else part_of(s, layer, self.directions) for s in self.initial]

    def _finish(self, results: Sequence[Tensor], mask: Tensor | None = None) -> StackResults:
        return finish(self.step, results, mask, self.merge, self.return_states)


def finish(
    step: Step,
    results: Sequence[Tensor],
    mask: Tensor | None,
    merge: Merge,
    return_states: bool,
) -> StackResults:
    """The results of an executable: what it gives out, then masked and merged."""
    x, *final = results
    every = []
    if return_states:
        final, given = apart(step, x, final)
        every.append(given)
    x = masked(x, mask)
    return StackResults(x if merge is None else merge(*x.chunk(2, -1)), final, every)


def apart(step: Step, first: Tensor, others: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Of an executable's results the final states, and the outputs."""
    count = len(step.states)
    return [*others[:count]], [first, *others[count:]]
