"""The tables of the weights' gradients: what is summed up, and which gradients the sums are."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .outer import JOB, lists
from .plan import Plan


class Sums(NamedTuple):
    """What a part of the batch sums up, see ``outer``.

    The tables lack the addresses of gradients: where in them they go, each with the number of a
    parameter and an offset in elements.
    """

    jobs: array[int]
    places_in_jobs: list[tuple[int, int, int]]
    goals: array[int]
    places_in_goals: list[tuple[int, int, int]]
    matrices: int  # of the jobs
    size: int  # elements of the sums of a part

    @property
    def tasks(self) -> int:
        """How many jobs there are."""
        return len(self.jobs) // len(JOB)


class _Matrix(NamedTuple):
    """The gradient at a gate's rows of a parameter, or at all of them."""

    name: str
    first: int  # the first of its rows
    rows: int
    units: int  # of a row
    padded: int
    terms: list[tuple[int, int, int]]  # products in it: column of z, list of rows, their stride


def sums_of_weights(
    plan: Plan,
    asked: Sequence[bool],
    x_stride: int,
    sizes: tuple[int, int, int],
    padded: tuple[int, int, int],
) -> Sums:
    """The sums for those of the parameters that are asked for. ``sizes`` are features of the input,
    units and projected units; then the same, padded."""
    step, units, whole = plan.step, sizes[1], padded[1]
    wanted = dict(zip(step.parameters, asked, strict=True))
    jobs: list[tuple[int, ...]] = []
    goals, places, end = array("q"), list[tuple[int, int, int]](), 0
    goal_of: dict[int, tuple[int, int]] = {}  # of a sum

    def goal(name: str, offset: int, begin: int, *numbers: int) -> None:
        number = step.parameters.index(name)
        goal_of[begin] = number, offset
        places.append((len(goals), number, offset))
        goals.extend((0, begin, *numbers))

    for m in _matrices(plan, x_stride, sizes, padded):
        if wanted[m.name] and m.rows * m.padded:
            jobs += [(end, m.rows, z, rows, by, m.units, m.padded) for z, rows, by in m.terms]
            goal(m.name, m.first * m.units, end, m.rows, m.units, m.padded)
            end += m.rows * m.padded
    jobs.sort(key=lambda job: job[JOB.index("list")])  # products with the same rows together
    matrices, begin_of = len(jobs), dict[int, int]()
    for name, first, z in _vectors(plan, units):
        if wanted[name]:
            if z not in begin_of:  # both biases may be the same sum
                begin_of[z] = end
                jobs.append((end, 1, z, 0, 0, units, whole))
                end += whole
            goal(name, first, begin_of[z], 1, units, whole)
    table, begun, of_jobs = array("q"), set[int](), list[tuple[int, int, int]]()
    for begin, *numbers in jobs:
        table.extend((begin, *numbers, begin not in begun, 0))
        of_jobs.append((len(table) - 1, *goal_of[begin]))
        begun.add(begin)
    return Sums(table, of_jobs, goals, places, matrices, end)


def _matrices(
    plan: Plan, x_stride: int, sizes: tuple[int, int, int], padded: tuple[int, int, int]
) -> Iterator[_Matrix]:
    step, (width, units, projected) = plan.step, sizes
    operands = lists(plan)
    size = {"H": (units, padded[1]), "P": (projected, padded[2])}
    for gate, z in plan.z_x.items():
        first = step.x_gates.index(gate) * units
        yield _Matrix("weight_ih", first, units, width, padded[0], [(z, 0, x_stride)])
    for factor in plan.factors:
        terms = [(z, operands.index(o), 1) for name, z, o in plan.z_product if name == factor]
        if factor in step.matrices:
            rows, columns = step.matrices[factor]
            yield _Matrix(f"weight_{factor}", 0, size[rows][0], *size[columns], terms)
        else:
            first = step.u_gates.index(factor) * units
            yield _Matrix("weight_hh", first, units, *size[step.output_space], terms)


def _vectors(plan: Plan, units: int) -> Iterator[tuple[str, int, int]]:
    """Parameter, first unit and column of z of biases and learned vectors."""
    step = plan.step
    for gate, z in plan.z_x.items():
        yield "bias_ih", step.x_gates.index(gate) * units, z
    for gate, z in plan.z_bias.items():
        yield "bias_hh", step.u_gates.index(gate) * units, z
    for name, z in plan.z_vector.items():
        yield f"weight_{name}", 0, z
