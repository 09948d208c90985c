"""What a formula depends on counts at once where it changes: eager, compiled and exported."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import elman

pytestmark = pytest.mark.sampled(3)


def make() -> elman.Cell:
    """A cell of a class of its own, whose attributes a test may change."""

    class Depends(elman.Cell):
        gates = ("a",)
        table = [0.3, 0.2]  # noqa: RUF012 - that it may change is what is tested
        rate = 0.5
        single = np.float32(0.3)
        named = {"k": 0.25}  # noqa: RUF012

        def __init__(self) -> None:
            self.leak = 0.1
            self.none = 0.0
            self.pair = (0.1, 0.2)
            self.act = elman.tanh
            self.number = np.float64(0.7)
            self.count = np.int64(2)

        twice = staticmethod(lambda a: 2 * a)

        @property
        def double(self) -> float:
            return 2 * self.rate

        def step(self, x: Any, u: Any, s: Any) -> Any:
            a = self.act(x.a + u.a) * self.table[0] * self.double * self.pair[1]
            a = self.twice(a) * getattr(self, "further", 1.0)
            a = a * self.leak + self.single * self.named["k"] + self.number * x.a
            return a + s.h * self.table[1] * self.count + x.a / (1 / (self.none + x.a))

    return Depends()


CHANGES: dict[str, Callable[[Any], None]] = {
    "number": lambda c: setattr(c, "leak", 0.7),
    "zero": lambda c: setattr(c, "leak", 0.0),
    "from-zero": lambda c: setattr(c, "none", 0.5),
    "numpy": lambda c: setattr(c, "number", np.float32(0.3)),
    "numpy-integer": lambda c: setattr(c, "count", np.int32(3)),
    "list-in-place": lambda c: c.table.__setitem__(0, 0.9),
    "tuple": lambda c: setattr(c, "pair", (0.1, 0.6)),
    "dict-in-place": lambda c: c.named.__setitem__("k", 0.5),
    "of-the-class": lambda c: setattr(type(c), "rate", 0.8),
    "over-that-of-the-class": lambda c: setattr(c, "rate", 0.9),
    "further-of-the-cell": lambda c: setattr(c, "further", 0.5),
    "further-of-the-class": lambda c: setattr(type(c), "further", 0.5),
    "function-of-the-class": lambda c: setattr(type(c), "twice", staticmethod(lambda a: 3 * a)),
    "over-a-function-of-the-class": lambda c: setattr(c, "twice", lambda a: 3 * a),
    "property": lambda c: setattr(type(c), "double", 0.1),
    "step": lambda c: setattr(type(c), "step", lambda self, x, u, s: elman.tanh(x.a + u.a)),
    "function": lambda c: setattr(c, "act", elman.sigmoid),
}
each_change = pytest.mark.parametrize("change", CHANGES)


def _net(cell: elman.Cell, like: Any = None) -> Any:
    torch.manual_seed(0)
    net = elman.Recurrent(cell, 2, 3)
    if like is not None:
        net.load_state_dict(like.state_dict())
    return net


def _expected(cell: elman.Cell, net: Any, x: torch.Tensor) -> torch.Tensor:
    """What a new module of the cell gives as it is now."""
    output: torch.Tensor = _net(copy.copy(cell), net)(x)[0]
    return output


@each_change
def test_a_change_counts_at_the_next_call(change: str) -> None:
    cell, x = make(), torch.rand(4, 1, 2)
    net = _net(cell)
    before = net(x)[0]
    CHANGES[change](cell)
    assert torch.equal(net(x)[0], _expected(cell, net, x))
    assert not torch.equal(net(x)[0], before)


@each_change
def test_a_compiled_program_names_what_has_changed(change: str) -> None:
    torch._dynamo.reset()
    cell, x = make(), torch.rand(4, 1, 2)
    net = _net(cell)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x)[0], net(x)[0])
    CHANGES[change](cell)
    with pytest.raises(Exception, match=r"the cell's .* has changed since its formula was traced"):
        compiled(x)
    net(x)  # which the message asks for
    assert torch.equal(compiled(x)[0], _expected(cell, net, x))


@pytest.mark.parametrize(
    ("change", "strict"),  # in turn: the two differ in who reads `forward`, not in what it reads
    [(change, n % 2 == 0) for n, change in enumerate(CHANGES)],
    ids=CHANGES,
)
def test_an_exported_program_keeps_the_formula_that_it_was_made_of(
    change: str, strict: bool
) -> None:
    cell, x = make(), torch.rand(4, 1, 2)
    net = _net(cell)
    before, program = net(x)[0], torch.export.export(net, (x,), strict=strict)
    CHANGES[change](cell)
    assert torch.equal(program.module()(x)[0], before)
    net(x)
    again = torch.export.export(net, (x,), strict=strict)
    assert torch.equal(again.module()(x)[0], _expected(cell, net, x))


class Holds(elman.Cell):
    """What it depends on lies in something of NumPy's, or deep within."""

    gates = ("a",)

    def __init__(self, held: Any) -> None:
        self.held = held

    def step(self, x: Any, u: Any, s: Any) -> Any:
        scale = self.held[-1] if isinstance(self.held, tuple) else self.held
        return elman.tanh(x.a + u.a) * scale[0] + scale[1] * s.h


