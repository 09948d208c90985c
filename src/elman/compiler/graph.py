"""The graph of a step made ready for kernels: what is saved, what is folded, in what stages.

A product needs whole rows of its operand, and so does a reduction over the units: a step falls
into stages, each the products and reductions whose operands are ready, then the pointwise work up
to the next. RNN, LSTM and GRU have one stage forward; a reset before the product makes it two.
Nothing else tells cells apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..expr import PRIMITIVES, PRODUCTS, Node, node, walk, with_args
from ..reductions import REDUCTIONS
from ..spaces import ONE, Space

OF_ROWS = (*PRODUCTS, *REDUCTIONS)  # what needs whole rows of its operand
#: Leaves that the backward pass reads where the forward pass did.
GIVEN = ("state", "input", "raw", "random", "vector", "const", "unit", "units")
#: Leaves that lie in a row of memory of their own, where products and reductions can read them.
IN_ROWS = ("state", "carry", "x")


def choose_saved(needed: Iterable[Node], available: set[Node]) -> set[Node]:
    """Which forward values to keep for the backward pass, given those it reads.

    A value is kept if computing it again would need a product, a transcendental function or
    more than one kept value; cheap functions of kept values are computed again.
    """
    needed = list(needed)
    sources: dict[Node, frozenset[Node]] = {}  # by value: the values to keep so that it can be had
    for value in walk(needed):
        if value in available or value.op in GIVEN:
            sources[value] = frozenset()
        elif value.op not in PRIMITIVES:
            sources[value] = frozenset([value])
        else:
            below = frozenset[Node]().union(*(sources[a] for a in value.args))
            primitive = PRIMITIVES[value.op]
            again = (not primitive.costly and len(below) <= 1) or primitive.mask or not below
            sources[value] = below if again else frozenset([value])
    return set().union(*(sources[value] for value in needed))


def fold(roots: Iterable[Node]) -> dict[Node, Node]:
    """Every node mapped to its form with additions folded into products.

    A product has an optional second argument, the value its accumulators start from: a bias, a
    projected input, another product of the same place. ``xb.(gate, bias)`` is a projected input
    that also holds a recurrent bias. Only products that are used once are folded.
    """
    roots = list(roots)
    uses = Counter(a for n in walk(roots) for a in n.args)
    uses.update(roots)
    done: dict[Node, Node] = {}
    for old in walk(roots):
        new = with_args(old, *(done[a] for a in old.args))
        if old.op == "add":
            a, b = old.args
            for started in (_started(done, uses, a, b), _started(done, uses, b, a)):
                if started is not None:
                    new = started
                    break
        done[old] = new
    return done


def _started(done: dict[Node, Node], uses: Counter[Node], p: Node, start: Node) -> Node | None:
    """``start + p`` as the product ``p`` begun from ``start``, if that can be."""
    product, value = done[p], done[start]
    if product.op not in PRODUCTS or uses[p] != 1:
        return None
    operand, *begun = product.args
    if not begun:
        if value.op in ("x", "bias") or (value.op in PRODUCTS and uses[start] == 1):
            return with_args(product, operand, value)
    elif begun[0].op == "bias" and value.op == "x":
        both = node("xb", attr=(value.attr, begun[0].attr), space=value.space)
        return with_args(product, operand, both)
    return None


@dataclass(frozen=True)
class Store:
    """A value written by a stage: ``kind`` and ``name`` say where."""

    value: Node
    kind: str  # "state", "saved", "saved_state", "gate", "input", "output", "temporary"
    name: str | int
    into: Space | None = None  # the space of the place, where it isn't that of the value

    @property
    def space(self) -> Space:
        return self.into or self.value.space.stored


@dataclass(frozen=True)
class Stage:
    """Sums and products whose operands are ready, then pointwise work, then what is written."""

    reductions: tuple[Node, ...]
    products: tuple[Node, ...]
    stores: tuple[Store, ...]

    @property
    def product_groups(self) -> list[tuple[Node, ...]]:
        """The products that may run together: as many sums of the same length."""
        found: dict[tuple[Space, Space], list[Node]] = {}
        for product in self.products:
            found.setdefault((product.space, product.args[0].space), []).append(product)
        return [tuple(group) for group in found.values()]


@dataclass(frozen=True)
class Program:
    """A step cut into stages; ``temporaries`` are the values handed from one stage to a later, and
    reductions of heads, which are whole rows. ``fixed`` values are those of all steps."""

    stages: tuple[Stage, ...]
    temporaries: tuple[Node, ...]
    levels: dict[Node, int]
    fixed: tuple[Node, ...]


def _of_vectors(order: Iterable[Node], results: Iterable[Node]) -> tuple[Node, ...]:
    """The values that learned vectors alone decide, by a function or a division: the last of each,
    which others read or which are results."""
    decided: dict[Node, tuple[bool, bool]] = {}  # whether a vector has a part in it, and such work
    read = dict.fromkeys(results)
    for n in order:
        if n.op in ("vector", "const"):
            decided[n] = n.op == "vector", False
        elif n.op in PRIMITIVES and all(a in decided for a in n.args):
            parts = [decided[a] for a in n.args]
            works = PRIMITIVES[n.op].costly or n.op == "div" or any(w for _, w in parts)
            decided[n] = any(v for v, _ in parts), works
        else:
            read.update(dict.fromkeys(n.args))
    found = (n for n in read if decided.get(n) == (True, True))
    return tuple(n for n in found if not PRIMITIVES[n.op].mask)


def cut(stores: Iterable[Store]) -> Program:
    """The stages of a step, from what it writes."""
    stores = list(stores)
    order = list(walk(s.value for s in stores))
    levels: dict[Node, int] = {}
    temporaries: dict[Node, None] = {}
    fixed = _of_vectors(order, (s.value for s in stores))

    def computed_again(value: Node) -> bool:
        """Truth values, and numbers that count for all units, take no room in memory."""
        if value.op not in PRIMITIVES:
            return False
        return PRIMITIVES[value.op].mask or value.space is ONE or value in fixed

    for value in order:
        level = max((levels[a] for a in value.args), default=0)
        if value.op in OF_ROWS and value.args[0].op not in IN_ROWS:
            level = max(level, levels[value.args[0]] + 1)
            temporaries[value.args[0]] = None
        if value.op in REDUCTIONS and value.attr:
            temporaries[value] = None
        levels[value] = level

    for level in range(max(levels.values()) + 1):

        def earlier(value: Node, level: int = level) -> list[Node]:
            """The arguments that earlier stages compute."""
            mine = value.args[1:] if value.op in OF_ROWS else value.args
            return [a for a in mine if levels[a] < level and a.args and a.op not in REDUCTIONS]

        def again_here(value: Node) -> list[Node]:
            return [a for a in earlier(value) if computed_again(a)]

        for value in walk((v for v in order if levels[v] == level), again_here):
            temporaries.update(dict.fromkeys(a for a in earlier(value) if not computed_again(a)))
    everything = stores + [
        Store(v, "temporary", i) for i, v in enumerate(temporaries) if v.op not in REDUCTIONS
    ]
    stages = tuple(
        Stage(
            tuple(v for v in order if v.op in REDUCTIONS and levels[v] == level),
            tuple(v for v in order if v.op in PRODUCTS and levels[v] == level),
            tuple(s for s in everything if levels[s.value] == level),
        )
        for level in range(max(levels.values()) + 1)
    )
    return Program(stages, tuple(temporaries), levels, fixed)
