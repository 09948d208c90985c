"""All that is decided about a step before any code is written, in one object."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from ..expr import PRODUCTS, Node, node, walk, with_args
from ..spaces import Matrix
from ..step import Step
from .gradient import Backward, differentiate
from .graph import GIVEN, Program, Store, choose_saved, cut, fold


@dataclass(frozen=True)
class Plan:
    """The programs of a step and what passes between them.

    The numbering of ``columns``, ``saved`` and ``gate_gradients`` is the layout of the buffers: one
    column of ``H`` units for each (``Step.row``).
    """

    step: Step
    infer: Program  # forward, nothing kept
    train: Program  # forward, keeping what the backward pass reads
    backward: Program
    columns: tuple[Node, ...]  # projected inputs: leaves x and xb
    products: tuple[Node, ...]  # forward products, as in the graph before folding
    saved: tuple[Node, ...]
    saved_states: tuple[str, ...]  # kept for the backward pass: those that it reads
    read_outputs: tuple[str, ...]  # but for these, which are outputs too
    reached: dict[Node, str]  # the values that are new states
    #: At gates and products, written at every step; and what transposed matrices are applied to.
    gate_gradients: tuple[Node, ...]
    input_columns: dict[str, int]  # of them, by gate: that of its projected input
    raw_columns: tuple[int, ...]  # those that are gradients of the input itself
    #: By what has a gradient, the products that it is a sum of: a gate's gradient, and what the
    #: weight was applied to; None is the input, and what belongs to a bias or vector is not read.
    #: Of a transposed matrix they change places.
    gradients: dict[Matrix, list[tuple[int, Node | None]]]
    operands: tuple[Node, ...]  # all that is read of these, but the input
    tied: bool  # whether the step applies a transposed matrix
    inputs: tuple[str, ...]  # further inputs that have a gradient

    @property
    def reads_output(self) -> bool:
        """Whether the backward pass reads the first output."""
        return next(iter(self.step.outputs)) in self.read_outputs

    @property
    def kept_outputs(self) -> tuple[str, ...]:
        """The further outputs that are kept for the backward pass: from the first on that it reads,
        which are the last results of a call."""
        further = [*self.step.outputs][1:]
        read = [i for i, name in enumerate(further) if name in self.read_outputs]
        return tuple(further[read[0] :]) if read else ()

    @property
    def has_dx(self) -> bool:
        """Whether there is a gradient of the input."""
        return bool(self.input_columns or self.raw_columns)

    @property
    def plain(self) -> bool:
        """Whether its matrices may be multiplied as they lie."""
        return self.step.heads == 1 and not self.step.masks and not self.tied

    @functools.cached_property
    def complete(self) -> bool:
        """Whether the backward pass writes the gradients of all that the step reads."""
        every = {*self.step.blocks.values()}, {*self.step.given_inputs}
        whole = self.has_dx and not self.step.masks
        return whole and every == ({*self.gradients}, {*self.inputs})

    @property
    def key(self) -> str:
        """All that the kernels are made from: the rest follows from it."""
        return self.step.text


@functools.lru_cache(maxsize=256)
def plan_of(step: Step) -> Plan:
    """Decides what a step's kernels compute, keep and write."""
    gradient = differentiate(step)
    products = tuple(n for n in gradient.weights if n.op in PRODUCTS)
    transposed = [n for n in products if n.op == "product_t"]
    applied = [n.args[0] for n in transposed]
    gates = tuple(dict.fromkeys([*gradient.weights.values(), *applied, *gradient.raw.values()]))
    roots = [*gradient.state.values(), *gradient.input.values(), *gates]
    untransposed = [n.args[0] for n in products if n.op == "product"]
    values = dict.fromkeys(n for n in untransposed if n.op != "raw")
    operands = tuple(dict.fromkeys([*values, *(gradient.weights[n] for n in transposed)]))

    states = _states(step)
    saved = choose_saved(_read_by(roots), {*states})
    saved |= {o for o in values if o.op != "state" and o not in states}
    # The same in every process, as one may have stored the forward pass and another the backward
    # pass: values of the gradient alone are in no order of the step.
    order = {n: i for i, n in enumerate(walk([*step.new, *step.outputs.values(), *roots]))}
    kept = tuple(sorted(saved - {*states}, key=order.__getitem__))

    read_back = {n: node("saved", attr=i, space=n.space) for i, n in enumerate(kept)}
    read_back |= {
        n: node("new", attr=s, space=step.space(s)) for n, s in states.items() if n.op not in GIVEN
    }
    done: dict[Node, Node] = {}
    for old in walk(roots):
        kept_value = read_back.get(old)
        args = (done[a] for a in old.args)
        done[old] = with_args(old, *args) if kept_value is None else kept_value
    read = {(n.op, n.attr) for n in walk(done[r] for r in roots)}
    read_states = tuple(
        s
        for s in step.states
        if ("state", s) in read
        or ("new", s) in read
        or node("state", attr=s, space=step.space(s)) in values
        or s in (states.get(v) for v in values)
    )
    saved_states = tuple(s for s in read_states if s not in step.outputs)

    results = dict.fromkeys([*step.new, *step.outputs.values()])
    folded = fold([*results, *kept])
    new = [folded[n] for n in step.new]
    pairs = [(n, s, step.space(s)) for n, s in zip(new, step.states, strict=True)]
    stores = [Store(n, "state", s, space) for n, s, space in pairs]
    stores += [Store(folded[n], "output", o, step.space(o)) for o, n in step.outputs.items()]
    keep = [Store(n, "saved_state", s, space) for n, s, space in pairs if s in saved_states]
    keep += [Store(folded[n], "saved", i) for i, n in enumerate(kept)]
    infer, train = cut(stores), cut(stores + keep)

    turned = fold(done[r] for r in roots)
    back = [Store(turned[done[g]], "state", s, step.space(s)) for s, g in gradient.state.items()]
    back += [Store(turned[done[g]], "gate", i) for i, g in enumerate(gates)]
    given = [(turned[done[g]], s, step.input_space(s)) for s, g in gradient.input.items()]
    back += [Store(g, "input", s, space.stored) for g, s, space in given]
    backward = cut(back)

    columns = tuple(n for n in walk(folded[n] for n in [*results, *kept]) if n.op in ("x", "xb"))
    return Plan(
        step=step,
        infer=infer,
        train=train,
        backward=backward,
        columns=columns,
        products=products,
        saved=kept,
        saved_states=saved_states,
        read_outputs=tuple(o for o in step.outputs if o in read_states),
        reached=states,
        gate_gradients=gates,
        raw_columns=tuple(gates.index(g) for g in gradient.raw.values()),
        input_columns={gate: gates.index(g) for gate, g in gradient.x.items()},
        gradients=_of_weights(step, gradient, gates),
        operands=operands,
        tied=bool(transposed),
        inputs=tuple(gradient.input),
    )


