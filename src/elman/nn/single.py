"""What all single-step cells of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNCellBase

from ..batch import Rows
from ..step import Step
from . import arguments, known, stack
from .counterpart import Counterpart
from .leaf import leaf

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_WITHOUT_BIASES = (*_NAMES[:2], None, None)


class Single(Counterpart, RNNCellBase):
    """One step with the parameters of torch.nn's cell. A subclass adds its formula."""

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The new states, in the form of ``hx``."""
        step, units = self._step(), self.hidden_size
        (held,) = self._held(step)

        def check() -> Checked:
            owner = type(self).__name__
            names = _NAMES if held[2] is not None or held[3] is not None else _WITHOUT_BIASES
            first = arguments.check_weights(owner, step, names, held, units, units)
            x = read_row(owner, "input", input, self.input_size, first)
            return x, read_states(owner, step, hx, [units] * len(step.states), x, first), []

        def other() -> Any:
            if self._runs_torch(input, hx, held):
                return self._counterpart.forward(self, input, hx)
            return leaf(self, input, hx)

        return run_step((step, self.input_size, units), input, hx, held, check, other)

    def _held(self, _: Step) -> list[list[Any]]:
        """The weights that the module holds now, in the order of ``step.parameters``."""
        plain: Any = self._parameters  # a parametrized weight is not there but an attribute
        try:
            return [[*map(plain.__getitem__, _NAMES)]]
        except KeyError:
            return [[getattr(self, name) for name in _NAMES]]


#: Input and states as the caller gave them, further inputs as ``(1, B, F)``; all of them checked.
Checked = tuple[Tensor, Sequence[Tensor | None], Sequence[Tensor]]


def run_step(
    module: tuple[Any, ...],
    input: Any,
    hx: Any,
    held: Sequence[Any],
    check: Callable[[], Checked],
    other: Callable[[], Any],
    remember: bool = True,
) -> Any:
    """One step of a module: the new states, in the form of ``hx``.

    Args:
        module: what ``check`` reads of the module, its formula first.
        held: its parameters, in the order of ``step.parameters``.
        check: is asked where such a call is not known, unless
        other: gives the results in another way; None if there is none.
        remember: whether it is known from then on.
    """
    step: Step = module[0]
    found, key, _ = known.find(module, input, hx, held) if remember else (None, None, None)
    states: Sequence[Tensor | None]
    inputs: Sequence[Tensor] = ()
    if found is None:
        results = other()
        if results is not None:
            return results
        x, states, inputs = check()
        bounds = stack.Bounds(1)
    else:
        x, states, bounds = input, arguments.states_of(hx, len(step.states)), found.bounds
    batched = x.dim() == 2
    if not batched:
        x, states = x[None], [s if s is None else s[None] for s in states]
    rows = Rows(1, x.shape[0], x.shape[0])
    initial = [s if s is None else s.unsqueeze(0) for s in states]
    _, new = stack.run(step, rows, x.unsqueeze(0), initial, [held], bounds, inputs=[inputs])
    if found is None:
        known.keep(key, None, bounds)
    # Whose gradient is a view; that of an index is a copy.
    return arguments.hx_of([s.squeeze(0) if batched else s.squeeze(0).squeeze(0) for s in new])


def read_states(
    owner: str, step: Step, hx: Any, sizes: Sequence[int], x: Tensor, weight: Tensor
) -> Sequence[Tensor | None]:
    """The checked initial states of a step, of these sizes."""
    given = arguments.states(owner, hx, len(step.states))
    if hx is None:
        return [None] * len(given)
    found = []
    for (name, value), size in zip(given, sizes, strict=True):
        state = read_row(owner, name, value, size, weight)
        if state.dim() != x.dim():
            raise RuntimeError(
                f"{owner}: expected {name} to be {x.dim()}-D as input is, got {state.dim()}-D of "
                f"shape {tuple(state.shape)}"
            )
        if x.dim() == 2 and state.shape[0] != x.shape[0]:
            raise RuntimeError(
                f"{owner}: expected {name} of shape {(x.shape[0], state.shape[1])}, "
                f"(batch, hidden_size), got {tuple(state.shape)}"
            )
        found.append(state)
    return found


def read_row(owner: str, name: str, value: Tensor, size: int, weight: Tensor) -> Tensor:
    """A tensor of one step, ``(size,)`` or ``(B, size)``."""
    value = arguments.tensor(owner, name, value, weight)
    if value.dim() not in (1, 2):
        raise ValueError(
            f"{owner}: expected {name} to be 1-D ({size},) or 2-D (B, {size}), got "
            f"{value.dim()}-D of shape {tuple(value.shape)}"
        )
    if value.shape[-1] != size:
        raise RuntimeError(
            f"{owner}: expected the last dimension of {name} to be {size}, got "
            f"{value.shape[-1]} in shape {tuple(value.shape)}"
        )
    return value
