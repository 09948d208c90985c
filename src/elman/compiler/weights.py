"""The tables of the weights' gradients: what is summed up, and which gradients the sums are."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..spaces import ONE, Sizes, mask_grid
from .masked import runs_of
from .outer import JOB, lists
from .plan import Plan
from .tile import odd


class Sums(NamedTuple):
    """What a part of the batch sums up, see ``outer``.

    The tables lack the addresses of gradients: where in them they go, each with the number of a
    parameter and an offset in elements.
    """

    operands: array[int]
    jobs: array[int]
    places_in_jobs: list[tuple[int, int, int]]
    goals: array[int]
    places_in_goals: list[tuple[int, int, int]]
    matrices: int  # of the jobs
    size: int  # elements of the sums of a part
    apart: int  # elements of a row's gradients, if rows have their own
    width: int  # elements of a row of the panel

    @property
    def tasks(self) -> int:
        """How many jobs there are."""
        return len(self.jobs) // len(JOB)


class _Matrix(NamedTuple):
    """The gradient at a gate's rows of a parameter, or at all of them."""

    name: str
    offset: int  # of its first element
    rows: int
    units: int  # of a row
    of_list: int  # units of the list of rows
    terms: list[tuple[int, int]]  # products in it: gate, list of rows
    row: int = 0  # of the gate's, its first
    unit: int = 0  # of the list's, its first
    stride: int = 0  # from row to row, if other elements lie between


