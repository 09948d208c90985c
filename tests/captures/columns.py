"""What is captured: a row for each kind of module, as a program on a list of tensors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
import tests.memos  # noqa: F401

I, H = 3, 4  # noqa: E741


class Mixed(elman.Cell):
    """A cell of one's own: two states, numbers, a further matrix."""

    gates = ("a", "b")
    states = ("h", "m")
    matrices = ("back",)
    leak = 0.3

    def step(self, x: Any, u: Any, s: Any) -> Any:
        m = self.leak * s.m + 1.5 * elman.tanh(x.a + u.a)
        return elman.sigmoid(x.b + u.b) * m + 0.1 * self.product("back", m), m


class Reset(elman.Cell):
    """A mask sets the state to zero before a step."""

    gates = ("h",)
    inputs = ("keep",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h = elman.where(self.input("keep") > 0.5, s.h, 0.0)
        return elman.tanh(x.h + self.product("h", h))


class Gauge(elman.Cell):
    """It gives out a gate, and what nothing else reads a gate for."""

    gates = ("z", "n", "w")
    outputs = ("gate", "score")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = elman.sigmoid(x.z + u.z)
        return (1 - z) * elman.tanh(x.n + u.n) + z * s.h, z, elman.tanh(x.w + u.w)


class Program(torch.nn.Module):
    """A module with what it is given in a list, and what it returns in one."""

    def __init__(self, module: torch.nn.Module, further: str = "", **options: bool) -> None:
        super().__init__()
        self.module, self.further, self.options = module, further, options

    def forward(self, *data: Tensor) -> tuple[Tensor, ...]:
        x, *more = data
        if self.further == "hx":
            results = self.module(x, tuple(more) if len(more) > 1 else more[0])
        elif self.further == "lengths":
            results = self.module(x, lengths=more[0], **self.options)
        elif self.further == "reset":
            results = self.module(x, reset=more[0])
        elif self.further == "episodes":
            hx, lengths, reset, back = more
            results = self.module(x, hx, lengths=lengths, reset=reset, reset_to=back)
        elif self.further:
            results = self.module(x, inputs={self.further: more[0]})
        else:
            results = self.module(x, **self.options)
        return tuple(torch.utils._pytree.tree_leaves(results))


@dataclass(frozen=True, eq=False)
class Column:
    name: str
    make: Callable[..., torch.nn.Module]
    further: str = ""  # what it is given beside the input
    states: int = 0  # that it is given
    options: dict[str, bool] = field(default_factory=dict)  # of its call

    @property
    def torchs(self) -> bool:
        """Whether torch.nn has it, whose own operators ``torch.jit.trace`` records then."""
        return self.name.startswith(("RNN", "LSTM", "GRU"))

    @property
    def single(self) -> bool:
        """Whether it takes one step."""
        return self.name.endswith("Cell")

    def program(self, dtype: torch.dtype = torch.float64) -> Program:
        torch.manual_seed(0)
        return Program(self.make(dtype=dtype), self.further, **self.options).eval()

    def data(self, T: int, B: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """What the program is given."""
        torch.manual_seed(T * B)
        if self.single:
            states = [torch.randn(B, H, dtype=dtype) for _ in range(self.states)]
            return torch.randn(B, I, dtype=dtype), *states
        x = torch.randn(T, B, I, dtype=dtype)
        if self.further == "lengths":
            return x, torch.arange(T, T - B, -1) % (T + 1)
        if self.further == "reset":
            return x, torch.rand(T, B) < 0.4
        if self.further == "episodes":
            hx, back = torch.randn(2, 2, B, H, dtype=dtype)
            lengths, reset = torch.randint(T + 1, (B,)), torch.rand(T, B) < 0.4
            lengths[0], lengths[1], reset[T // 2, 0] = T, 0, True
            return x, hx, lengths, reset, back
        if self.further:
            return x, (torch.rand(T, B, 1) > 0.3).to(dtype)
        return (x,)

    def rows(self) -> tuple[int, ...]:
        """The dimension of the rows in each of them."""
        if self.single:
            return (0,) * (1 + self.states)
        rows = {"": (1,), "lengths": (1, 0), "episodes": (1, 1, 0, 1, 1)}
        return rows.get(self.further, (1, 1))

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """The dimensions that ``torch.export`` leaves open."""
        T, B = torch.export.Dim("T", min=2, max=500), torch.export.Dim("B", min=2, max=500)
        if self.single:
            return ({0: B},) * (1 + self.states)
        if self.further == "episodes":
            return {0: T, 1: B}, {1: B}, {0: B}, {0: T, 1: B}, {1: B}
        return tuple({0: T, 1: B} if rows else {0: B} for rows in self.rows())


def _recurrent(cell: Any, **options: Any) -> Callable[..., torch.nn.Module]:
    return lambda **given: elman.Recurrent(cell, I, H, **options, **given)


def _layer(make: Any, **options: Any) -> Callable[..., torch.nn.Module]:
    return lambda **given: make(I, H, **options, **given)


_STACK = {"num_layers": 2, "bidirectional": True}

COLUMNS = (
    Column("RNN", _layer(elman.RNN, **_STACK)),
    Column("LSTM", _layer(elman.LSTM, num_layers=2)),
    Column("GRU", _layer(elman.GRU, bidirectional=True)),
    Column("RNNCell", _layer(elman.RNNCell), "hx", 1),
    Column("LSTMCell", _layer(elman.LSTMCell), "hx", 2),
    Column("GRUCell", _layer(elman.GRUCell), "hx", 1),
    Column("catalogue", _recurrent(elman.cells.MGU, num_layers=2)),
    Column("own", _recurrent(Mixed, num_layers=2, residual=True)),
    Column("RecurrentCell", lambda **given: elman.RecurrentCell(Mixed, I, H, **given), "hx", 2),
    Column("lengths", _recurrent(Mixed, **_STACK), "lengths"),
    Column("states", _layer(elman.LSTM, bidirectional=True), options={"return_states": True}),
    Column("outputs", _recurrent(Gauge, **_STACK), "lengths", options={"return_states": True}),
    Column("reset", _layer(elman.LSTM, num_layers=2), "reset"),
    Column("episodes", _recurrent(elman.cells.GRU, bidirectional=True), "episodes"),
    Column("mask", _recurrent(Reset, bidirectional=True), "keep"),
    Column(
        "constrained",
        _recurrent(elman.cells.Elman, mask=torch.ones(4, 4).tril(), learn_initial=True),
    ),
)
each_column = pytest.mark.parametrize("column", COLUMNS, ids=[c.name for c in COLUMNS])


def assert_alike(actual: Any, expected: Any, exact: bool = False) -> None:
    """All tensors of two results."""
    have, want = map(torch.utils._pytree.tree_leaves, (actual, expected))
    assert len(have) == len(want)
    for a, e in zip(have, want, strict=True):
        if exact:
            assert torch.equal(a, e)
        elif a.dtype == torch.float64:
            torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-10)
        else:
            torch.testing.assert_close(a, e, rtol=1e-5, atol=1e-5)
