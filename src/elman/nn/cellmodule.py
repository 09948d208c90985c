"""What modules around a cell share: the traced step and the parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import Parameter

from .. import init
from ..cell import Cell
from ..spaces import HIDDEN, INPUT, PROJECTED, Sizes
from ..step import Step
from .base import RecurrentModule
from .messages import refusal
from .regularise import Drawn, Regularisation, training

_GRAPHS = ("_formula", "_evaluated", "_drawn", "_traced", "_trace", "_options", "_recipes")


class Parameters(NamedTuple):
    """The parameters of one layer and direction: their names' ending, and the sizes."""

    suffix: str
    input_size: int
    hidden_size: int
    proj_size: int  # the same where the state is not projected


class CellModule(RecurrentModule, torch.nn.Module):
    """A module around a cell: its traced step and its parameters."""

    cell: Cell
    hidden_size: int | tuple[int, ...]
    init: Any = None
    _formula: Step  # of the cell, as it was traced last
    _evaluated: Step  # what is made of it for evaluation
    _drawn: Drawn | None  # and for training, if that is another
    _special: bool
    _shapes: list[tuple[str, tuple[int, ...]]]  # what the parameters are, for sizes of no meaning

    def _build(
        self,
        cell: Cell | type[Cell],
        sets: Sequence[Parameters],
        bias: bool,
        learn_initial: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        """Makes the parameters of all sets, and draws them."""
        self.cell = instance(type(self).__name__, cell)
        self.bias = bias
        step = self.cell.trace()
        self._sets = tuple(sets)
        self._names: list[dict[str, str]] = []  # of each set: the full names by those of the step
        self._initial: list[dict[str, str]] = []  # the same of learned initial states
        for mine in sets:
            suffix, sizes = mine.suffix, Sizes.of(mine)
            shapes = step.shapes(sizes)
            if not bias:
                shapes = {n: s for n, s in shapes.items() if not n.startswith("bias_")}
            states = {s: (sizes[step.space(s)],) for s in step.states if learn_initial}
            self._names.append({name: name + suffix for name in shapes})
            self._initial.append({state: f"initial_{state}{suffix}" for state in states})
            for names, found in ((self._names[-1], shapes), (self._initial[-1], states)):
                for name, shape in found.items():
                    empty = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(names[name], Parameter(empty))
        self._keep(step)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, as torch.nn does, and lets the cell and ``init`` change
        them."""
        with torch.no_grad():
            for mine, names, initial in zip(self._sets, self._names, self._initial, strict=True):
                bound = 1 / math.sqrt(mine.hidden_size)
                drawn = {name: getattr(self, full) for name, full in names.items()}
                for value in drawn.values():
                    value.uniform_(-bound, bound)
                self.cell.initialise(drawn)
                for name, full in names.items():
                    if full not in self._parameters:  # parametrized: what was drawn is a copy
                        setattr(self, full, drawn[name])
                for full in initial.values():
                    setattr(self, full, getattr(self, full).zero_())
        init.apply(self, self.init)

    def _initialise(self, given: Any) -> None:
        """Keeps the option ``init``, and has it change the parameters, which are complete now."""
        self.init = given
        init.apply(self, given)

    def _step(self) -> Step:
        """The traced formula, with the numbers that the cell holds now."""
        if torch.compiler.is_compiling():  # which cannot follow the tracing of a formula
            *_, step, settings, version = self.cell.__dict__.get("_traced", (None,) * 5)
            changed = None if step is self._formula else "formula"
            for name, value in (settings or {}).items():  # a changed number compiles anew
                check_comparable(f"{type(self).__name__}: the cell's {name}", value)
                if _differs(getattr(self.cell, name), value):
                    changed = name
            if changed is None and self.cell._version != version:
                changed = "class"
            if changed is not None:
                raise RuntimeError(
                    f"{type(self).__name__}: the cell's {changed} has changed since its formula "
                    "was traced: call the module once outside of compilation"
                )
            return self._evaluated
        step = self.cell.trace()
        if step is not self._traced:
            same = step is self._formula and self._trace is self.cell.__dict__["_traced"]
            step = self._evaluated if same else self._keep(step)
        return step

    def _variants(self) -> tuple[Step, Drawn | None]:
        """The steps of evaluation and of training; None for one that is the same."""
        drawn = training(type(self).__name__, self.cell, Regularisation())
        return self._formula, drawn if drawn.draws else None

    def _keep(self, step: Step) -> Step:
        """Takes the cell's formula; returns the step of evaluation."""
        sizes = Sizes({INPUT: 1, HIDDEN: 4 * step.heads, PROJECTED: 2 * step.heads})
        shapes = list(step.shapes(sizes).items())
        if shapes != self.__dict__.setdefault("_shapes", shapes):
            raise RuntimeError(
                f"{type(self).__name__}: the formula of {self.cell!r} has other parameters than "
                f"this module was made with, {[n for n, _ in self._shapes]} before and "
                f"{[n for n, _ in shapes]} now, or of other sizes: make a new module"
            )
        self._formula = step
        self._evaluated, self._drawn = self._variants()
        #: What a call need not look at twice; None where the cell's step does not tell all.
        self._traced = None if self.cell._random or self._evaluated is not step else step
        self._trace = self.cell.__dict__["_traced"]
        self._special = self._is_special()
        self._all_weights = [[full.get(name) for name in step.parameters] for full in self._names]
        self._flat_weights_names = [name for full in self._names for name in full.values()]
        return self._evaluated

    def _is_special(self) -> bool:
        """Whether calls need more than tensors that are like those of earlier ones."""
        return self._drawn is not None

    def __prepare_scriptable__(self) -> Any:
        raise RuntimeError(
            f"torch.jit.script cannot compile {type(self).__name__}: use torch.jit.trace or "
            "torch.export, which take any number of steps and rows"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A graph is traced again where it is needed.
        state = {k: v for k, v in self.__dict__.items() if k not in _GRAPHS}
        # Plain tuples, so that torch.load(weights_only=True) needs only this class and the cell's.
        return state | {"_sets": [tuple(mine) for mine in self._sets]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._sets = tuple(Parameters(*mine) for mine in self._sets)
        self._keep(self.cell.trace())

    def _layer_sizes(self) -> Sequence[Sizes]:
        return [Sizes.of(sizes) for sizes in self._sets]

    def _shown(self, **options: tuple[Any, Any]) -> str:
        """The arguments for ``repr``: those options that differ from their defaults."""
        given = [f"{k}={v!r}" for k, (v, default) in options.items() if v != default]
        return ", ".join(
            [repr(self.cell), f"{self._sets[0].input_size}, {self.hidden_size}", *given]
        )


def _differs(now: Any, then: Any) -> bool:
    """Whether a setting is another; NaN is the same as NaN. Dynamo guards what is looked at here:
    each part, and of functions, which may share their code, who they are."""
    if isinstance(now, (tuple, list)) and isinstance(then, (tuple, list)):
        pairs = zip(now, then, strict=False)
        return len(now) != len(then) or any(_differs(a, b) for a, b in pairs)
    if isinstance(now, dict) and isinstance(then, dict):
        return _differs([*now.items()], [*then.items()])
    if callable(now):
        return id(now) != id(then)
    return bool(now != then and not (now != now and then != then))


def check_comparable(what: str, value: Any, fixed: bool = False) -> None:
    """RuntimeError for what may change without a compiled program's noticing: NumPy's arrays, and
    lists and dicts within a tuple, which Dynamo takes to be ``fixed``."""
    if isinstance(value, (np.ndarray, np.number)) or (fixed and isinstance(value, (list, dict))):
        raise RuntimeError(
            f"{what} holds a {type(value).__name__}, whose changes a compiled program cannot see: "
            "make it a number of Python, or a tuple of such"
        )
    if isinstance(value, (tuple, list)):
        for part in value:
            check_comparable(what, part, fixed or isinstance(value, tuple))
    elif isinstance(value, dict):
        for part in value.values():
            check_comparable(what, part, fixed)


def instance(owner: str, cell: Any) -> Cell:
    """A cell, which may be given by its class."""
    if isinstance(cell, type) and issubclass(cell, Cell):
        cell = cell()
    if not isinstance(cell, Cell):
        raise TypeError(f"{owner}: expected cell to be an elman.Cell or its class, got {cell!r}")
    return cell


def check_positive(owner: str, name: str, value: Any) -> None:
    """TypeError or ValueError, as in torch.nn, if a size is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type(value).__name__
        sentence = f"{name} should be of type int, got: {kind}"
        raise refusal(TypeError, sentence, owner, "a number of them", repr(value))
    if value <= 0:
        sentence = f"{name} must be greater than zero"
        raise refusal(ValueError, sentence, owner, f"{name} of at least 1", repr(value))


def check_cuts(owner: str, step: Step, sizes: Sizes) -> None:
    """ValueError for units that are no multiple of the heads that the formula cuts them into, or
    where a head lacks a unit that it takes."""
    for space, heads, least in step.full.cuts:
        if space not in sizes and not space.fixed:
            continue
        name = space.option or space.units
        if sizes[space] % heads:
            raise ValueError(
                f"{owner}: expected {name} to be a multiple of {heads}, the heads of a "
                f"reduction or the parts of a mask of the formula, got {sizes[space]}"
            )
        if sizes[space] // heads < least:
            raise ValueError(
                f"{owner}: expected {name} of at least {heads * least}, since the formula takes "
                f"unit {least - 1} of {heads} heads, got {sizes[space]}"
            )


def check_input(owner: str, step: Step, width: int, units: int, first: int) -> None:
    """ValueError for features of a layer's input that do not go together with its units, or with
    those of the first layer."""
    check_cuts(owner, step, Sizes({INPUT: width}))
    if step.alike and width != units:
        raise ValueError(
            f"{owner}: expected as many features of the input as hidden units, since the formula "
            f"reads it as such, got {width} and {units}"
        )
    if width != first and any(step.space(state) is INPUT for state in step.states):
        raise ValueError(
            f"{owner}: expected the input of each layer to have as many features, since a state "
            f"has as many, got {first} and {width}: give one layer, or hidden_size={first}"
        )


def check_sizes(owner: str, cell: Cell, width: Any, units: Any, proj_size: Any) -> int:
    """The size of a layer's output, if the sizes go together."""
    check_positive(owner, "input_size", width)
    check_positive(owner, "hidden_size", units)
    step = cell.trace()
    if units % step.heads:
        raise ValueError(
            f"{owner}: expected hidden_size to be a multiple of the cell's heads={step.heads}, got "
            f"{units}"
        )
    check_cuts(owner, step, Sizes({HIDDEN: units, PROJECTED: proj_size}))
    projects = PROJECTED in step.spaces
    if projects != bool(proj_size):
        does, remedy = "does not project its state", "leave proj_size out"
        if projects:
            does, remedy = "projects its state", "give proj_size"
        raise ValueError(f"{owner}: {cell!r} {does}, got proj_size={proj_size!r}: {remedy}")
    for space in step.spaces:
        if space.fixed > units:
            raise ValueError(
                f"{owner}: expected hidden_size to be at least that of what has {space.units}, got "
                f"{units}"
            )
    if not projects:
        return int(width) if step.output_space is INPUT else step.output_space.fixed or int(units)
    check_positive(owner, "proj_size", proj_size)
    if proj_size > units:
        raise ValueError(f"{owner}: proj_size must be at most hidden_size={units}, got {proj_size}")
    if proj_size % step.heads:
        raise ValueError(
            f"{owner}: expected proj_size to be a multiple of the cell's heads={step.heads}, got "
            f"{proj_size}"
        )
    return int(proj_size)
