"""A traced step, and the text of it that captured programs carry.

A program that was compiled, exported or saved names its formula by nothing but this text, so it
runs in any process that has imported elman. The text first has a line for each thing that the step
declares. Then it has a line for each operation, which reads earlier ones by their numbers. Last
are the new states, and the outputs unless the first state is the only one. Constants are
hexadecimal, so reading gives the same bits.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import FormulaError
from .expr import (
    PRIMITIVES,
    PRODUCTS,
    Node,
    check_kind,
    constant,
    is_mask,
    node,
    walk,
)
from .reductions import REDUCTIONS, heads_of, reduce, unit_of
from .spaces import (
    HIDDEN,
    INPUT,
    LONGEST,
    ONE,
    PROJECTED,
    Matrix,
    Sizes,
    Space,
    first_space,
    mask_grid,
    mask_text,
    sized,
    space_of,
)

_FAULTS = (ValueError, TypeError, SyntaxError, IndexError, ArithmeticError, RecursionError)
_KNOWN = 256  # texts whose steps are kept
_LINE = re.compile(r"(\w+) (None|'[^'\\]*') (\w*) (\[[\d, ]*\])")
_SIZES = re.compile(r"sizes (\{.+\})")
_MASKS = re.compile(r"masks (\{.+\})")
_UNIT = re.compile(r"-?\d+/[1-9]\d*")
_HEADS = re.compile(r"heads ([2-9]|[1-9]\d+)")
_LEAVES = ("x", "bias", "vector")
#: The blocks of parameters that a step reads, by the kind and the name of what reads them: a
#: ``product`` or one of ``_LEAVES``, as in the graph; ``bias_ih`` is part of an ``x``.
Blocks = Mapping[tuple[str, str], Matrix]


@dataclass(frozen=True, eq=False)
class Step:
    """A traced step: the names, and for each state the node of its new value.

    ``x_gates`` and ``u_gates`` are the gates that have rows in ``weight_ih`` and ``weight_hh``.
    ``matrices`` gives the spaces of a further matrix's rows and columns; the projection is one of
    them. All but the projection, and ``weight_hh``, are block-diagonal if there are several
    ``heads``. ``fixed`` gives states, inputs and vectors that have another number of units than the
    layer its number, or ``"input_size"``; ``masks`` are those of matrices, by their parameters.
    ``inputs`` are what a call gives at every step, random values among them.
    """

    x_gates: tuple[str, ...]
    u_gates: tuple[str, ...]
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    matrices: dict[str, tuple[Space, Space]]
    vectors: tuple[str, ...]
    projection: str
    new: tuple[Node, ...]
    outputs: Mapping[str, Node]  # given out at every step: states by their names, or other values;
    # the first one is what the layer above reads
    text: str  # see :func:`read`
    heads: int
    fixed: Mapping[str, int | str]
    masks: Mapping[str, str]
    name: str  # a digest of the text, by which a saved model tells formulas apart
    #: The names of all tensors in the order of ``batch.Weights``, whether the step has them or not.
    parameters: tuple[str, ...] = field(init=False)
    #: In the order of ``batch.LayerArgs`` the numbers of the first further input and weight.
    first_input: int = field(init=False)
    first_weight: int = field(init=False)
    #: The spaces of those inputs that are random values. They have no gradient, and each direction
    #: has its own: ``(T, B, D * H)`` for ``D`` directions.
    randoms: Mapping[str, Space] = field(init=False)
    blocks: Blocks = field(init=False)
    #: The spaces of values with units, the hidden ones first.
    spaces: tuple[Space, ...] = field(init=False)
    #: Those of which parameters say how many units they have, with the block whose rows do.
    measures: Mapping[Space, Matrix] = field(init=False)
    #: The units of a space are cut into heads, or into parts of a mask: the space, how many, and
    #: how many units each has at least.
    cuts: Sequence[tuple[Space, int, int]] = field(init=False)
    #: The leaves that are 1 for one unit of each head.
    chosen: Sequence[Node] = field(init=False)
    #: The numbers of the outputs in the order in which modules return them: that of the states,
    #: then of what the formula names besides.
    returned: tuple[int, ...] = field(init=False)
    #: The step that gives out all states, and what the formula names besides.
    full: Step = field(init=False)

    def __post_init__(self) -> None:
        more = [f"weight_{name}" for name in (*self.matrices, *self.vectors)]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *more)
        first = self.space(self.states[0])
        blocks = _blocks(
            *(self.x_gates, self.u_gates, self.matrices, self.vectors, first),
            *(self.projection, self.heads, self.fixed, self.masks),
        )
        object.__setattr__(self, "parameters", names)
        object.__setattr__(self, "first_input", 1 + len(self.states))
        object.__setattr__(self, "first_weight", self.first_input + len(self.inputs))
        outputs = [*self.outputs]
        order = dict.fromkeys([*(s for s in self.states if s in outputs), *outputs])
        object.__setattr__(self, "returned", tuple(map(outputs.index, order)))
        nodes = list(walk([*self.new, *self.outputs.values()]))
        spaces = dict.fromkeys(n.space for n in nodes if n.space is not ONE)
        found = {n.attr: n.space for n in nodes if n.op == "random"}
        randoms = {name: found[name] for name in self.inputs if name in found}
        cuts = {(n.space, heads_of(n), 1) for n in nodes if n.op in REDUCTIONS and n.attr}
        object.__setattr__(self, "chosen", tuple(n for n in nodes if n.op == "unit"))
        for leaf in self.chosen:
            index, heads = unit_of(leaf)
            cuts.add((leaf.space, heads, max(index + 1, -index)))
        for block in (block for block in blocks.values() if block.mask):
            parts = zip((block.rows, block.columns), mask_grid(block.mask).shape, strict=True)
            cuts |= {(space, count, 1) for space, count in parts if count > 1}
        object.__setattr__(self, "cuts", sorted(cuts, key=lambda cut: (cut[0].name, *cut[1:])))
        object.__setattr__(self, "randoms", randoms)
        object.__setattr__(self, "blocks", blocks)
        measures: dict[Space, Matrix] = {}
        for block in blocks.values():
            if block.rows is not ONE:
                measures.setdefault(block.rows, block)
        object.__setattr__(self, "measures", measures)
        every = *measures, *spaces, *map(self.space, self.states)
        object.__setattr__(self, "spaces", (*dict.fromkeys(every),))
        object.__setattr__(self, "full", self)

    @staticmethod
    def of(
        *fields: Any,
        outputs: Mapping[str, Node] | None = None,
        named: Mapping[str, Node] | None = None,
        heads: int = 1,
        fixed: Mapping[str, int | str] | None = None,
        masks: Mapping[str, str] | None = None,
    ) -> Step:
        """The step of these fields, up to ``new``: one object as long as one is held.

        It gives out the first state unless it is told its ``outputs``. ``named`` are what the
        formula gives out besides, in the step that is :attr:`full`.
        """
        first, *others = zip(fields[2], fields[-1], strict=True)
        more = heads, fixed or {}, masks or {}
        if outputs is not None and outputs != dict([first]):
            made = Step._made(*fields, outputs, *more)
            return _steps.setdefault(made.text, made)  # and so share their kernels
        made = Step._made(*fields, dict([first]), *more)
        # What the backward pass reads comes last (`Plan.kept_outputs`).
        every = {**made.outputs, **(named or {}), **dict(others)}
        full = Step._made(*fields, every, *more)
        if len(every) > 1:  # else a program's text means the other
            full = _steps.setdefault(full.text, full)
        object.__setattr__(made, "full", full)
        object.__setattr__(made, "randoms", full.randoms)
        made = _steps.setdefault((made.text, full.text), made)
        _steps.setdefault(made.text, made)
        return made

    @staticmethod
    def _made(*fields: Any) -> Step:
        *declared, heads, fixed, masks = fields
        text = _write(*fields)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        made: Any = (*declared, text, heads, fixed, masks, digest)
        return Step(*made)

    @property
    def given_inputs(self) -> tuple[str, ...]:
        """The inputs that the caller of a module gives: those that are no random values."""
        return tuple(name for name in self.inputs if name not in self.randoms)

    @property
    def reads_input(self) -> bool:
        """Whether its values may have as many numbers as the input has features."""
        return INPUT in self.spaces

    @property
    def alike(self) -> bool:
        """Whether the input has to have as many features as there are hidden units: it is read as
        such a value."""
        nodes = walk([*self.new, *self.full.outputs.values()])
        return any(n.op == "raw" and n.space is HIDDEN for n in nodes)

    @property
    def row(self) -> Space:
        """The space of rows of memory, which have room for values of any space."""
        return LONGEST if self.reads_input else HIDDEN

    def row_units(self, sizes: Sizes) -> int:
        """The units of such a row."""
        return max(sizes.units, sizes.width) if self.reads_input else sizes.units

    @property
    def output_space(self) -> Space:
        """The space of the first output."""
        return self.space(next(iter(self.outputs)))

    def input_space(self, name: str) -> Space:
        """The space of what a call gives at every step."""
        return self.randoms.get(name) or (sized(self.fixed[name]) if name in self.fixed else HIDDEN)

    def space(self, name: str) -> Space:
        """The space of a state, or of an output."""
        if name in self.states:
            if name in self.fixed:
                return sized(self.fixed[name])
            return first_space(self.projection) if name == self.states[0] else HIDDEN
        return self.outputs[name].space.stored

    @property
    def results(self) -> int:
        """How many results a layer has: the first output, the final states, further outputs."""
        return len(self.states) + len(self.outputs)

    def place(self, output: str) -> int:
        """The number of an output among the results."""
        index = [*self.outputs].index(output)
        return index and len(self.states) + index

    def shapes(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """The shapes of all parameters that a layer of these sizes has, by name."""
        found = {b.parameter: b.shape(sizes) for b in self.blocks.values()}
        return {name: found[name] for name in self.parameters if name in found}

    def sizes(self, shapes: Sequence[Sequence[int] | None]) -> Sizes:
        """The sizes of the layer whose parameters have these shapes, in the order of
        :attr:`parameters`: rows say how many units a space has, columns where no rows do."""
        given = dict(zip(self.parameters, shapes, strict=True))
        found = Sizes({space: space.fixed for space in self.spaces if space.fixed})
        for space, block in self.measures.items():
            shape = given[block.parameter]
            if shape is not None:
                found[space] = shape[0] // block.blocks
        for block in self.blocks.values():
            shape = given[block.parameter]
            if shape is not None and len(shape) > 1:
                found.setdefault(block.columns, shape[1] * block.heads)
        return found


def _blocks(
    x_gates: Sequence[str],
    u_gates: Sequence[str],
    matrices: Mapping[str, tuple[Space, Space]],
    vectors: Sequence[str],
    output: Space,
    projection: str,
    heads: int,
    fixed: Mapping[str, int | str],
    masks: Mapping[str, str],
) -> Blocks:
    """All blocks; those that say how many hidden units there are come first."""

    def gates(
        kind: str, parameter: str, names: Sequence[str], columns: Space, heads: int = 1
    ) -> Blocks:
        count, mask = len(names), masks.get(parameter, "")
        return {
            (kind, name): Matrix(parameter, HIDDEN, columns, block, count, heads, mask)
            for block, name in enumerate(names)
        }

    def heads_between(*spaces: Space) -> int:
        return heads if {*spaces} <= {HIDDEN, PROJECTED} else 1

    def heads_of(matrix: str) -> int:
        return 1 if matrix == projection else heads_between(*matrices[matrix])

    def units_of(vector: str) -> Space:
        units = fixed.get(vector)
        return HIDDEN if units is None else ONE if units == 1 else sized(units)

    return {
        **gates("product", "weight_hh", u_gates, output, heads_between(output)),
        **gates("x", "weight_ih", x_gates, INPUT),
        **gates("bias_ih", "bias_ih", x_gates, ONE),
        **gates("bias", "bias_hh", u_gates, ONE),
        **{
            ("product", m): Matrix(
                f"weight_{m}", *spaces, heads=heads_of(m), mask=masks.get(f"weight_{m}", "")
            )
            for m, spaces in matrices.items()
        },
        **{("vector", v): Matrix(f"weight_{v}", units_of(v)) for v in vectors},
    }


@functools.lru_cache(_KNOWN)
def unmasked(step: Step) -> Step:
    """The same formula without masks."""
    if not step.masks:
        return step
    names = step.x_gates, step.u_gates, step.states, step.inputs, step.matrices, step.vectors
    declared = *names, step.projection, step.new
    return Step.of(*declared, outputs=step.outputs, heads=step.heads, fixed=step.fixed)


#: By their texts; those of formulas also with the text of the step that gives out all.
_steps: weakref.WeakValueDictionary[Any, Step] = weakref.WeakValueDictionary()


def _write(*fields: Any) -> str:
    *names, projection, new, outputs, heads, fixed, masks = fields
    x_gates, u_gates, states, inputs, matrices, vectors = names
    named = {m: tuple(space.name for space in spaces) for m, spaces in matrices.items()}
    declared = x_gates, u_gates, states, inputs, named, vectors, projection
    nodes = list(walk([*new, *outputs.values()]))
    numbers = {n: i for i, n in enumerate(nodes)}
    lines = [f"{n.op} {n.attr!r} {n.space.name} {[numbers[a] for a in n.args]}" for n in nodes]
    ends: Any = [numbers[n] for n in new]
    if outputs != {states[0]: new[0]}:
        ends = ends, {name: numbers[n] for name, n in outputs.items()}
    more = [f"heads {heads}"] * (heads > 1) + [f"sizes {dict(fixed)}"] * bool(fixed)
    more += [f"masks {dict(masks)}"] * bool(masks)
    return "\n".join([*map(repr, declared), *more, *lines, repr(ends)])


@functools.lru_cache(_KNOWN)
def read(text: str) -> Step:
    """The step of a text: of the same formula the same object.

    Raises:
        FormulaError: a text that no step has; the message says what is wrong with it.
    """
    known = _steps.get(text)
    if known is not None:
        return known
    try:
        step = _read(text)
    except (FormulaError, *_FAULTS) as error:
        raise _no_formula(text, str(error)) from error
    if step.text != text:
        raise _no_formula(text, "it is not written as elman does")
    return step


def _no_formula(text: str, why: str) -> FormulaError:
    shown = text if len(text) < 60 else f"{text[:60]}..."
    return FormulaError(
        "expected the text of a formula, as elman writes it into captured programs, got "
        f"{shown!r} ({why}): capture the program again with this version of elman"
    )


def _read(text: str) -> Step:
    *lines, last = text.split("\n")
    declared = [ast.literal_eval(line) for line in lines[:7]]
    x_gates, u_gates, states, inputs, named, vectors, projection = declared
    groups = (x_gates, u_gates, states, inputs, vectors)
    if not all(type(names) is tuple for names in groups) or type(named) is not dict:
        raise FormulaError("what it declares are no names")
    names = [n for group in (*groups, named, [projection] * bool(projection)) for n in group]
    if not states or not all(isinstance(n, str) and n.isidentifier() for n in names):
        raise FormulaError("what it declares are no names")
    lines = lines[7:]
    heads, fixed, masks = 1, {}, {}
    if lines and (more := _HEADS.fullmatch(lines[0])):
        heads, lines = int(more[1]), lines[1:]
    if lines and (more := _SIZES.fullmatch(lines[0])):
        fixed, lines = ast.literal_eval(more[1]), lines[1:]
        for name, units in fixed.items():
            fits = units == INPUT.option or (type(units) is int and units > 0)
            if name not in states + vectors + inputs or not fits:
                raise FormulaError("a size is of nothing, or none")
    if lines and (found := _MASKS.fullmatch(lines[0])):
        masks, lines = ast.literal_eval(found[1]), lines[1:]
        may = ["weight_hh"] * bool(u_gates) + [f"weight_{m}" for m in named]
        if heads > 1 or not {*masks} <= {*may} or not all(map(mask_text, masks.values())):
            raise FormulaError("a mask is of nothing, or none")
    spaces = dict.fromkeys(states, HIDDEN) | {states[0]: first_space(projection)}
    spaces |= {name: sized(units) for name, units in fixed.items() if name in spaces}
    first = spaces[states[0]]

    def with_units(name: str) -> Space:
        space = space_of(name)
        known = (INPUT, HIDDEN, first_space(projection))
        if space not in known and (space is ONE or not space.fixed):
            raise FormulaError(f"{name!r} is no size here")
        return space

    if projection not in ("", *named) or not all(len(pair) == 2 for pair in named.values()):
        raise FormulaError("a matrix has no size")
    matrices = {m: (with_units(rows), with_units(columns)) for m, (rows, columns) in named.items()}
    declares = projection, heads, fixed, masks
    blocks = _blocks(x_gates, u_gates, matrices, vectors, first, *declares)
    leaves = {
        **{(kind, name): block.rows for (kind, name), block in blocks.items() if kind in _LEAVES},
        **{("state", name): space for name, space in spaces.items()},
        **{("input", n): sized(fixed[n]) if n in fixed else HIDDEN for n in inputs},
    }
    nodes: list[Node] = []
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise FormulaError(f"{line!r} is no operation")
        op, attr = found[1], ast.literal_eval(found[2])
        args = [nodes[i] for i in ast.literal_eval(found[4])]
        if (op, attr) in leaves and not args:
            made = node(op, attr=attr, space=leaves[op, attr])
        elif op == "random" and attr in inputs and not args:
            made = node(op, attr=attr, space=with_units(found[3]))
        elif op in PRODUCTS and ("product", attr) in blocks and len(args) == 1:
            check_kind(op, 0, args[0])
            block = blocks["product", attr]
            rows, columns = block.rows, block.columns
            rows, columns = (columns, rows) if op == "product_t" else (rows, columns)
            made = node(op, *args, attr=attr, space=rows)
            if args[0].space is not columns:
                raise FormulaError(f"{line!r} multiplies values of another size")
        elif op == "raw" and attr is None and not args and found[3] in (INPUT.name, HIDDEN.name):
            made = node(op, space=space_of(found[3]))
        elif op == "unit" and attr and _UNIT.fullmatch(attr) and not args:
            made = node(op, attr=attr, space=with_units(found[3]))
        elif op == "units" and not args:
            made = node(op, attr=with_units(attr).name, space=ONE)
        else:
            made = _operation(line, op, attr, args)
        nodes.append(made)
    ends, outputs = ast.literal_eval(last), None
    if type(ends) is tuple:
        ends, outputs = ends
    new = tuple(nodes[i] for i in ends)
    for state, value in zip(states, new, strict=True):
        if is_mask(value) or value.space not in (ONE, leaves["state", state]):
            raise FormulaError(f"the new {state!r} is a comparison, or of another size")
    if outputs is not None:
        outputs = _read_outputs(outputs, nodes, dict(zip(states, new, strict=True)))
    fields = x_gates, u_gates, states, inputs, matrices, vectors, projection, new
    return Step.of(*fields, outputs=outputs, heads=heads, fixed=fixed, masks=masks)


def _read_outputs(
    given: Any, nodes: Sequence[Node], states: Mapping[str, Node]
) -> Mapping[str, Node]:
    """What a step gives out, from the numbers of nodes by name; ``states`` are the new ones."""
    if type(given) is not dict or not given:
        raise FormulaError("what it gives out has no name")
    for name, number in given.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise FormulaError("what it gives out has no name")
        value = nodes[number]
        if is_mask(value) or states.get(name, value) is not value:
            raise FormulaError(f"the output {name!r} is a comparison, or not the state")
    return {name: nodes[number] for name, number in given.items()}


def _operation(line: str, op: str, attr: Any, args: Sequence[Node]) -> Node:
    """An operation for which no names need to be known."""
    if op == "const" and not args:
        return constant(float.fromhex(attr))
    if op in REDUCTIONS and len(args) == 1 and (attr is None or int(attr) > 1):
        return reduce(op, args[0], heads=int(attr or 1))
    primitive = PRIMITIVES.get(op)
    if primitive is None or attr is not None or len(args) != primitive.count:
        raise FormulaError(f"{line!r} is no operation here")
    for place, argument in enumerate(args):
        check_kind(op, place, argument, wanted=op == "where" and place == 0)
    return node(op, *args)
