"""Which rows of a batch are there at which step. The compiler reads this too: no torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Rows(NamedTuple):
    """The rows of a batch over time. ``counts`` and ``offsets`` are None if all have ``T`` steps;
    else ``counts[t]`` rows are active at step ``t`` and lie from row ``offsets[t]`` on.

    Ragged rows may also lie in ``padded`` tensors, ``(T', B', F)``. Behind the offsets then follow,
    for each row, the step at which it begins there, and its place in the second dimension. What no
    caller gives, such as what is kept for the backward pass, is packed all the same.

    A ``flat`` call is one step of one layer in one direction. Its input and states are ``(B, F)``,
    without the dimensions of time and of layers.
    """

    T: int
    B: int
    N: int  # rows of all steps together
    counts: Tensor | None = None
    offsets: Tensor | None = None
    reverse: bool = False
    flat: bool = False
    padded: tuple[int, int] | None = None  # the first dimensions of the tensors with these rows

    @property
    def ragged(self) -> bool:
        """Whether some rows may have fewer steps than others."""
        return self.counts is not None

    @property
    def lead(self) -> tuple[int, ...]:
        """The dimensions of the input but the last."""
        if self.padded is not None:
            return self.padded
        return (self.T, self.B) if self.counts is None and not self.flat else (self.N,)

    def of_states(self, count: int) -> tuple[int, ...]:
        """The dimensions but the last of a state of so many layers and directions."""
        return (self.B,) if self.flat else (count, self.B)

    def ways(self, directions: int) -> list[Rows]:
        """The rows as each direction walks them; the second one runs in reverse."""
        return [self] if directions == 1 else [self, self._replace(reverse=True)]

    def first_row(self, t: int) -> int:
        """Where the rows of a step begin among all rows; those after the last one, how many."""
        if self.offsets is None:
            return t * self.B
        return self.N if t == self.T else int(self.offsets[t])

    def part(self, first: int, stop: int) -> Rows:
        """The rows of some of the steps."""
        start, N = self.first_row(first), self.first_row(stop) - self.first_row(first)
        if self.counts is None or self.offsets is None:
            return self._replace(T=stop - first, N=N)
        counts = self.counts[first:stop]
        offsets = self.offsets[first:stop] - start
        return Rows(stop - first, int(counts[0]), N, counts, offsets, self.reverse)