class _Panel:
    """Lists of rows side by side, so that one product does several of them: a list begins where
    the one before has ended, if that makes vectors fewer."""

    def __init__(self, lanes: int, lists: dict[int, tuple[int, int]]) -> None:
        self.lanes, self.lists = lanes, lists  # of each list stride and units
        #: The input comes second: what else a gate may be applied to is next to it.
        self.order = sorted(lists, key=lambda n: n or 1.5)
        self.at: dict[int, int] = {}
        self.end = 0

    def place(self, sets: Sequence[set[int]], apart: set[int]) -> None:
        """Finds a place for each list, those ``apart`` in vectors of their own; each of the sets is
        multiplied with the gradients of the same gate."""
        for n in self.order:
            aligned = self.up(self.end)
            starts = [aligned] if n in apart else [aligned, self.end]

            def vectors(start: int, n: int = n) -> int:
                self.at[n] = start
                return sum(self.span(run)[1] for mine in sets for run in self.runs(mine))

            self.at[n] = min(starts, key=vectors)
            self.end = self.at[n] + self.lists[n][1]

    def runs(self, lists: set[int]) -> list[list[int]]:
        """Those of the lists that have a place, cut where they are not neighbours."""
        found, before = list[list[int]](), -1
        for i, n in enumerate(self.order):
            if n in lists and n in self.at:
                if before < 0 or before + 1 < i:
                    found.append([])
                found[-1].append(n)
                before = i
        return found

    def span(self, run: list[int], more: int = 0) -> tuple[int, int, int]:
        """Of lists that are neighbours, and so many units ``more``, in whole vectors: the first
        unit, how many, and how many of these there are."""
        first = self.at[run[0]] // self.lanes * self.lanes
        units = self.at[run[-1]] + self.lists[run[-1]][1] + more - first
        return first, self.up(units), units

    def up(self, units: int) -> int:
        return -(-units // self.lanes) * self.lanes

    @property
    def has_room(self) -> bool:
        """Whether there is room for one unit more."""
        return self.end % self.lanes > 0

    @property
    def width(self) -> int:
        """Of a row, in elements; the last vector is no list's."""
        return odd(self.end + 1 + self.lanes, self.lanes)

    def operands(self, ones: bool) -> array[int]:
        """What lies side by side in it; also ones behind the lists."""
        found = array("q")
        for n in self.order:
            (stride, units), at = self.lists[n], self.at[n]
            found.extend((n, stride, units, at, self.up(at + units) - at))
        if ones:
            found.extend((-1, 1, 1, self.end, 1))
        return found


class _Tables:
    """The tables under construction."""

    def __init__(self, parameters: Sequence[str], apart: Sequence[int], strides: bool) -> None:
        self.parameters, self.apart, self.strides = list(parameters), apart, strides
        self.jobs: list[tuple[tuple[int, ...], tuple[str, int] | None]] = []
        self.goals, self.places = array("q"), list[tuple[int, int, int]]()
        self.end = 0

    def job(self, *numbers: int, goal: tuple[str, int] | None = None) -> None:
        self.jobs.append((numbers, goal))

    def goal(self, name: str, offset: int, *numbers: int, stride: int = 0) -> None:
        number, (*_, units, _) = self.parameters.index(name), numbers
        self.places.append((len(self.goals), number, offset))
        self.goals.extend((0, *numbers, self.apart[number], *[stride or units] * self.strides))

    def of_jobs(self) -> tuple[array[int], list[tuple[int, int, int]]]:
        """The table of the jobs, each told whether it is the first of its sum, and the places of
        the gradients that are sums themselves."""
        table, begun, places = array("q"), set[object](), list[tuple[int, int, int]]()
        for numbers, goal in self.jobs:
            number = self.parameters.index(goal[0]) if goal else 0
            apart = self.apart[number] if goal else 0
            table.extend((*numbers, (numbers[0], goal) not in begun, apart, 0))
            begun.add((numbers[0], goal))
            if goal is not None:
                places.append((len(table) - 1, number, goal[1]))
        return table, places


def sums_of_weights(
    plan: Plan,
    asked: Sequence[bool],
    x_stride: int,
    sizes: Sizes,
    padded: int,
    lanes: int,
    direct: bool,
    apart: Sequence[int],
) -> Sums:
    """The sums for those of the parameters that are asked for. ``padded`` are the units of a row in
    whole tiles. With ``direct`` sums may be gradients.
    ``apart``: elements from each parameter's gradient for one row to that for the next; 0 if all
    rows have one."""
    step, units = plan.step, plan.step.row_units(sizes)
    wanted = dict(zip(step.parameters, asked, strict=True))
    matrices = [m for m in _matrices(plan, sizes) if wanted[m.name] and m.rows * m.units]
    used = {n: (1 if n else x_stride, m.of_list) for m in matrices for _, n in m.terms}
    alone = [m for m in matrices if direct or len(m.terms) > 1 or m.units < m.of_list or m.stride]
    columns: dict[int, dict[int, list[_Matrix]]] = {}  # by gate and list
    for m in matrices:
        if m not in alone:
            column, n = m.terms[0]
            columns.setdefault(column, {}).setdefault(n, []).append(m)
    panel, tables = _Panel(lanes, used), _Tables(step.parameters, apart, bool(step.masks))
    panel.place([set(mine) for mine in columns.values()], {n for m in alone for _, n in m.terms})
    vectors: dict[int, list[tuple[str, int, int]]] = {}  # by gate: name, first, how many
    for block, terms in plan.gradients.items():
        if block.columns is ONE and wanted[block.parameter]:
            [(column, _)] = terms
            many = sizes[block.rows]
            vectors.setdefault(column, []).append((block.parameter, block.first(sizes), many))

    for m in alone:
        whole = panel.up(m.units)
        itself = (m.name, m.offset) if direct and whole == m.units and not m.stride else None
        for column, n in m.terms:
            at = panel.at[n] + m.unit
            tables.job(tables.end, m.rows, column, m.row, at, m.units, whole, goal=itself)
        if itself is None:
            tables.goal(m.name, m.offset, tables.end, m.rows, m.units, whole, stride=m.stride)
            tables.end += m.rows * whole
    summed = not direct and panel.has_room  # vectors, in a column of ones behind the lists
    for column, mine in columns.items():
        for run in panel.runs(set(mine)):
            of_one = vectors.pop(column, []) if summed and run[-1] == panel.order[-1] else []
            first, whole, there = panel.span(run, bool(of_one))
            rows = mine[run[0]][0].rows
            tables.job(tables.end, rows, column, 0, first, there, whole)
            for m in (m for n in run for m in mine[n]):
                begin = tables.end + panel.at[m.terms[0][1]] - first
                tables.goal(m.name, m.offset, begin, rows, m.units, whole)
            for name, offset, many in of_one:
                tables.goal(name, offset, tables.end + panel.end - first, many, 1, whole)
            tables.end += rows * whole
    tables.jobs.sort(key=lambda job: job[0][JOB.index("column")])
    count = len(tables.jobs)
    for column, named in vectors.items():
        tables.job(tables.end, 1, column, 0, 0, units, padded)
        for name, offset, many in named:  # both biases may be the same sum
            tables.goal(name, offset, tables.end, 1, many, padded)
        tables.end += padded
    size = tables.end + lanes  # whole vectors are read of the last row
    goals = tables.goals, tables.places
    operands = panel.operands(summed)
    return Sums(operands, *tables.of_jobs(), *goals, count, size, sum(apart), panel.width)


def _matrices(plan: Plan, sizes: Sizes) -> Iterator[_Matrix]:
    operands = lists(plan)
    for block, terms in plan.gradients.items():
        if block.columns is not ONE:
            rows, columns = sizes[block.rows], sizes[block.columns]
            products = [(column, operands.index(operand)) for column, operand in terms]
            first, name = block.first(sizes), block.parameter
            if block.mask:
                grid = mask_grid(block.mask)
                rows, part = rows // len(grid), columns // grid.shape[1]
                for row, kept in enumerate(grid):
                    for start, stop in runs_of(kept):
                        at, own = start * part, (stop - start) * part
                        offset = (first + row * rows) * columns + at
                        of = rows, own, columns, products, row * rows, at, columns
                        yield _Matrix(name, offset, *of)
                continue
            rows, own = rows // block.heads, columns // block.heads
            for head in range(block.heads):
                at, row = head * own, head * rows
                yield _Matrix(name, (first + row) * own, rows, own, columns, products, row, at)
