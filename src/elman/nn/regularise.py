"""The options that regularise a recurrence: their checks, and what they make of a traced step."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..cell import Cell
from ..expr import PRODUCTS, Node, node, walk, where, with_args
from ..functions import clamp, clip_gradient
from ..randoms import CANDIDATE, KEEP, NORMAL, OLD, Draw
from ..spaces import Space
from ..step import Step
from .messages import refusal

#: One for each state, or one for all.
Each = Any


class Regularisation(NamedTuple):
    """The options of :class:`elman.Recurrent` that regularise."""

    input_dropout: float = 0.0
    state_dropout: float = 0.0
    output_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: Each = 0.0
    state_noise: Each = 0.0
    state_clip: Each = None
    grad_clip: Each = None

    def check(self, owner: str, states: Sequence[str]) -> Regularisation:
        """The same with plain numbers, and tuples where states differ; raises for what are none."""
        found: dict[str, Any] = {}
        for name, value in self._asdict().items():
            several = isinstance(value, (tuple, list)) and name in _OF_STATES
            if several and len(value) != len(states):
                raise ValueError(
                    f"{owner}: expected {name} to be a number, or one for each of the states "
                    f"{tuple(states)}, got {len(value)}"
                )
            parts = [_check(owner, name, part) for part in (value if several else [value])]
            found[name] = tuple(parts) if len({*parts}) > 1 else parts[0]
        return Regularisation(**found)

    def given(self) -> dict[str, tuple[Any, Any]]:
        """By name each option and its default."""
        return {name: (getattr(self, name), d) for name, d in self._field_defaults.items()}


_OF_STATES = ("zoneout", "state_noise", "state_clip", "grad_clip")


def _check(owner: str, name: str, value: Any) -> float | None:
    """A number that an option may be."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name.endswith("clip"):
        if value is None or (number and value > 0):
            return None if value is None else float(value)
        raise ValueError(f"{owner}: expected {name} to be a number above 0 or None, got {value!r}")
    if name == "state_noise":
        if number and 0 <= value < math.inf:
            return float(value)
        raise ValueError(f"{owner}: expected {name} to be a number of at least 0, got {value!r}")
    if number and 0 <= value <= 1:
        return float(value)
    sentence = ""
    if name.endswith("dropout"):
        sentence = f"dropout probability has to be between 0 and 1, but got {value}"
    raise refusal(ValueError, sentence, owner, f"{name} between 0 and 1", repr(value))


class Drawn(NamedTuple):
    """The step of training, and in the order of its inputs the random values that it reads."""

    step: Step
    draws: tuple[tuple[Draw, Space], ...]


def evaluation(step: Step, options: Regularisation) -> Step:
    """The step of evaluation: what is random gives way to its expectation."""

    def ends(place: int, old: Node, new: Node) -> Node:
        p = _of_state(options.zoneout, place)
        bounded = _clipped(options, place, new)
        return _clip_gradient(options, place, old * p + bounded * (1 - p) if p else bounded)

    return _rewritten(step, ends)


