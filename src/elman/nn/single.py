"""What all single-step cells of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn.modules.rnn import RNNCellBase

from ..batch import Rows
from ..cell import Step
from ..function import recur
from . import arguments


class Single(RNNCellBase):
    """One step of a recurrence, with the parameters of torch.nn's cell."""

    _states: ClassVar[tuple[str, ...]] = ("hx",)  # names of the arguments, for messages

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def _run(self, input: Tensor, states: Sequence[Tensor | None]) -> list[Tensor]:
        """The new states, shaped as the given ones."""
        owner = type(self).__name__
        weight, bias_ih, bias_hh = self.weight_ih, self.bias_ih, self.bias_hh  # each a search
        held = [weight, self.weight_hh]
        if bias_ih is not None or bias_hh is not None:
            held += [bias_ih, bias_hh]
        weights = arguments.weights(owner, held, self.hidden_size)
        x = self._read(owner, "input", input, self.input_size, weight)
        initial = [
            None if s is None else self._read(owner, name, s, self.hidden_size, weight)
            for name, s in zip(self._states, states, strict=True)
        ]
        batched = x.dim() == 2
        for name, s in zip(self._states, initial, strict=True):
            if s is not None and s.dim() != x.dim():
                raise RuntimeError(
                    f"{owner}: expected {name} to be {x.dim()}-D as input is, got {s.dim()}-D of "
                    f"shape {tuple(s.shape)}"
                )
            if s is not None and batched and s.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"{owner}: expected {name} of shape {(x.shape[0], self.hidden_size)}, "
                    f"(batch, hidden_size), got {tuple(s.shape)}"
                )
        if not batched:
            x, initial = x[None], [None if s is None else s[None] for s in initial]
        rows = Rows(1, x.shape[0], x.shape[0])
        given = [None if s is None else s[None] for s in initial]
        _, new = recur(self._step(), rows, x[None], given, [weights])
        return [s[0] if batched else s[0, 0] for s in new]

    @staticmethod
    def _read(owner: str, name: str, value: Tensor, size: int, weight: Tensor) -> Tensor:
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
