"""A call of a stack of layers, from the caller's arguments to the results in their form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..batch import part_of
from ..dispatch.autograd import run
from ..dispatch.executable import Executable
from ..dispatch.layer import Held, bind_stack, run_layer
from ..dispatch.transforms import captured
from ..padded import Marks, Padded, dropout_of, with_returns, with_room
from ..rows import Rows
from ..step import Step
from . import arguments, cached
from .arguments import of_state
from .base import RecurrentModule
from .checks import no_sets
from .inputs import read_of_layers, spread
from .marks import Given
from .marks import read as read_marks
from .marks import record as record_marks
from .masks import LayerMasks, beside, masked
from .recorded import recorded
from .regularise import Drawn
from .states import Named, hx_of, join, of_each_layer, of_layers

#: A state of all layers: a tensor ``(L*D, B, H)``, or where the layers' sizes differ a list of one
#: ``(D, B, H)`` for each. None stands for zeros.
State = Any

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "concat": None,  # as they come
    "sum": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "mul": torch.mul,
}


class StackCall(NamedTuple):
    """A checked call of all layers, whatever runs it."""

    step: Step
    rows: Rows
    x: Tensor
    initial: Sequence[State]
    layers: Sequence[Sequence[Any]]  # of each its further inputs, then its weights
    masks: Sequence[LayerMasks] = ()
    marks: Marks | None = None  # of a call that is captured
    held: Held | None = None  # see `RecurrentModule._held`
    return_states: bool = False

    @property
    def tensors(self) -> list[Any]:
        """All of them, in the order of ``batch.by_layer``."""
        return [self.x, *self.initial, *(t for mine in self.layers for t in mine)]

    def packed(self, some: Padded) -> StackCall:
        """The same with copies of the steps that count."""
        end = len(self.step.inputs)
        layers = [[*map(some.select, mine[:end]), *mine[end:]] for mine in self.layers]
        masks = [mine._replace(inner=()).map(some.select) for mine in self.masks]
        return self._replace(rows=some.packed, x=some.select(self.x), layers=layers, masks=masks)


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

    def _run_layers(
        self,
        step: Step,
        found: cached.Found,
        input: Any,
        hx: Any,
        given: Given | None = None,
        inputs: Any = None,
        return_states: bool = False,
        drawn: Drawn | None = None,
    ) -> Any:
        """A call that is checked first, and then stored, unless one like it was ``found``. If it is
        to ``return_states``, the step is that which gives them out (``step.full``). With ``drawn``
        it is one of training, whose random values that says."""
        known, key, tensors = found
        masks: Sequence[LayerMasks] = ()
        dropout = self.dropout if self.training else 0.0
        if known is not None and isinstance(known.executables, Executable):
            call = known.call
            initial = call.arrange_states(hx, len(step.states))
            x, weights = call.arrange(input), tensors[1 + len(step.states) :]
            if drawn is not None:
                dropped, masks = self._draw(drawn, weights, call.rows, x)
                x, weights = masked(x, masks[0].input), beside(masks, dropped)
            x, *final = run(known.executables, call.rows, [x, *initial, *weights], dropout)
            if return_states:
                final, outputs = _apart(step, x, final)
                x = masked(x, masks[0].output) if masks else x
                x, finals = call.restore(self._merge(x), final)
                return self._with_states(step, x, finals, [call.restore_all(outputs)])
            x = masked(x, masks[0].output) if masks else x
            x, finals = call.restore(self._merge(x), final)
            return x, hx_of(finals)
        owner, L, D = type(self).__name__, self.num_layers, self._directions()
        weights = self._layer_weights(step)
        some, marks, held = None, None, None
        further: list[Tensor] = []
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
            if hx is None and not isinstance(self.hidden_size, int):
                initial = [[None] * L for _ in step.states]
        if drawn is not None:
            flat, masks = self._draw(drawn, [t for mine in weights for t in mine], call.rows, x)
            count = len(step.parameters)
            weights = [[*flat[i : i + count]] for i in range(0, len(flat), count)]
        if D == 2:
            weights = [[*a, *b] for a, b in zip(weights[::2], weights[1::2], strict=True)]
        layers: Sequence[Sequence[Any]] = weights
        if further:
            each = spread(owner, step, further, self._layer_sizes()[::D])
            layers = [[*own, *mine] for own, mine in zip(each, weights, strict=True)]
        if masks:
            inner, end = [mine.inner for mine in masks], len(step.given_inputs)
            pairs = zip(inner, layers, strict=True)
            layers = [[*mine[:end], *own, *mine[end:]] for own, mine in pairs]
        asked = StackCall(step, call.rows, x, initial, layers, masks, marks, held, return_states)
        if some is not None:
            begin = [of_state(some.select_state, s) for s in initial]
            x, finals, every = self._run_padded(asked._replace(initial=begin), some)
            pairs = zip(finals, initial, strict=True)
            finals = [of_state(some.restore_state, *pair) for pair in pairs]
        else:
            before = known.executables if known is not None else ()
            x, finals, executables, every = self._run(asked, before)
            if known is None:
                plain = call.plain and not self._merges() and not return_states
                cached.keep(key, call, call.rows, executables, plain)
        x, finals = call.restore(x, finals)
        if return_states:
            every = [call.restore_all(mine) for mine in every]
            return self._with_states(step, x, finals, every)
        return x, hx_of(finals)

    def _with_states(
        self, step: Step, x: Any, finals: Sequence[Any], every: Sequence[Sequence[Any]]
    ) -> tuple[Any, Any, Any]:
        """The results of a call, and what each layer gave out at ``every`` step, in its form."""
        alike = isinstance(self.hidden_size, int)
        return x, hx_of(finals), recorded(step, every, self._directions(), alike)

    def _run_padded(
        self, asked: StackCall, some: Padded
    ) -> tuple[Tensor, Sequence[State], list[list[Tensor]]]:
        """The output, the final states of the sequences, and what each layer gives out, if it is to
        ``return_states``. Spans of recomputed steps are parts of packed tensors."""
        rows = some.in_place(room=True)
        if rows is None or self.recompute or not asked.x.is_cpu:
            output, finals, _, every = self._run(asked.packed(some))
            return some.restore(output), finals, [[some.restore(v) for v in own] for own in every]
        begin = [of_state(partial(with_room, rows=rows), s) for s in asked.initial]
        output, finals, _, every = self._run(asked._replace(rows=rows, initial=begin))
        return output, finals, every

    def _run(
        self, asked: StackCall, before: Any = ()
    ) -> tuple[Tensor, Sequence[State], Any, list[list[Tensor]]]:
        """The output, the final states, and the executable of all layers, or those of each if
        kernels ran them; ``before`` are the latter of an earlier call. Last what each layer gives
        out, if it is to ``return_states``."""
        step, rows, x, initial, layers, masks, marks, held, return_states = asked
        of_each, p = type(initial[0]) is list, self.dropout if self.training else 0.0
        executable: Any = None
        every: list[list[Tensor]] = []
        apart = any(m.input is not None or m.output is not None for m in masks)
        apart = apart or bool(self.residual or self._merges())
        if not of_each and (len(layers) == 1 or not apart):
            x = masked(x, masks[0].input) if masks else x
            tensors = [x, *asked.tensors[1:]]
            if len(layers) == 1:
                (x, *final), executable = run_layer(
                    step, rows, tensors, self.recompute, marks, None, held
                )
                if return_states:
                    final, given = _apart(step, x, final)
                    every.append(given)
                x = masked(x, masks[0].output) if masks else x
                return self._merge(x), final, executable, every
            if not return_states:
                executable = bind_stack(step, rows, tensors, len(layers), self.recompute)
            if executable is not None:
                runs = executable if held is None else held(executable, rows)
                x, *final = run(runs, rows, tensors, p)
                return x, final, executable, every
        finals: list[Any] = []
        made: list[Any] = []
        for layer, mine in enumerate(layers):
            below = x
            if layer and p:
                x = dropout_of(x, p, rows)
            x = masked(x, masks[layer].input) if masks else x
            D = self._directions()
            begin = [s[layer] if of_each else part_of(s, layer, D) for s in initial]
            tensors = [x, *begin, *mine]
            if before and (not layer or before[layer].takes(x)):
                (x, *final), executable = run(before[layer], rows, tensors), before[layer]
            else:
                own = held and partial(held, layer=layer)
                (x, *final), executable = run_layer(
                    step, rows, tensors, self.recompute, marks, None, own
                )
            made.append(executable)
            if return_states:
                final, given = _apart(step, x, final)
                every.append(given)
            x = masked(x, masks[layer].output) if masks else x
            x = self._merge(x)
            x = below + x if self.residual and layer else x
            finals.append(final)
        by_state: list[Any] = [[*parts] for parts in zip(*finals, strict=True)]
        if not of_each:
            by_state = [*map(join, by_state)]
        return x, by_state, made if all(made) else None, every

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
        owner, alike = type(self).__name__, isinstance(self.hidden_size, int)
        if isinstance(reset_to, (int, float)) and not isinstance(reset_to, bool):
            if reset_to != 0:
                raise ValueError(
                    f"{owner}: expected reset_to to be 0, or states in the form of hx, got "
                    f"{reset_to}: give states with that value"
                )
            return self._zeros(step)
        given = of_layers(owner, reset_to, len(step.states), call.batched, alike, "reset_to")
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
        sizes, alike = self._layer_sizes(), isinstance(self.hidden_size, int)
        shapes = [
            [(D, call.rows.B, size[step.space(state)]) for size in sizes[::D]]
            for state in step.states
        ]
        if alike:
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
        alike = isinstance(self.hidden_size, int)
        return [torch.cat(parts) for parts in learned] if alike else learned

    def _zeros(self, step: Step) -> Sequence[State]:
        alike = isinstance(self.hidden_size, int)
        return [None if alike else [None] * self.num_layers for _ in step.states]

    def _learned(self, state: str, B: int) -> list[Tensor]:
        """A state of every layer."""
        every = [getattr(self, of[state]) for of in self._initial]
        ways = [every[i : i + self._directions()] for i in range(0, len(every), self._directions())]
        return [torch.stack(mine)[:, None].expand(-1, B, -1) for mine in ways]

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _merges(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """What makes one output of those of two directions, unless they lie side by side."""
        return MERGES[self.merge] if self.bidirectional else None

    def _merge(self, x: Tensor) -> Tensor:
        merge = self._merges()
        return x if merge is None else merge(*x.chunk(2, -1))


def _apart(step: Step, first: Tensor, others: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Of a layer's results the final states, and the outputs."""
    return others[: len(step.states)], [first, *others[len(step.states) :]]
