"""The layers and cells that elman has, a row each, and what tests of all of them share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_map_only

import elman
from elman.spaces import HIDDEN, INPUT
from tests.tolerances import assert_close

I, H, T, B = 3, 5, 6, 4  # noqa: E741
Make = Callable[[tuple[int, ...]], Tensor]


@dataclass(frozen=True)
class Kind:
    """A class of elman and torch.nn, by its name, and the states of its modules: how many there
    are, and the size of the first where it is projected."""

    name: str
    states: int = 1
    proj_size: int = 0

    @property
    def single(self) -> bool:
        """Whether it is a cell, which takes one step."""
        return self.name.endswith("Cell")

    @property
    def output(self) -> int:
        """The size of the first state."""
        return self.proj_size or H

    @property
    def options(self) -> dict[str, int]:
        """Arguments without which it would be another kind."""
        return {"proj_size": self.proj_size} if self.proj_size else {}

    def make(self, nn: ModuleType, *args: Any, **options: Any) -> Any:
        return getattr(nn, self.name)(I, H, *args, **self.options, **options)

    def pair(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        """torch.nn's module and elman's with the same numbers in their parameters."""
        theirs = self.make(torch.nn, *args, **options)
        ours = self.make(elman, *args, **options)
        ours.load_state_dict(theirs.state_dict())
        return theirs, ours

    def stack(self, **options: Any) -> tuple[Any, Any]:
        """As ``pair``, of two layers in two directions, or of a cell."""
        return self.pair(**({} if self.single else {"num_layers": 2, "bidirectional": True}))

    def input(self, rows: int = B, make: Make = torch.randn) -> Tensor:
        return make((rows, I) if self.single else (T, rows, I))

    def state(self, layers: int = 1, rows: int = B, make: Make = torch.randn) -> Any:
        """The initial state as it is handed over: a tensor, or a tuple of several."""
        lead = (rows,) if self.single else (layers, rows)
        parts = tuple(make((*lead, H if i else self.output)) for i in range(self.states))
        return parts if self.states > 1 else parts[0]

    def __str__(self) -> str:
        return f"{self.name}-projected" if self.proj_size else self.name


KINDS = (
    *(Kind("RNN"), Kind("LSTM", 2), Kind("LSTM", 2, proj_size=2), Kind("GRU")),
    *(Kind("RNNCell"), Kind("LSTMCell", 2), Kind("GRUCell")),
)
LAYERS = [kind for kind in KINDS if not kind.single]
CELLS = [kind for kind in KINDS if kind.single]


def each(kinds: Iterable[Kind]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, ids=str)


def tensors(value: Any) -> list[Tensor]:
    """All tensors of results or arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    return [t for part in value or () for t in tensors(part)]


def loss_of(results: list[Tensor]) -> Tensor:
    """A number that tells results and their places apart."""
    waves = [torch.arange(1.0, r.numel() + 1, dtype=r.dtype).cos().view(r.shape) for r in results]
    return torch.stack([(r * w).sum() for r, w in zip(results, waves, strict=True)]).sum()


def call(module: torch.nn.Module, *arguments: Any) -> list[Tensor]:
    """Results, and gradients of arguments and parameters."""
    given = tree_map_only(Tensor, lambda t: t.detach().requires_grad_(), arguments)
    results = tensors(module(*given))
    leaves = [*tensors(given), *module.parameters()]
    return [*results, *torch.autograd.grad(loss_of(results), leaves)]


def assert_all_close(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert_close(a, e, "same")


def assert_same_bits(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a, e)


def assert_same(theirs: torch.nn.Module, ours: torch.nn.Module, *arguments: Any) -> None:
    assert_all_close(call(ours, *arguments), call(theirs, *arguments))


# Of any cell

STACK: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
LENGTHS = [2, 0, 6, 2]
RAGGED = [2, 5, 6, 2]


class Leaky(elman.Cell):
    """A number that may be changed, and an initialisation of its own."""

    gates = ("a",)

    def __init__(self, leak: float = 0.1) -> None:
        self.leak = leak

    def initialise(self, parameters: Any) -> None:
        parameters["bias_hh"].fill_(0.5)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return (1 - self.leak) * s.h + self.leak * elman.tanh(x.a + u.a)


def further(cell: elman.Cell, *lead: int, dtype: Any = torch.float32) -> dict[str, Tensor] | None:
    """Random further inputs, if the cell has any."""
    step = cell.trace()
    wide = {n: H if step.input_space(n) is HIDDEN and n != "gap" else 1 for n in step.inputs}
    return {n: torch.randn(*lead, units, dtype=dtype) for n, units in wide.items()} or None


def units_of(cell: elman.Cell) -> int:
    """Hidden units, of which a cell of several heads takes a multiple, and one whose states meet
    the input takes as many as features."""
    step = cell.trace()
    alike = step.alike or any(step.space(state) is INPUT for state in step.states)
    return I if alike else H + -H % cell.heads


def stack_of(cell: elman.Cell) -> dict[str, Any]:
    """The options of ``STACK``, and one with which all layers take as many features, if the cell
    needs that."""
    alike = units_of(cell) == I and cell.heads == 1
    return {**STACK, "merge": "sum"} if alike else STACK


def options_of(cell: elman.Cell) -> dict[str, Any]:
    return {"proj_size": 2} if cell.projection else {}


def seeded(make: Callable[..., torch.nn.Module], *args: Any, **options: Any) -> torch.nn.Module:
    torch.manual_seed(1)
    return make(*args, **options)