def _states(step: Step) -> dict[Node, str]:
    """The values that are new states; one whose gradient is clipped is the same number."""
    found: dict[Node, str] = {}
    for name, new in zip(step.states, step.new, strict=True):
        found[new] = name
        if new.op == "clip_gradient":
            found.setdefault(new.args[0], name)
    return found


def _of_weights(
    step: Step, gradient: Backward, gates: Sequence[Node]
) -> dict[Matrix, list[tuple[int, Node | None]]]:
    """What ``Plan.gradients`` says."""
    found: dict[Matrix, list[tuple[int, Node | None]]] = {}

    for n, g in gradient.weights.items():
        term: tuple[int, Node | None] = gates.index(g), None
        if n.op == "product" and n.args[0].op != "raw":
            term = gates.index(g), n.args[0]
        if n.op == "product_t":
            term = gates.index(n.args[0]), g
        kinds = {"x": ("x", "bias_ih"), "product_t": ("product",)}.get(n.op, (n.op,))
        for kind in kinds:
            found.setdefault(step.blocks[kind, n.attr], []).append(term)
    return found


def _read_by(roots: list[Node]) -> list[Node]:
    """The values of the forward step that the gradient's nodes read."""
    backward: set[Node] = set()
    read: dict[Node, None] = {}
    for current in walk(roots):
        if current.op in ("carry", "gout") or any(a in backward for a in current.args):
            backward.add(current)
            read.update(dict.fromkeys(a for a in current.args if a not in backward))
    read.update(dict.fromkeys(r for r in roots if r not in backward))
    return list(read)


def products_of(program: Program) -> tuple[Node, ...]:
    """The products of a program, stage after stage: the order of their packed panels."""
    return tuple(p for stage in program.stages for p in stage.products)


def product_groups_of(program: Program) -> tuple[tuple[Node, ...], ...]:
    """The products of a program that run together."""
    return tuple(group for stage in program.stages for group in stage.product_groups)


def operands_of(program: Program) -> tuple[Node, ...]:
    """What the products of a program multiply with matrices, each once."""
    return tuple(dict.fromkeys(p.args[0] for p in products_of(program)))


def reductions_of(program: Program) -> tuple[Node, ...]:
    """The reductions of a program, stage after stage."""
    return tuple(n for stage in program.stages for n in stage.reductions)
