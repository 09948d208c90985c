"""A call of a stack of layers, from the caller's arguments to the results in their form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch.autograd import run
from ..dispatch.executable import Executable
from ..dispatch.transforms import captured
from ..padded import Padded, with_returns
from ..rows import Rows
from ..step import Step
from . import arguments, cached
from .arguments import of_state
from .base import RecurrentModule
from .checks import no_sets
from .inputs import read_of_layers, spread
from .marks import read as read_marks
from .marks import record as record_marks
from .masks import LayerMasks, beside, masked
from .recorded import recorded
from .regularise import Drawn
from .stack import Asked, Merge, StackCall, StackResults, State, apart, finish
from .states import Named, hx_of, of_each_layer, of_layers

MERGES: dict[str, Merge] = {
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
    _initial: list[dict[str, str]]  # of each set of weights, the names of learned initial states

    def _run_layers(self, step: Step, found: cached.Found, asked: Asked) -> Any:
        """A call that is checked first, and then stored, unless one like it was ``found``."""
        known, key, tensors = found
        if known is None:
            call, stack, some = self._prepare(step, None, asked)
            if some is not None:
                done = self._run_rows(stack, some)
            else:
                done = stack.run()
                cached.keep(key, call, call.rows, done.executables, call.plain and stack.plain)
        elif isinstance(known.executables, Executable):
            call = known.call
            done = self._run_known(known.executables, call, tensors, asked)
        else:
            call, stack, _ = self._prepare(step, known, asked)
            done = stack.run(known.executables)
        x, finals = call.restore(done.output, done.finals)
        if asked.return_states:
            every = [call.restore_all(mine) for mine in done.every]
            return self._with_states(step, x, finals, every)
        return x, hx_of(finals)

    def _run_known(
        self, executable: Executable, call: arguments.Call, tensors: Sequence[Any], asked: Asked
    ) -> StackResults:
        """The results of a call of which all is known, and whose layers one executable runs."""
        (input, hx, *_, drawn), step, mask = asked, executable.step, None
        initial = call.arrange_states(hx, len(step.states))
        x, weights = call.arrange(input), tensors[1 + len(step.states) :]
        if drawn is not None:
            dropped, masks = self._draw(drawn, weights, call.rows, x)
            x, weights = masked(x, masks[0].input), beside(masks, dropped)
            mask = masks[0].output
        dropout = self.dropout if self.training else 0.0
        results = run(executable, call.rows, [x, *initial, *weights], dropout)
        return finish(step, results, mask, self._merges(), asked.return_states)

    def _prepare(
        self, step: Step, known: cached.CachedCall | None, asked: Asked
    ) -> tuple[arguments.Call, StackCall, Padded | None]:
        """A call in normal form, checked unless one like it is ``known``; what runs it; and where
        its sequences are, if they are parts of padded rows."""
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        input, hx, given, inputs, return_states, drawn = asked
        weights = self._layer_weights(step)
        some, marks, held = None, None, None
        further: Sequence[Tensor] = ()
        masks: Sequence[LayerMasks] = ()
        if known is None:
            call, x, initial, first = self._read(step, input, hx, weights)
            held = self._held(step, x, initial, weights)
            if given is not None:
                if captured():
                    marks = record_marks(owner, given, call, x.device)
                else:
                    some = read_marks(owner, given, call, D, x.device)
                if given.reset_to is not None:
                    returns = self._read_returns(step, call, x, given.reset_to, first)
                    pairs = zip(initial, returns, strict=True)
                    initial = [of_state(with_returns, *pair) for pair in pairs]
            further = read_of_layers(owner, step, inputs, call, first)
        else:
            call = known.call
            x, initial = call.arrange(input), call.arrange_states(hx, len(step.states))
            if hx is None and not self._alike:
                initial = [[None] * L for _ in step.states]
        if drawn is not None:
            flat, masks = self._draw(drawn, [t for mine in weights for t in mine], call.rows, x)
            count = len(step.parameters)
            weights = [[*flat[i : i + count]] for i in range(0, len(flat), count)]
        stack = StackCall(
            step=step,
            rows=call.rows,
            x=x,
            initial=initial,
            layers=self._by_layer(step, weights, further, masks),
            directions=D,
            merge=self._merges(),
            residual=self.residual,
            dropout=self.dropout if self.training else 0.0,
            recompute=self.recompute,
            masks=masks,
            marks=marks,
            held=held,
            return_states=return_states,
        )
        return call, stack, some

    def _by_layer(
        self,
        step: Step,
        weights: Sequence[Sequence[Any]],
        further: Sequence[Tensor],
        masks: Sequence[LayerMasks],
    ) -> Sequence[Sequence[Any]]:
        """What each layer reads besides its input and states: further inputs, those that a call
        gives and those that it draws, then the weights of its directions."""
        D = self._directions()
        if D == 2:
            weights = [[*a, *b] for a, b in zip(weights[::2], weights[1::2], strict=True)]
        layers = weights
        if further:
            each = spread(type(self).__name__, step, further, self._layer_sizes()[::D])
            layers = [[*own, *mine] for own, mine in zip(each, weights, strict=True)]
        if masks:
            end, pairs = len(step.given_inputs), zip(masks, layers, strict=True)
            layers = [[*mine[:end], *drawn.inner, *mine[end:]] for drawn, mine in pairs]
        return layers

    def _run_rows(self, stack: StackCall, some: Padded) -> StackResults:
        """The results of padded rows, each of which has some sequences or none."""
        begin = [of_state(some.select_state, s) for s in stack.initial]
        done = self._run_padded(stack._replace(initial=begin), some)
        pairs = zip(done.finals, stack.initial, strict=True)
        return done._replace(finals=[of_state(some.restore_state, *pair) for pair in pairs])

    def _run_padded(self, stack: StackCall, some: Padded) -> StackResults:
        """The results of the sequences in padded rows."""
        return stack.run_padded(some)

    def _with_states(
        self, step: Step, x: Any, finals: Sequence[Any], every: Sequence[Sequence[Any]]
    ) -> tuple[Any, Any, Any]:
        """The results of a call, and what each layer gave out at ``every`` step, in its form."""
        return x, hx_of(finals), recorded(step, every, self._directions(), self._alike)

    def _repeated_states(self, step: Step, output: Tensor, final: Any) -> tuple[Any, Any, Any]:
        """:meth:`_with_states` of the results of :meth:`_repeat`."""
        finals, given = apart(step, output, final if type(final) is tuple else (final,))
        return self._with_states(step, output, finals, [given])

    def _draw(
        self, drawn: Drawn, weights: Sequence[Any], rows: Rows, x: Tensor
    ) -> tuple[Sequence[Any], Sequence[LayerMasks]]:
        """The weights of a call of training, and the random values of each layer."""
        raise NotImplementedError

    def _read(
        self, step: Step, input: Any, hx: Any, weights: Sequence[Sequence[Any]]
    ) -> tuple[arguments.Call, Tensor, Sequence[State], Tensor]:
        """A call in normal form, its input and its initial states, all of it checked; and a
        weight."""
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        if len(weights) != L * D or not L:
            raise no_sets(owner, L, D, len(weights))
        first = self._check_weights(step, weights, self._layer_sizes())
        call, x, given = arguments.read(self, step, input, hx, first)
        states = self._read_states(step, call, x, given, first)
        return call, x, states or self._initial_states(step, call.rows.B), first

    def _read_returns(
        self, step: Step, call: arguments.Call, x: Tensor, reset_to: Any, weight: Tensor
    ) -> Sequence[State]:
        """The checked states that a reset returns to."""
        owner = type(self).__name__
        if isinstance(reset_to, (int, float)) and not isinstance(reset_to, bool):
            if reset_to != 0:
                raise ValueError(
                    f"{owner}: expected reset_to to be 0, or states in the form of hx, got "
                    f"{reset_to}: give states with that value"
                )
            return self._zeros(step)
        given = of_layers(owner, reset_to, len(step.states), call.batched, self._alike, "reset_to")
        return self._read_states(step, call, x, given, weight)

    def _read_states(
        self,
        step: Step,
        call: arguments.Call,
        x: Tensor,
        given: Sequence[Named],
        weight: Tensor,
    ) -> Sequence[State]:
        """Initial states in normal form; none if none are given."""
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        sizes = self._layer_sizes()
        shapes = [
            [(D, call.rows.B, size[step.space(state)]) for size in sizes[::D]]
            for state in step.states
        ]
        if self._alike:
            every = [(L * D, *mine[0][1:]) for mine in shapes]
            return arguments.read_states(owner, call, x, given, every, weight)
        given = of_each_layer(owner, given, L, call.batched)
        every = [shape for mine in shapes for shape in mine]
        states = arguments.read_states(owner, call, x, given, every, weight, "directions")
        return [states[i : i + L] for i in range(0, len(states), L)]

    def _initial_states(self, step: Step, B: int) -> Sequence[State]:
        """The states where a call gives none: learned, or None for zeros."""
        if not self.learn_initial:
            return self._zeros(step)
        learned = [self._learned(state, B) for state in step.states]
        return [torch.cat(parts) for parts in learned] if self._alike else learned

    def _zeros(self, step: Step) -> Sequence[State]:
        return [None if self._alike else [None] * self.num_layers for _ in step.states]

    def _learned(self, state: str, B: int) -> list[Tensor]:
        """A state of every layer."""
        every = [getattr(self, of[state]) for of in self._initial]
        ways = [every[i : i + self._directions()] for i in range(0, len(every), self._directions())]
        return [torch.stack(mine)[:, None].expand(-1, B, -1) for mine in ways]

    @property
    def _alike(self) -> bool:
        """Whether all layers have one size, so that their states are one tensor."""
        return isinstance(self.hidden_size, int)

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _merges(self) -> Merge:
        """What makes one output of those of two directions, unless they lie side by side."""
        return MERGES[self.merge] if self.bidirectional else None
