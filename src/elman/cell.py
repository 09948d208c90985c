"""A cell: the formula of one step, and the tracing that turns it into a graph."""

from __future__ import annotations

import functools
import itertools
import operator
from abc import ABCMeta
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attributes import FUNCTIONS, KINDS, TRACED, attributes, described, is_fixed, settings
from .errors import FormulaError
from .expr import PRODUCTS, Node, check_kind, is_mask, node, walk
from .pages import page
from .randoms import Draw, RandomValues, Tracing, tracing
from .refused import OF_GROUPS, check_signature, refuses
from .spaces import HIDDEN, INPUT, ONE, PROJECTED, Space, mask_text, sized
from .step import Step


class _CellType(ABCMeta):
    """The class of cells' classes, which notes that one has changed."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        _changed(cls)

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        _changed(cls)


_versions = itertools.count(1)


def _changed(cls: Any) -> None:
    type.__setattr__(cls, "_version", next(_versions))
    for below in type.__subclasses__(cls):
        _changed(below)


class Cell(RandomValues, metaclass=_CellType):
    """The formula of one step of a recurrence. Subclass it and write :meth:`step`.

    ``gates`` are the blocks of rows of ``weight_ih``, ``weight_hh`` and the biases, in order; a
    gate has rows only where the formula reads them.
    ``states`` are the values carried from step to step; the first one is the output.
    ``outputs`` are further values that a call may ask for (``return_states``), such as gates.
    ``inputs`` are further values given at every step, one number a row and unit.
    ``vectors`` are further learned parameters, one number a unit.
    ``matrices`` are further learned matrices, ``projection`` one that makes the first state of
    another size than the others.
    ``sizes`` gives states, inputs, vectors and further matrices (their rows) another number of
    units than the layer has, at most as many: ``{"memory": 4}``. A vector of one unit is a learned
    number. ``"input_size"`` stands for the features of the input.
    ``keeps`` and ``writes`` say which gates remember, for :mod:`elman.init`: their sigmoid is the
    share of the state that stays, or of what is new. Both name gates, or vectors that are a bias.
    ``heads`` cuts the units into so many equal parts, each of which sees itself alone:
    ``weight_hh`` and the further matrices are block-diagonal, and stored as ``(rows, H / heads)``.
    ``masks`` says which blocks of a matrix count: ``{"weight_hh": [[1, 0], [1, 1]]}`` cuts the rows
    of each gate, and the columns, into two equal parts. A mask is anything 2-D: lists, an array, a
    tensor. All else counts as zero, whatever the parameter holds, has the gradient zero, and takes
    no time. They are kept as a tuple of pairs, ``(("weight_hh", "10/11"),)``.

    The step receives three groups of symbolic values and returns the new states and then the
    further outputs, in order:

    - ``x.gate``: ``W_ih x_t + b_ih``, the gate's rows;
    - ``u.gate``: ``W_hh h + b_hh``, the gate's rows, with h the first state;
    - ``s.state``: the previous states.

    The rest is read through ``self``: ``self.input("name")``, or ``self.input()`` for x_t itself,
    ``self.vector("name")`` and
    ``self.product("name", value)``, which applies a further matrix to any value, or a gate's rows
    of ``weight_hh`` (and its bias) to one other than the previous output; with ``transpose=True``
    the transposed matrix. Plain numbers, such as a leak, lists and dicts of them, and functions are
    attributes, of the cell or of its class. A formula is traced anew when one of them has changed,
    and when the class has.

    The guide is docs/cells.md.

    >>> class LightGRU(Cell):
    ...     gates = ("z", "n")
    ...     def step(self, x, u, s):
    ...         z = elman.sigmoid(x.z + u.z)
    ...         n = elman.relu(x.n + u.n)
    ...         return (1 - z) * n + z * s.h
    >>> import elman
    >>> LightGRU().trace().states
    ('h',)
    """

    gates: tuple[str, ...] = ()
    states: tuple[str, ...] = ("h",)
    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    projection: str = ""
    sizes: Mapping[str, int | str] | tuple[()] = ()
    keeps: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    heads: int = 1
    masks: Any = ()
    _version = 0  # another one after each change of the class
    _random: bool  # whether the formula, as it was traced last, speaks of random values

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """The new states, and the further outputs, from the inputs, the products and the previous
        states."""
        raise NotImplementedError(f"{type(self).__name__} must define step(self, x, u, s)")

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        """Changes the parameters of a layer after torch's default initialisation, in place.

        ``parameters`` are its tensors by name without layer and direction: ``weight_ih``,
        ``weight_hh``, ``bias_ih``, ``bias_hh``, ``weight_<name>`` of a further matrix or vector.
        By default all are uniform in ``[-1/sqrt(H), 1/sqrt(H)]``, as in torch.nn.
        """

    def product(self, name: str, value: Node, transpose: bool = False) -> Node:
        """A further matrix times a value, or ``W_hh value + b_hh`` for a gate's rows.

        With ``transpose`` the transposed matrix, without a bias: from as many units as the matrix
        has rows to the hidden units, or for a gate to those of the first state.
        """
        names = (*self.gates, *self.matrices, *filter(None, [self.projection]))
        _check_name(self, "product", name, names, "matrices")
        if not isinstance(value, Node) or value.space is ONE:
            raise FormulaError(
                f"product({name!r}, value) takes a value with units, got {value!r}: multiply by a "
                "number outside the product"
            )
        check_kind("product", 1, value)
        rows = PROJECTED if name == self.projection else _space_of(self, name)
        columns = _spaces_of_states(self)[self.states[0]] if name in self.gates else HIDDEN
        if transpose:
            if value.space is not rows:
                raise FormulaError(
                    f"product({name!r}, value, transpose=True) takes a value of {rows.units}, as "
                    f"the matrix has rows, got one of {value.space.units}"
                )
            return node("product_t", value, attr=name, space=columns)
        if name not in self.gates:
            return node("product", value, attr=name, space=rows)
        if value.space is not columns:
            raise FormulaError(
                f"product({name!r}, value) applies weight_hh, whose columns are "
                f"{columns.units} {self.states[0]!r}, got a value of "
                f"{value.space.units}: declare a further matrix for it in `matrices`"
            )
        return node("product", value, attr=name, space=HIDDEN) + _leaf("bias", name)

    def input(self, name: str = "", units: str = "input_size") -> Node:
        """This step's value of a further input; without a name that of the input x_t itself.

        The input has ``input_size`` numbers. Given as ``units="hidden_size"`` it meets hidden units
        one by one, in a layer that has as many of these.
        """
        if not name:
            if units not in (INPUT.option, HIDDEN.option):
                raise FormulaError(
                    f"input() takes units {INPUT.option!r} or {HIDDEN.option!r}, got {units!r}"
                )
            return node("raw", space=sized(units))
        _check_name(self, "input", name, self.inputs)
        return node("input", attr=name, space=_space_of(self, name))

    def vector(self, name: str) -> Node:
        """A further learned vector, one number a unit."""
        _check_name(self, "vector", name, self.vectors)
        space = _space_of(self, name)
        return node("vector", attr=name, space=ONE if space.fixed == 1 else space)

    def trace(self) -> Step:
        """The graph of the step: the same object as long as the formula is the same.

        Raises:
            FormulaError: where the formula is wrong; the message names its line.
        """
        known = self.__dict__.get("_traced")
        if known is not None:
            read, values, step, _, version = known
            if self._version == version and read(self) == values:
                return step
        read = operator.attrgetter(*attributes(self))
        if not is_fixed(read(self)):  # to compare it says nothing
            read = functools.partial(described, read)
        values, random = read(self), Tracing()
        step = _trace(self, random)
        # A compiled program compares the last of it, see `nn/cellmodule.py`.
        traced = read, values, step, settings(self), self._version
        object.__setattr__(self, "_random", bool(random.draws))
        object.__setattr__(self, "_traced", traced)
        return step

    def trace_training(self, candidates: bool = False) -> tuple[Step, dict[str, Draw]]:
        """The step of training, and how its random values are drawn; where a module asks for
        them, the masks of ``candidates`` are values of the step too, which nothing is said of. A
        formula without random values has the step of :meth:`trace`."""
        step = self.trace()
        if not candidates and not self._random:
            return step, {}
        random = Tracing(training=True, candidates=candidates)
        step = _trace(self, random)
        return step, {name: draw for name, draw in random.draws.items() if name in step.randoms}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in list(vars(cls).items()):
            if isinstance(value, np.number) or name == "masks":
                setattr(cls, name, _plain(name, value))

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, _plain(name, value))
        traced = self.__dict__.get("_traced")
        if traced is not None and name not in traced[3]:
            del self.__dict__["_traced"]  # the formula may look whether there is such an attribute

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self.__dict__.pop("_traced", None)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in TRACED}

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self.__getstate__().items())
        return f"{type(self).__name__}({given})"


def _plain(name: str, value: Any) -> Any:
    """An attribute as a cell has it: nothing that may change in place, if it need not. A number of
    NumPy's becomes one of Python's, which ``torch.compile`` can guard."""
    if name != "masks" or value == ():
        return value.item() if isinstance(value, np.number) else value
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return tuple((parameter, mask_text(mask)) for parameter, mask in pairs)
    except (TypeError, ValueError) as error:
        raise FormulaError(
            f"masks must be a dict of 2-D masks by the names of matrices: {error}"
        ) from None


#: What Python raises for mistakes in a formula.
_MISTAKES: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError, NameError)
_MISTAKES += (RuntimeError, TypeError, ValueError)


def _trace(cell: Cell, given: Tracing) -> Step:
    with tracing(given):
        return _trace_step(cell)


def _trace_step(cell: Cell) -> Step:
    kind = type(cell).__name__
    try:
        space = _check_declared(cell)
        check_signature(kind, cell.step, ("x", "u", "s"))
        h = node("state", attr=cell.states[0], space=space[cell.states[0]])
        returned = cell.step(
            _Group(cell, "gate", cell.gates, lambda name: _leaf("x", name)),
            _Group(cell, "gate", cell.gates, lambda name: cell.product(name, h)),
            _Group(
                cell, "state", cell.states, lambda name: node("state", attr=name, space=space[name])
            ),
        )
        values = returned if isinstance(returned, tuple) else (returned,)
        names = cell.states + cell.outputs
        symbolic = [v for v in values if isinstance(v, Node) and not is_mask(v)]
        if not len(names) == len(symbolic) == len(values):
            outputs = f" and of the outputs {cell.outputs}" if cell.outputs else ""
            raise FormulaError(
                f"step must return one value for each of the states {cell.states}{outputs}, got "
                f"{returned!r}"
            )
        for name, value in zip(cell.states, values, strict=False):
            if value.space not in (ONE, space[name]):
                raise FormulaError(
                    f"the new {name!r} has {value.space.units}, expected {space[name].units}: only "
                    "the first state is projected, and by `projection`; `sizes` gives others a size"
                )
        return _step_of(cell, dict(zip(names, values, strict=True)))
    except NotImplementedError:
        raise
    except _MISTAKES as error:
        said = str(error) if isinstance(error, FormulaError) else f"{type(error).__name__}: {error}"
        place = _place(cell, error.__traceback__)
        cause = None if isinstance(error, FormulaError) else error
        raise FormulaError(f"{said} ({kind}.step, {place}); see {page('cells')}") from cause


def _check_declared(cell: Cell) -> dict[str, Space]:
    """The space of every state, if what the cell declares can be."""
    for names in ("gates", "states", "outputs", "inputs", "vectors", "matrices", "keeps", "writes"):
        given = getattr(cell, names)
        if not isinstance(given, tuple) or not all(map(_is_name, given)):
            raise FormulaError(f"{names} must be a tuple of names, got {given!r}")
    if type(cell.heads) is not int or cell.heads < 1:
        raise FormulaError(f"heads must be an int of at least 1, got {cell.heads!r}")
    if not cell.states:
        raise FormulaError("states must have at least one name, that of the output")
    projection = (cell.projection,) if cell.projection else ()
    parameters = (*cell.matrices, *projection, *cell.vectors, "ih", "hh")
    products = (*cell.gates, *cell.matrices, *projection)
    for distinct in (parameters, products, cell.states + cell.outputs, cell.inputs):
        twice = [n for n in distinct if distinct.count(n) > 1]
        if twice:
            raise FormulaError(f"{twice[0]!r} is declared twice: give one of them another name")
    for attribute in attributes(cell):
        value = getattr(cell, attribute)
        if isinstance(value, (Tensor, torch.nn.Module)):
            raise FormulaError(
                f"the attribute {attribute!r} is a {type(value).__name__}: learned tensors are "
                "declared in `vectors` and `matrices`, and read by self.vector and self.product"
            )
        if callable(value) and not isinstance(value, FUNCTIONS):
            raise FormulaError(
                f"the attribute {attribute!r} is {value!r}, whose changes nothing can see: make it "
                "a function"
            )
        if not isinstance(value, (*KINDS, *FUNCTIONS, str, type(None))):
            raise FormulaError(
                f"the attribute {attribute!r} is a {type(value).__name__}: plain numbers belong "
                "there, learned tensors are declared in `vectors` and `matrices`"
            )
    _check_sizes(cell)
    if cell.masks and cell.heads > 1:
        raise FormulaError(
            f"masks are for whole matrices, got heads={cell.heads}: write the heads as a mask"
        )
    return _spaces_of_states(cell)


def _check_sizes(cell: Cell) -> None:
    may = (*cell.states, *cell.inputs, *cell.vectors, *cell.matrices)
    if cell.sizes != () and not isinstance(cell.sizes, Mapping):
        raise FormulaError(f"sizes must be a dict of whole numbers by name, got {cell.sizes!r}")
    for name, units in dict(cell.sizes).items():
        if name not in may:
            raise FormulaError(f"sizes are for {may}, got one for {name!r}")
        if units != INPUT.option and (type(units) is not int or units < 1):
            raise FormulaError(
                f"sizes must be {INPUT.option!r} or whole numbers of at least 1, got {units!r}"
            )
        if name == cell.states[0] and cell.projection:
            raise FormulaError(f"{name!r} is projected: leave it out of sizes")


def _space_of(cell: Cell, name: str) -> Space:
    """The space of a vector, of a further matrix' rows, or of a state but a projected one."""
    units = dict(cell.sizes).get(name)
    return HIDDEN if units is None else sized(units)


