"""The spaces of a formula's values, and the matrices between them.

A space says how many numbers a row of a value has. :data:`SPACES` is the one table of them; all
else asks a value, a state or a matrix for its space, and a layer's :class:`Sizes` for the number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Space:
    """A row of the table: each space is one object.

    ``name`` stands for it in the text of a step, and for the number of its units in tables of
    arguments; ``units`` is what these are, in messages; ``option`` is the argument by which a
    module is told how many there are, unless they are a ``fixed`` number.
    """

    name: str
    units: str
    option: str
    fixed: int = 0

    def __repr__(self) -> str:
        return f"<{self.units}>"

    @property
    def padded(self) -> str:
        """The name of the number of its units rounded up to whole tiles."""
        return f"{self.name}p"

    @property
    def slice(self) -> str:
        """The name of the number of units of a slice, where rows are cut by units."""
        return f"{self.name}s"

    @property
    def stored(self) -> Space:
        """The space of memory for its values: one number is repeated for every hidden unit."""
        return HIDDEN if self is ONE else self


INPUT = Space("I", "features of the input", "input_size")
HIDDEN = Space("H", "hidden units", "hidden_size")
PROJECTED = Space("P", "units of the projected state", "proj_size")
ONE = Space("", "one number", "", 1)

#: Rows of memory that hold values of any of these: as long as the longest.
LONGEST = Space("W", "numbers", "")

#: All spaces of values by their names.
SPACES = {space.name: space for space in (INPUT, HIDDEN, PROJECTED, ONE)}


_sized: dict[int, Space] = {}


def sized(units: int | str) -> Space:
    """The space of values with so many units in every layer, or as many as a module's option
    says."""
    if isinstance(units, str):
        return next(space for space in SPACES.values() if space.option == units)
    return _sized.setdefault(units, Space(f"S{units}", f"{units} units", "", units))


def space_of(name: str) -> Space:
    """The space of a name. Raises ValueError if there is none."""
    if name in SPACES:
        return SPACES[name]
    if not name.startswith("S") or str(int(name[1:])) != name[1:]:
        raise ValueError(f"{name!r} is no space")
    return sized(int(name[1:]))


def first_space(projection: str) -> Space:
    """The space of the first state of a cell, which may name a projection."""
    return PROJECTED if projection else HIDDEN


class Sizes(dict[Space, int]):
    """How many units each space has in one layer and direction."""

    def __missing__(self, space: Space) -> int:
        if not space.fixed:
            raise KeyError(space)
        return space.fixed

    @staticmethod
    def of(module: Any) -> Sizes:
        """Those that a module, or whatever has its ``input_size`` and so on, was made for."""
        spaces = (space for space in SPACES.values() if space.option)
        return Sizes({space: getattr(module, space.option) for space in spaces})

    def with_input(self, width: int) -> Sizes:
        """The same for an input of another width."""
        return Sizes({**self, INPUT: width})

    @property
    def width(self) -> int:
        """Features of the input."""
        return self[INPUT]

    @property
    def units(self) -> int:
        """Hidden units."""
        return self[HIDDEN]


_MASK = re.compile(r"[01]+(/[01]+)*")


def mask_text(given: Any) -> str:
    """A mask as a step's text has it: ``"10/11"``, a word for each part of the rows. It may be
    anything 2-D: lists, an array, a tensor.

    Raises:
        ValueError: what is no such mask.
    """
    text = given
    if not isinstance(given, str):
        try:
            grid = np.asarray(given) != 0
        except ValueError:  # rows of different lengths
            grid = np.empty(0)
        rows = grid if grid.ndim == 2 else []
        text = "/".join("".join("01"[int(kept)] for kept in row) for row in rows)
    if not _MASK.fullmatch(text) or len({len(row) for row in text.split("/")}) > 1:
        raise ValueError(
            "expected a 2-D mask, a row for each part of the matrix' rows and a column for each "
            f"part of its columns, got {given!r}"
        )
    return text


def mask_grid(mask: str) -> NDArray[np.bool_]:
    """What a mask keeps, ``(parts of the rows, parts of the columns)``; no mask keeps all."""
    return np.array([[kept == "1" for kept in row] for row in (mask or "1").split("/")])


@dataclass(frozen=True)
class Matrix:
    """What a formula knows by one name: a parameter, or one block of its rows, as a gate has.

    A bias and a learned vector are matrices of one column. A matrix of several ``heads`` is
    block-diagonal: a head's rows are applied to the columns of the same head, and only these are
    stored. A ``mask`` (:func:`mask_text`) cuts the block's rows and columns into equal parts, and
    says which rows are applied to which columns; the rest is stored, and counts as zero.
    """

    parameter: str
    rows: Space  # of a block
    columns: Space = ONE
    block: int = 0  # its place among the blocks of the parameter
    blocks: int = 1
    heads: int = 1
    mask: str = field(default="", repr=False)

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """The shape of the whole parameter."""
        rows = self.blocks * sizes[self.rows]
        if self.columns is ONE:
            return (rows,)
        columns = sizes[self.columns]
        return rows, columns if self.heads == 1 else columns // self.heads

    def first(self, sizes: Sizes) -> int:
        """Which of the parameter's rows is its first."""
        return self.block * sizes[self.rows]

    def of(self, parameter: Any, sizes: Sizes) -> Any:
        """Its rows of the parameter's tensor; RuntimeError for one whose memory was freed."""
        return parameter[self.first(sizes) : self.first(sizes) + sizes[self.rows]]
