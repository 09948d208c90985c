"""A layer of an affine step where no kernel runs: parallel over time, by PyTorch operations.

The reference launches operations for each step. Here a scan halves time again and again, since two
steps are one step with other factors and terms; so it launches a few for each halving. All else is
computed for all steps at once. The order of the sums up to a step depends on its number alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from .. import reference
from ..batch import LayerArgs, inputs_of, without_masks
from ..expr import Node
from ..rows import Rows
from ..step import Step
from .affine import affine
from .select import any_autocast, is_reference, onlooker

#: Shorter calls take as long one step after another, or less.
LEAST_STEPS = 8
Place = tuple[int, int]  # of a factor: the number of the new state, and of the one before
Factors = Mapping[Place, Tensor]


def hindrance(step: Step) -> str:
    """Why a layer that no kernel runs takes one step after another, in words; empty if not."""
    if is_reference():
        return "set_path('reference')"
    return onlooker() or affine(step)[1]


def run_parallel(step: Step, rows: Rows, given: LayerArgs) -> tuple[Tensor, list[Tensor]]:
    """What :func:`.reference.layer` computes of an affine step, for rows of one length."""
    if any_autocast():
        with torch.autocast(given.x.device.type, enabled=False):
            return run_parallel(step, rows, given)
    step, given = without_masks(step, given)
    reference.check_alike(given)
    every = [_run_way(step, rows, given, d) for d in range(len(given.weights))]
    outputs, finals = ([*zip(*parts, strict=True)] for parts in zip(*every, strict=True))
    first, *further = (p[0] if len(p) == 1 else torch.cat(p, -1) for p in outputs)
    return first, [*map(torch.stack, finals), *further]


def _run_way(
    step: Step, rows: Rows, given: LayerArgs, way: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs and the final states of one direction."""
    weights = given.weights[way]
    tensors = [given.x, *inputs_of(step, given.inputs, way, len(given.weights))]
    x, *inputs = (t.flip(0) if way else t for t in tensors)
    sizes = weights.sizes(step)
    initial = {
        name: x.new_zeros(rows.B, sizes[step.space(name)]) if h is None else h[way]
        for name, h in zip(step.states, given.initial, strict=True)
    }
    fixed = reference.constants(step, x, weights)
    now = None if weights.w_ih is None else linear(x, weights.w_ih, weights.b_ih)
    given_leaf = reference.leaf_values(step, fixed, now, inputs, x)
    states: dict[str, Tensor] = {}  # after every step

    def leaf(of: Node, operands: list[Any]) -> Any:
        if of.op == "state":
            return torch.cat([initial[of.attr][None], states[of.attr][:-1]])
        return given_leaf(of, operands)

    known: dict[Node, Any] = {}
    parts, _ = affine(step)
    if parts:
        names, (space, *_) = [*parts], map(step.space, parts)
        each = enumerate(parts.values())
        asked = {(i, names.index(s)): f for i, part in each for s, f in part.factors.items()}
        roots = [*asked.values(), *(part.term for part in parts.values())]
        found = reference.evaluate(roots, leaf, x, known)
        values = [v.expand(rows.T, rows.B, sizes[space]) for v in found]
        factors, terms = dict(zip(asked, values, strict=False)), values[len(asked) :]
        every = scan(factors, terms, [initial[name] for name in names])
        states.update(zip(names, every, strict=True))
    for name, after in states.items():
        known.setdefault(step.new[step.states.index(name)], after)
    like = [x.new_empty(()).expand(rows.T, rows.B, sizes[step.space(s)]) for s in step.states]
    values = reference.evaluate([*step.new, *step.outputs.values()], leaf, x, known)
    outputs, new = reference.in_form(step, fixed, values, like)
    # Copies: callers may change results in place that the gradient reads.
    return [v.flip(0) if way else v.clone() for v in outputs], [v[-1] for v in new]


def scan(
    factors: Factors, terms: Sequence[Tensor], initial: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The states at every step of ``state[i] = sum over j of factors[i, j] * state[j] + terms[i]``.

    Factors and terms are ``(T, B, H)``, the ``initial`` states ``(B, H)``.
    """
    found: tuple[Tensor, ...] = _Scan.apply((*factors,), *factors.values(), *terms, *initial)
    return found


class _Scan(torch.autograd.Function):
    """:func:`scan`. Its gradient is a scan of the transposed factors, the last step first."""

    @staticmethod
    def forward(ctx: Any, places: tuple[Place, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.places = places
        factors, terms, initial = _apart(places, tensors)
        first = [t[:1] for t in terms]
        for (i, j), f in factors.items():
            first[i] = first[i] + f[:1] * initial[j]
        begun = [torch.cat([a, t[1:]]) for a, t in zip(first, terms, strict=True)]
        states = _halve(factors, begun)
        ctx.save_for_backward(*factors.values(), *initial, *states)
        return (*states,)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        factors, initial, states = _apart(ctx.places, ctx.saved_tensors)
        # The gradient of a step comes from the step after it, times that one's factors.
        after = {(j, i): f.roll(-1, 0).flip(0) for (i, j), f in factors.items()}
        zeros = [torch.zeros_like(h) for h in initial]
        found = [g.flip(0) for g in scan(after, [g.flip(0) for g in gradients], zeros)]
        before = [torch.cat([h[None], s[:-1]]) for h, s in zip(initial, states, strict=True)]
        of_factors = [found[i] * before[j] for i, j in factors]
        for (i, j), f in factors.items():
            zeros[j] = zeros[j] + f[0] * found[i][0]
        return None, *of_factors, *found, *zeros


def _apart(
    places: Sequence[Place], tensors: Sequence[Tensor]
) -> tuple[Factors, Sequence[Tensor], Sequence[Tensor]]:
    """The factors, and both halves of what follows them."""
    rest = tensors[len(places) :]
    half = len(rest) // 2
    return dict(zip(places, tensors, strict=False)), rest[:half], rest[half:]


def _halve(factors: Factors, terms: Sequence[Tensor]) -> list[Tensor]:
    """The states at every step, from zeros: those of odd steps by pairs of steps, then the others.

    The factors of the first step count for nothing.
    """
    T = terms[0].shape[0]
    if T == 1:
        return [*terms]
    even = {place: f[: T - 1 : 2] for place, f in factors.items()}
    odd = {place: f[1::2] for place, f in factors.items()}
    both: dict[Place, Tensor] = {}
    for (i, j), f in odd.items():
        for (k, n), g in even.items():
            if j == k:
                product = f * g
                both[i, n] = both[i, n] + product if (i, n) in both else product
    of_odd = _halve(both, _advanced(odd, [t[1::2] for t in terms], [t[: T - 1 : 2] for t in terms]))
    later = {place: f[2::2] for place, f in factors.items()}
    before = [s[: (T - 1) // 2] for s in of_odd]
    of_even = _advanced(later, [t[2::2] for t in terms], before)
    made = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in terms]
    for goal, term, some, others in zip(made, terms, of_odd, of_even, strict=True):
        goal[0], goal[1::2], goal[2::2] = term[0], some, others
    return made


def _advanced(factors: Factors, terms: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
    """One step of as many states as there are."""
    found = [*terms]
    for (i, j), f in factors.items():
        found[i] = found[i] + f * states[j]
    return found