def _spaces_of_states(cell: Cell) -> dict[str, Space]:
    found = {name: _space_of(cell, name) for name in cell.states}
    return found | {cell.states[0]: PROJECTED} if cell.projection else found


def _step_of(cell: Cell, values: Mapping[str, Node]) -> Step:
    """The step with what its nodes really read; all that was declared must be among it. The
    ``values`` are those of the states and of the further outputs."""
    nodes = list(walk(values.values()))
    read: dict[str, set[str]] = {}
    matrices: dict[str, tuple[Space, Space]] = {}
    for n in nodes:
        read.setdefault(n.op, set()).add(n.attr)
        if n.op in PRODUCTS and n.attr not in cell.gates:
            spaces = n.space, n.args[0].space
            if n.op == "product_t":
                spaces = spaces[1], spaces[0]
            if matrices.setdefault(n.attr, spaces) != spaces:
                both = " and to ".join(space.units for _, space in (matrices[n.attr], spaces))
                raise FormulaError(
                    f"the matrix {n.attr!r} is applied to {both}, which have different sizes: "
                    "declare two (a transposed one leads to the hidden units)"
                )
    products = set().union(*(read.get(op, set()) for op in PRODUCTS))
    x = read.get("x", set())
    projection = (cell.projection,) if cell.projection else ()
    for kind, names, used in (
        ("gate", cell.gates, products | x),
        ("matrix", (*cell.matrices, *projection), products),
        ("vector", cell.vectors, read.get("vector", set())),
        ("input", cell.inputs, read.get("input", set())),
    ):
        unused = [n for n in names if n not in used]
        if unused:
            raise FormulaError(f"the {kind} {unused[0]!r} is never used: use it or remove it")
    gates = tuple(g for g in cell.gates if g in products)
    may = ["weight_hh"] * bool(gates) + [f"weight_{m}" for m in (*cell.matrices, *projection)]
    masks = dict(_plain("masks", cell.masks))
    for name in masks:
        if name not in may:
            raise FormulaError(f"masks are for the recurrent matrices {may}, got one for {name!r}")
    if not cell.gates and "raw" not in read:
        raise FormulaError("there is no gate: the formula has to read the input or the state")
    return Step.of(
        tuple(g for g in cell.gates if g in x),
        gates,
        cell.states,
        (*cell.inputs, *dict.fromkeys(n.attr for n in nodes if n.op == "random")),
        {m: matrices[m] for m in (*cell.matrices, *projection)},
        cell.vectors,
        cell.projection,
        tuple(values[state] for state in cell.states),
        named={name: values[name] for name in cell.outputs},
        heads=cell.heads,
        fixed={n: u for n, u in dict(cell.sizes).items() if n not in cell.matrices},
        masks={name: mask for name, mask in masks.items() if "0" in mask},
    )


