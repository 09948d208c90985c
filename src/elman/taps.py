"""Gradients of weights for each sample of a batch, from one backward pass over the whole batch.

A *tap* is a further input of a formula that is added to some value, and is zero. Nothing changes
by it, but the kernels write its gradient row by row, which is the gradient of that value. Values
where the gradients of weights begin get taps: results of products, projected inputs, biases and
vectors. What a sample gives to a weight is then a product of matrices over its steps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from . import reference
from .batch import Given, Weights
from .compiler.gradient import differentiate
from .expr import Node, again, apply, evaluate, node, walk
from .step import Step

_KNOWN = 64  # steps that are remembered
_BEGIN = ("x", "bias", "vector", "product")  # where gradients of weights do


class Tapped(NamedTuple):
    """A step with taps as its last inputs."""

    step: Step
    taps: int
    of: Mapping[Node, int]  # the tap of each leaf and product of the original step


@functools.lru_cache(_KNOWN)
def tapped(step: Step) -> Tapped | None:
    """A step with taps; None if what they multiply cannot be had from its output alone, or has
    another size than a further input."""
    order, gradients = list(walk(step.new)), differentiate(step).every
    begin = [n for n in order if n.op in _BEGIN and n in gradients]
    operands = walk(n.args[0] for n in begin if n.op == "product")
    states = {n.attr for n in operands if n.op == "state"}
    if not states <= {step.states[0]} or any(n.space != "H" for n in begin):
        return None
    wanted = dict.fromkeys(gradients[n] for n in begin)  # values that are added up have the same
    number = {gradient: i for i, gradient in enumerate(wanted)}
    last = {gradients[n]: n for n in order if gradients.get(n) in wanted and n.space == "H"}
    prefix = "tap"
    while any(name.startswith(prefix) for name in step.inputs):
        prefix += "_"
    done: dict[Node, Node] = {}
    for n in order:
        done[n] = again(n, *(done[a] for a in n.args))
        gradient = gradients.get(n)
        if gradient is not None and last.get(gradient) is n:
            tap = node("input", attr=f"{prefix}{number[gradient]}", space="H")
            done[n] = apply("add", done[n], tap)
    names = tuple(f"{prefix}{i}" for i in range(len(wanted)))
    new = tuple(done[n] for n in step.new)
    fields: tuple[Any, ...] = (step.x_gates, step.u_gates, step.states, (*step.inputs, *names))
    made = Step.of(*fields, step.matrices, step.vectors, step.projection, new)
    return Tapped(made, len(wanted), {n: number[gradients[n]] for n in begin})


class Samples(NamedTuple):
    """A folded batch: so many samples, each with its own rows side by side."""

    given: Given  # with the further inputs of the original step
    samples: int
    lengths: Tensor | None

    @property
    def rows(self) -> int:
        """Of each sample."""
        return self.given.x.shape[1] // self.samples

    def previous(self, step: Step, output: Tensor, d: int) -> Tensor:
        """The first state before every step, ``(T, B, P)``, from the output of a direction."""
        first = self.given.initial[0]
        before = output.new_zeros(output.shape[1:]) if first is None else first[d]
        if d == 0:
            return torch.cat([before[None], output[:-1]])
        shifted = torch.cat([output[1:], before[None]])
        if self.lengths is None:
            return shifted
        steps = torch.arange(len(output), device=output.device)[:, None]
        return torch.where((steps == self.lengths - 1)[:, :, None], before, shifted)

    def each(self, t: Tensor) -> Tensor:
        """Of ``(T, samples * B, F)`` the rows of each sample, ``(samples, T * B, F)``."""
        T, _, F = t.shape
        parts = t.view(T, self.samples, self.rows, F)
        return parts.transpose(0, 1).flatten(1, 2)


def weights(
    step: Step, of: Tapped, batch: Samples, outputs: Sequence[Tensor], taps: Sequence[Any]
) -> list[list[Tensor | None]]:
    """The gradients of each direction's weights for each sample, in the order of ``Weights``.

    ``outputs`` and ``taps`` hold those of each direction, the latter the gradients at the taps.
    """
    ways = zip(batch.given.weights, outputs, taps, strict=True)
    return [
        _direction(step, of, batch, mine, output, gradients, d)
        for d, (mine, output, gradients) in enumerate(ways)
    ]


def _direction(
    step: Step,
    of: Tapped,
    batch: Samples,
    mine: Weights,
    output: Tensor,
    taps: Sequence[Tensor],
    d: int,
) -> list[Tensor | None]:
    each = functools.cache(lambda i: batch.each(taps[i]))
    units, projected = mine.sizes(step)
    x = batch.each(batch.given.x)
    none = x.new_zeros(()).expand(*x.shape[:2], units)

    @functools.cache
    def beside(places: tuple[int | None, ...]) -> Tensor:
        parts = [none if i is None else each(i) for i in places]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def at(leaves: Sequence[Node | None]) -> Tensor:
        """The gradients at leaves or products, side by side; None for one that has none."""
        return beside(tuple(None if n is None else of.of[n] for n in leaves))

    def leaves(op: str, names: Iterable[str]) -> tuple[Node | None, ...]:
        found = {n.attr: n for n in of.of if n.op == op}
        return tuple(found.get(name) for name in names)

    products: dict[str, list[Node]] = {}
    for n in of.of:
        if n.op == "product":
            products.setdefault(n.attr, []).append(n)
    operands = list(dict.fromkeys(n.args[0] for each in products.values() for n in each))
    shifts = d == 0 or batch.lengths is None  # what was before is the output of another step
    others = [n for n in operands if n.op != "state" or not shifts]
    values = dict(zip(others, _values(step, batch, mine, output, others, d), strict=True))

    def times(gradient: Tensor, operand: Node) -> Tensor:
        """The sum over a sample's rows of each gradient times each operand."""
        if operand in values:
            return _outer(gradient, values[operand])
        after, before = slice(batch.rows, None), slice(None, -batch.rows)
        mine, theirs, first = (after, before, 0) if d == 0 else (before, after, -batch.rows)
        total = _outer(gradient[:, mine], batch.each(output)[:, theirs])
        initial = batch.given.initial[0]
        if initial is None:
            return total
        begin = initial[d].view(batch.samples, batch.rows, -1)
        return total + _outer(gradient[:, first:][:, : batch.rows], begin)

    def of_matrix(names: Sequence[str], columns: int) -> Tensor:
        """Rows of each name in turn."""
        if all(len(products.get(name, ())) == 1 for name in names):
            parts = [products[name][0] for name in names]
            if len({n.args[0] for n in parts}) == 1:
                return times(at(parts), parts[0].args[0])
        rows = []
        for name in names:
            total = x.new_zeros(batch.samples, units, columns)
            for n in products.get(name, ()):
                total = total + times(at([n]), n.args[0])
            rows.append(total)
        return torch.cat(rows, 1)

    of_x, of_bias = leaves("x", step.x_gates), leaves("bias", step.u_gates)
    size = {"H": units, "P": projected}
    return [
        None if mine.w_ih is None else _outer(at(of_x), x),
        None if mine.w_hh is None else of_matrix(step.u_gates, mine.w_hh.shape[1]),
        None if mine.b_ih is None else at(of_x).sum(1),
        None if mine.b_hh is None else at(of_bias).sum(1),
        *(of_matrix([name], size[columns]) for name, (_, columns) in step.matrices.items()),
        *(at(leaves("vector", [name])).sum(1) for name in step.vectors),
    ]


