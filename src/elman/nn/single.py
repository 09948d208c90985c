"""What all single-step cells of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNCellBase

from ..batch import Rows
from ..cell import Step
from ..function import recur
from . import arguments

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_WITHOUT_BIASES = (*_NAMES[:2], None, None)


class Single(RNNCellBase):
    """One step with the parameters of torch.nn's cell. A subclass adds its formula."""

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The new states, in the form of ``hx``."""
        owner, step = type(self).__name__, self._step()
        weight = self.weight_ih  # each is a search
        held = (weight, self.weight_hh, self.bias_ih, self.bias_hh)
        names = _NAMES if held[2] is not None or held[3] is not None else _WITHOUT_BIASES
        weights = arguments.weights(owner, step, names, held, self.hidden_size, self.hidden_size)
        x = read_row(owner, "input", input, self.input_size, weight)
        batched = x.dim() == 2
        initial: list[Tensor | None] = []
        for name, given in arguments.states(owner, hx, len(step.states)):
            state = None
            if hx is not None:
                state = read_row(owner, name, given, self.hidden_size, weight)
                check_state(owner, name, state, x)
                state = state[None] if batched else state[None, None]
            initial.append(state)
        if not batched:
            x = x[None]
        rows = Rows(1, x.shape[0], x.shape[0])
        _, new = recur(step, rows, x[None], initial, [weights])
        results = tuple(s[0] if batched else s[0, 0] for s in new)
        return results if len(results) > 1 else results[0]


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


def check_state(owner: str, name: str, state: Tensor, x: Tensor) -> None:
    """RuntimeError if a state has other rows than the input."""
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