def training(owner: str, cell: Cell, options: Regularisation) -> Drawn:
    """The step of training.

    Raises:
        ValueError: an option that finds nothing to act on in the formula.
    """
    step, draws = cell.trace_training(candidates=options.recurrent_dropout > 0)
    for name in step.randoms:
        draws.setdefault(name, Draw(KEEP, options.recurrent_dropout))  # those of candidates
    if options.recurrent_dropout and not any(n.startswith(CANDIDATE) for n in step.randoms):
        raise ValueError(
            f"{owner}: recurrent_dropout acts on the candidate of a gated cell, and the formula of "
            f"{cell!r} names none: mark it with self.candidate(value) in step()"
        )

    def random(name: str, draw: Draw, space: Space) -> Node:
        while name in step.inputs:
            name += "_"
        draws[name] = draw
        return node("random", attr=name, space=space)

    reads: set[Node] = set()
    masks: dict[Node, Node] = {}
    if options.state_dropout:
        draw = Draw(KEEP, options.state_dropout, "sequence")
        reads = _recurrent_reads(step)
        if not reads:
            raise ValueError(
                f"{owner}: state_dropout acts where weights meet a state, and the formula of "
                f"{cell!r} has no such place"
            )
        found = {f.attr: f for n in reads for f in _factors(n) if f.op == "state"}
        states = [found[name] for name in step.states if name in found]
        masks = {s: s * random(f"state_dropout_{s.attr}", draw, s.space) for s in states}

    def ends(place: int, old: Node, new: Node) -> Node:
        std, p = (_of_state(v, place) for v in (options.state_noise, options.zoneout))
        if std:
            new = new + random(f"state_noise_{old.attr}", Draw(NORMAL, std), old.space)
        new = _clipped(options, place, new)
        if p:
            new = where(random(f"zoneout_{old.attr}", Draw(OLD, p), old.space) > 0.5, old, new)
        return _clip_gradient(options, place, new)

    made = _rewritten(step, ends, reads, masks, draws)
    return Drawn(made, tuple((draws[name], made.randoms[name]) for name in draws))


def _recurrent_reads(step: Step) -> set[Node]:
    """Where weights meet a state: products of it, also where a gate is multiplied with it first;
    in a formula without any, vectors times it."""
    nodes = list(walk([*step.new, *step.full.outputs.values()]))
    products = {n for n in nodes if n.op in PRODUCTS and _reads_state(n)}
    vectors = {n for n in nodes if n.op == "mul" and any(a.op == "vector" for a in n.args)}
    return products or {n for n in vectors if any(a.op == "state" for a in n.args)}


def _reads_state(of: Node) -> bool:
    return any(factor.op == "state" for factor in _factors(of))


def _factors(of: Node) -> list[Node]:
    """The arguments of a node, and instead of those that are multiplications their factors."""
    return [f for a in of.args for f in (_factors(a) if a.op == "mul" else [a])]


def _masked(value: Node, masks: Mapping[Node, Node]) -> Node:
    """A value, or a multiplication, with masks on the states in it."""
    if value.op == "mul":
        return with_args(value, *(_masked(a, masks) for a in value.args))
    return masks.get(value, value)


def _rewritten(
    step: Step,
    ends: Callable[[int, Node, Node], Node],
    reads: Collection[Node] = (),
    masks: Mapping[Node, Node] = {},
    randoms: Iterable[str] = (),
) -> Step:
    """A step whose ``reads`` of states are masked, and whose states become what ``ends`` makes of
    their number, the state before and the new one."""
    done: dict[Node, Node] = {}
    for old in walk([*step.new, *step.full.outputs.values()]):
        args = [done[a] for a in old.args]
        done[old] = with_args(old, *([_masked(a, masks) for a in args] if old in reads else args))
    before = [node("state", attr=s, space=step.space(s)) for s in step.states]
    each = enumerate(zip(before, step.new, strict=True))
    new = tuple(ends(i, old, done[value]) for i, (old, value) in each)
    named = {n: done[v] for n, v in step.full.outputs.items() if n not in step.states}
    return Step.of(
        step.x_gates,
        step.u_gates,
        step.states,
        (*step.given_inputs, *randoms),
        step.matrices,
        step.vectors,
        step.projection,
        new,
        named=named,
        heads=step.heads,
        fixed=step.fixed,
        masks=step.masks,
    )


def _of_state(value: Each, place: int) -> Any:
    return value[place] if isinstance(value, tuple) else value


def _clipped(options: Regularisation, place: int, new: Node) -> Node:
    bound = _of_state(options.state_clip, place)
    return new if bound is None else clamp(new, -bound, bound)


def _clip_gradient(options: Regularisation, place: int, new: Node) -> Node:
    bound = _of_state(options.grad_clip, place)
    return new if bound is None else clip_gradient(new, bound)
