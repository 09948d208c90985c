"""A call of a stack of layers, from the caller's arguments to the results in their form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch.autograd import run
from ..dispatch.transforms import captured
from ..step import Step
from . import arguments, cached, stack
from .arguments import of_state
from .base import RecurrentModule
from .checks import no_sets
from .inputs import read_of_layers, spread
from .lengths import read as read_lengths
from .lengths import record as record_lengths
from .states import hx_of, of_each_layer

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "concat": None,  # as they come
    "sum": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "mul": torch.mul,
}


class LayerStack(RecurrentModule):
    """Layers on one another, in one direction or two."""

    hidden_size: Any  # a tuple of one for each layer, where they differ
    num_layers: int
    proj_size: int
    dropout: float
    bidirectional: bool
    batch_first: bool
    training: bool
    merge: str = "concat"
    residual: bool = False
    recompute: bool = False
    learn_initial: bool = False

    def _run_layers(
        self,
        step: Step,
        found: cached.Found,
        input: Any,
        hx: Any,
        lengths: Any = None,
        inputs: Any = None,
    ) -> tuple[Any, Any]:
        """A call that is checked first, and then stored, unless one like it was ``found``."""
        known, key, tensors = found
        merge = self._merge if self.bidirectional and MERGES[self.merge] else None
        dropout = self.dropout if self.training else 0.0
        if known is not None and len(known.executables) == 1:
            call, states = known.call, 1 + len(step.states)
            initial = call.arrange_states(hx, states - 1)
            tensors = [call.arrange(input), *initial, *tensors[states:]]
            x, *final = run(known.executables[0], call.rows, tensors, dropout)
            x, finals = call.restore(merge(x) if merge else x, final)
            return x, hx_of(finals)
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        weights, sizes = self._layer_weights(step), self._layer_sizes(step)[::D]
        some, recorded = None, None
        further: list[Tensor] = []
        if known is None:
            call, x, initial, first = self._read(step, input, hx, weights)
            if lengths is not None and captured():
                recorded = record_lengths(owner, lengths, call, x.device)
            elif lengths is not None:
                some = read_lengths(owner, lengths, call, x.device)
            further = read_of_layers(owner, step, inputs, call, first)
        else:
            call = known.call
            x, initial = call.arrange(input), call.arrange_states(hx, len(step.states))
            if hx is None and not isinstance(self.hidden_size, int):
                initial = [[None] * L for _ in step.states]
        rows, begin = call.rows, initial
        if some is not None:
            rows, x, further = some.rows, some.select(x), [some.select(v) for v in further]
            begin = [of_state(some.select_state, s) for s in initial]
        if D == 2:
            weights = [[*a, *b] for a, b in zip(weights[::2], weights[1::2], strict=True)]
        x, finals, executables = stack.run(
            step,
            rows,
            x,
            begin,
            weights,
            known.executables if known else (),
            dropout,
            inputs=spread(owner, step, further, [s.units for s in sizes]),
            merge=merge,
            residual=self.residual,
            recompute=self.recompute,
            lengths=recorded,
        )
        if some is None:
            if known is None:
                cached.keep(key, call, rows, executables, merge is None and call.plain)
            x, finals = call.restore(x, finals)
        else:
            pairs = zip(finals, initial, strict=True)
            x, finals = some.restore(x), [of_state(some.restore_state, *pair) for pair in pairs]
        return x, hx_of(finals)

    def _read(
        self, step: Step, input: Any, hx: Any, weights: Sequence[Sequence[Any]]
    ) -> tuple[arguments.Call, Tensor, Sequence[stack.State], Tensor]:
        """A call in normal form, its input and its initial states, all of it checked; and a
        weight."""
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        if len(weights) != L * D or not L:
            raise no_sets(owner, L, D, len(weights))
        first, alike = self._check_weights(step, weights), isinstance(self.hidden_size, int)
        sizes = self.input_size, self.batch_first
        call, x, given = arguments.read(owner, input, hx, len(step.states), *sizes, first, alike)
        shapes = [
            [(D, call.rows.B, size[step.space(state)]) for size in self._layer_sizes(step)[::D]]
            for state in step.states
        ]
        if alike:
            every = [(L * D, *mine[0][1:]) for mine in shapes]
            states: Sequence[Any] = arguments.read_states(owner, call, x, given, every, first)
        else:
            given = of_each_layer(owner, given, L, call.batched)
            every = [shape for mine in shapes for shape in mine]
            states = arguments.read_states(owner, call, x, given, every, first, "directions")
            states = [states[i : i + L] for i in range(0, len(states), L)]
        return call, x, states or self._initial_states(step, call.rows.B), first

    def _initial_states(self, step: Step, _: int) -> Sequence[stack.State]:
        """The states where a call gives none: None for zeros."""
        alike = isinstance(self.hidden_size, int)
        return [None if alike else [None] * self.num_layers for _ in step.states]

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _merge(self, x: Tensor) -> Tensor:
        """The outputs of both directions as one."""
        merge = MERGES[self.merge]
        assert merge is not None
        return merge(*x.chunk(2, -1))
