"""A layer that runs in reverse, alone or beside one that runs forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Ways(torch.nn.Module):
    """Two layers of one direction each as one of two; or the second one alone.

    Args:
        onward: the layer that runs from the first step to the last; None for none.
        backward: the layer that is given the steps from the last to the first.
        batch_first: input and output as ``(B, T, features)``.

    It is called as :class:`elman.Recurrent` is, ``lengths`` included if its layers take them: then
    each row begins at its own last step.
    """

    def __init__(
        self, onward: torch.nn.Module | None, backward: torch.nn.Module, batch_first: bool = False
    ) -> None:
        super().__init__()
        self.onward, self.backward = onward, backward
        self.batch_first = batch_first

    def forward(self, input: Tensor, hx: Any = None, *, lengths: Any = None) -> tuple[Any, Any]:
        """The output of all directions, and the final states."""
        options = {} if lengths is None else {"lengths": lengths}
        ways = [self.backward] if self.onward is None else [self.onward, self.backward]
        outputs, finals = [], []
        for d, layer in enumerate(ways):
            turns = layer is self.backward
            states = hx if len(ways) == 1 else of_states(lambda s, d=d: s[d : d + 1], hx)
            output, final = layer(
                self._turned(input, lengths) if turns else input, states, **options
            )
            outputs.append(self._turned(output, lengths) if turns else output)
            finals.append(final)
        return torch.cat(outputs, -1), of_states(lambda *parts: torch.cat(parts), *finals)

    def _turned(self, x: Tensor, lengths: Any) -> Tensor:
        """The steps in reverse; those after a row's last one stay where they are."""
        time = int(self.batch_first and x.dim() == 3)
        if lengths is None:
            return x.flip(time)
        steps = torch.arange(x.shape[time], device=x.device)
        ends = torch.as_tensor(lengths, device=x.device)
        steps, ends = (steps, ends[:, None]) if time else (steps[:, None], ends)
        places = torch.where(steps < ends, ends - 1 - steps, steps)
        return x.gather(time, places[..., None].expand_as(x))


def of_states(change: Callable[..., Tensor], *states: Any) -> Any:
    """What becomes of states, in the form of ``hx``: none, one, or a tuple of several."""
    if isinstance(states[0], (tuple, list)):
        return tuple(change(*parts) for parts in zip(*states, strict=True))
    return None if states[0] is None else change(*states)
