"""Calls with ``lengths`` and ``reset``, and what torch.nn's layers make of every sequence alone."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Call = Callable[[Tensor, Any], Any]


class Marks(NamedTuple):
    """How many steps of each row count, and before which ``(T, B)`` it begins anew."""

    lengths: Tensor
    reset: Tensor

    @property
    def nothing(self) -> bool:
        """Whether they leave a call as it is."""
        return not self.reset.any() and bool((self.lengths == len(self.reset)).all())

    def named(self, batch_first: bool) -> dict[str, Any]:
        return {"lengths": self.lengths, "reset": self.reset.T if batch_first else self.reset}


def draw(T: int, B: int, resets: float, short: bool, numbers: torch.Generator) -> Marks:
    """Random marks; the first row has a step."""
    lengths = torch.full((B,), T)
    if short:
        lengths = torch.randint(0, T + 1, (B,), generator=numbers)
        lengths[:1].clamp_(min=1)
    return Marks(lengths, torch.rand(T, B, generator=numbers) < resets)


def by_sequences(call: Call, marks: Marks, batch_first: bool, ways: int, x: Tensor, hx: Any) -> Any:
    """The output and the final states, from a call for each sequence."""
    if marks.nothing:
        return call(x, hx)
    x = x.transpose(0, 1) if batch_first else x
    rows, states = [], []
    for b, steps in enumerate(marks.lengths.tolist()):
        mine = None if hx is None else _each(lambda s, b=b: s[:, b : b + 1], hx)
        cuts = [0, *(t for t in range(1, steps) if marks.reset[t, b]), steps]
        found = []
        for first, stop in itertools.pairwise(cuts) if steps else ():
            part = x[first:stop, b : b + 1]
            output, final = call(part.transpose(0, 1) if batch_first else part, mine)
            found.append((output.transpose(0, 1) if batch_first else output, final))
        rows.append([output for output, _ in found])
        states.append([final for _, final in found] or [mine])
    width, some = rows[0][0].shape[-1], states[0][0]
    padded = [
        torch.cat([*parts, x.new_zeros(len(x) - sum(map(len, parts)), 1, width)]) for parts in rows
    ]
    output = torch.cat(padded, 1)
    single = not isinstance(some, tuple)
    every = []
    for i, like in enumerate([some] if single else some):
        zeros = torch.zeros_like(like)
        held = [
            [zeros if s is None else s if single else s[i] for s in finals] for finals in states
        ]
        every.append(torch.cat([_ending(finals, ways) for finals in held], 1))
    return output.transpose(0, 1) if batch_first else output, every[0] if single else tuple(every)


def _ending(finals: list[Tensor], ways: int) -> Tensor:
    """A row's final state: forward that of the last sequence, in reverse of the first."""
    each = [(finals[0] if d else finals[-1])[d::ways] for d in range(ways)]
    return torch.stack(each, 1).flatten(0, 1)


def _each(change: Callable[[Tensor], Tensor], states: Any) -> Any:
    return tuple(map(change, states)) if isinstance(states, tuple) else change(states)