def _place(cell: Cell, traceback: TracebackType | None) -> str:
    """The line of the formula that an error comes from, else the line where it begins."""
    code = getattr(type(cell).step, "__code__", None)
    if code is None:
        return "which is no function"
    line = code.co_firstlineno
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f"{Path(code.co_filename).name}, line {line}"


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and given.isidentifier()


def _leaf(op: str, name: str) -> Node:
    return node(op, attr=name, space=HIDDEN)


@refuses(OF_GROUPS)
class _Group:
    """The values ``x``, ``u`` or ``s`` of a step, read by name."""

    def __init__(
        self, cell: Cell, kind: str, names: tuple[str, ...], make: Callable[[str], Node]
    ) -> None:
        self._cell, self._kind, self._names, self._make = cell, kind, names, make

    def __getattr__(self, name: str) -> Node:
        if name.startswith("__"):  # a protocol for which somebody looks
            raise AttributeError(name)
        _check_name(self._cell, self._kind, name, self._names)
        return self._make(name)


def _check_name(
    cell: Cell, kind: str, name: str, names: tuple[str, ...], declared: str = ""
) -> None:
    if name not in names:
        raise FormulaError(
            f"{type(cell).__name__} has no {kind} {name!r}, only {names}: "
            f"add it to `{declared or kind + 's'}` or correct the name in step()"
        )