each_holder = pytest.mark.parametrize(
    ("make_held", "name"),
    [(lambda: np.array([0.5, 0.25]), "ndarray"), (lambda: (1, [0.5, 0.25]), "list")],
)


@each_holder
def test_what_changes_deep_within_counts_too(make_held: Callable[[], Any], name: str) -> None:
    cell, x = Holds(make_held()), torch.rand(4, 1, 2)
    net = _net(cell)
    before = net(x)[0]
    (cell.held[1] if name == "list" else cell.held)[1] = 0.5
    assert not torch.equal(net(x)[0], before)
    assert torch.equal(net(x)[0], _expected(cell, net, x))


@each_holder
def test_a_compiled_program_says_what_to_make_of_it(
    make_held: Callable[[], Any], name: str
) -> None:
    compiled = torch.compile(_net(Holds(make_held())), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=rf"the cell's held holds a {name}, .* make it a number"):
        compiled(torch.rand(4, 1, 2))


def test_zeros_of_both_signs_and_nan_are_told_apart() -> None:
    cell = make()
    traced = [cell.trace()]
    for number in (-0.0, 0.0, float("nan"), float("nan")):
        cell.none = number
        traced.append(cell.trace())
    assert traced[0] is traced[2]
    assert traced[3] is traced[4]
    assert len(set(map(id, traced))) == 3


def test_a_module_compiles_with_a_number_that_is_none() -> None:
    torch._dynamo.reset()
    cell = make()
    cell.none = float("nan")
    compiled = torch.compile(_net(cell), backend="eager", fullgraph=True)
    assert compiled(torch.rand(4, 1, 2))[0].isnan().all()


class _Callable:
    def __call__(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (_Callable(), "whose changes nothing can see: make it a function"),
        (type("Numbers", (), {"leak": 0.1}), "whose changes nothing can see: make it a function"),
        (torch.ones(1), "is a Tensor: learned tensors are declared in"),
        ({0.1}, "is a set: plain numbers belong there"),
    ],
    ids=["callable", "class", "tensor", "set"],
)
@pytest.mark.parametrize("of_class", [False, True], ids=["of-the-cell", "of-the-class"])
def test_what_may_change_unseen_is_refused(held: Any, said: str, of_class: bool) -> None:
    cell = make()
    (type(cell) if of_class else cell).held = held
    with pytest.raises(elman.FormulaError, match=f"the attribute 'held' .*{said}"):
        cell.trace()


def test_a_cell_of_partial_functions_compiles() -> None:
    class Partial(elman.Cell):
        gates = ("a",)

        def __init__(self) -> None:
            self.act = functools.partial(elman.clamp, min=-0.5, max=0.5)

        def step(self, x: Any, u: Any, s: Any) -> Any:
            return self.act(x.a + u.a)

    net, x = _net(Partial()), torch.rand(4, 1, 2)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(net, backend="eager", fullgraph=True)(x)[0], net(x)[0])