def _outer(gradient: Tensor, value: Tensor) -> Tensor:
    return torch.bmm(gradient.transpose(1, 2), value)


def _values(
    step: Step, batch: Samples, mine: Weights, output: Tensor, operands: Sequence[Node], d: int
) -> list[Tensor]:
    """What products are applied to, at all steps at once."""
    if not operands:
        return []
    before, x = batch.previous(step, output, d), batch.given.x
    fixed = reference.constants(step, x, mine)
    inputs = dict(zip(step.inputs, batch.given.inputs, strict=True))
    needed = any(n.op == "x" for n in walk(operands))
    every = linear(x, mine.w_ih, mine.b_ih) if mine.w_ih is not None and needed else None
    units = mine.sizes(step)[0]

    def leaf(n: Node, given: list[Any]) -> Any:
        if n.op == "product":
            return linear(given[0], fixed["product", n.attr])
        if n.op == "x":
            assert every is not None
            place = step.x_gates.index(n.attr)
            return every[..., place * units : (place + 1) * units]
        if n.op == "state":
            return before
        return inputs[n.attr] if n.op == "input" else fixed[n.op, n.attr]

    found = evaluate(operands, leaf, x)
    sizes = [n.space or "H" for n in operands]
    width = dict(zip("HP", mine.sizes(step), strict=True))
    shape = before.shape[:2]
    return [batch.each(v.expand(*shape, width[s])) for v, s in zip(found, sizes, strict=True)]
