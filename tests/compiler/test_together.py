"""Passes that run at the same time have the bits of one after another: the layers of a stack, and
the two directions of a layer, on any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.batch import Given, Rows, Weights
from elman.compiler import isa, jit, together
from elman.compiler.kernel import kernel_for
from elman.compiler.sizes import Sizes
from elman.compiler.together import Task
from elman.runtime import threads
from tests.cells import EVERY_STEP
from tests.compiler.objects import undefined

needs_threads = pytest.mark.skipif(
    not threads.parallel_address(),
    reason="torch has no GOMP_parallel here: kernels have one thread",
)


class Layers:
    """The layers of a stack for one row, their kernels, and memory for all that they write."""

    def __init__(
        self,
        cell: str,
        layers: int,
        D: int,
        T: int,
        I: int,
        H: int,
        dtype: torch.dtype,  # noqa: E741
    ) -> None:
        step, random = EVERY_STEP[cell], torch.Generator().manual_seed(0)
        self.layers, self.D, self.step = layers, D, step
        self.rows = Rows(T, 1, T)
        self.units = {name: 5 if step.space(name) == "P" else H for name in step.states}
        self.P = self.units[step.states[0]]

        def uniform(*shape: int) -> Tensor:
            return ((torch.rand(shape, generator=random) * 2 - 1) * H**-0.5).to(dtype)

        self.kernel = kernel_for(step, dtype, isa.available()[0], H, single=True)
        self.work = 0.0
        self.size, self.given = list[Sizes](), list[list[Tensor | None]]()
        x = 3 * uniform(T, 1, I)
        for n in range(layers):
            width = D * self.P if n else I
            self.size.append(Sizes(width, H, self.P))
            self.work += D * self.kernel.work(T, self.size[n])
            initial = [uniform(D, 1, units) for units in self.units.values()]
            inputs = [uniform(T, 1, H) for _ in step.inputs]
            weights = [
                Weights.of([uniform(*s) for s in step.shapes(width, H, self.P).values()])
                for _ in range(D)
            ]
            self.given.append(Given(x, initial, inputs, weights).flat())
            x = x.new_empty(T, 1, D * self.P)
        self.outputs = [*(given[0] for given in self.given[1:]), x]
        self.finals = [self._states(x) for _ in range(layers)]
        saved = self.kernel.saved_size(self.rows, H)
        self.kept = [[x.new_empty(saved) for _ in range(D)] if saved else [] for _ in range(layers)]
        self.g_output = uniform(*x.shape)
        self.g_final = [[uniform(*s.shape) for s in self._states(x)] for _ in range(layers)]

    def _states(self, like: Tensor) -> list[Tensor]:
        return [like.new_empty(self.D, 1, units) for units in self.units.values()]

    def forward(self, training: bool) -> tuple[list[Task], list[list[Tensor | None]]]:
        """The passes from the first layer on, and the tensors of each."""
        tasks, tensors = list[Task](), list[list[Tensor | None]]()
        for n in range(self.layers):
            results, kept = [self.outputs[n], *self.finals[n]], self.kept[n] * training
            for d, way in enumerate(self.rows.ways(self.D)):
                run = self.kernel.forward(
                    *(way, self.size[n], self.given[n], results, kept, training, 1, d, self.D)
                )
                same, other = self._read(n - 1, d, lambda n, d: n * self.D + d)
                tasks.append(Task(run, same, other))
                tensors.append([*self.given[n], *results, *kept, None, None])
        return tasks, tensors

    def _read(self, n: int, d: int, number: Any) -> tuple[int | None, int | None]:
        """The passes of another layer, if there is one, in the same and the opposite order."""
        if not 0 <= n < self.layers:
            return None, None
        return number(n, d), number(n, 1 - d) if self.D == 2 else None

    def backward(
        self, goals: list[list[Tensor | None]]
    ) -> tuple[list[Task], list[list[Tensor | None]]]:
        """The passes from the last layer on, which write the goals of each layer."""
        tasks, tensors = list[Task](), list[list[Tensor | None]]()
        for n in reversed(range(self.layers)):
            above = self.g_output if n == self.layers - 1 else goals[n + 1][0]
            arrived = [above, *self.g_final[n]]
            before = [self.outputs[n], self.given[n][1]] if self.kernel.plan.reads_output else []
            for d, way in enumerate(self.rows.ways(self.D)):
                run = self.kernel.backward(
                    *(way, self.size[n], self.given[n], arrived, goals[n], before, self.kept[n]),
                    *(1, d, self.D),
                    add=d > 0,
                )

                def number(n: int, d: int) -> int:
                    return (self.layers - 1 - n) * self.D + d

                tasks.append(Task(run, *self._read(n + 1, d, number), number(n, 0) if d else None))
                every = [*self.given[n], *arrived, *goals[n], *before, None, *self.kept[n]]
                tensors.append([*every, None, None])
        return tasks, tensors

    def goals(self, dx: bool) -> list[list[Tensor | None]]:
        """Memory for the gradients of all tensors; of the first layer's input only if wanted."""
        found = [
            [None if t is None else torch.empty_like(t) for t in given] for given in self.given
        ]
        if not dx:
            found[0][0] = None
        return found

    def written(self, training: bool) -> list[Tensor]:
        """What a forward pass writes."""
        flat = [*self.outputs, *itertools.chain(*self.finals)]
        return [*flat, *itertools.chain(*self.kept)] if training else flat


def one_after_another(found: tuple[list[Task], list[list[Tensor | None]]]) -> None:
    for task, tensors in zip(*found, strict=True):
        task.run.run(tensors)


def at_once(layers: Layers, found: tuple[list[Task], list[list[Tensor | None]]], team: int) -> Any:
    ready = together.together(found[0], team, layers.work)
    every = [*itertools.chain(*found[1])]
    return lambda: ready.run(every)


def clear(tensors: list[Tensor]) -> None:
    for tensor in tensors:
        tensor.fill_(torch.nan)


def check(layers: Layers, team: int, times: int = 1) -> None:
    """Outputs, states, what is kept and all gradients of both ways to run the passes."""
    for training in (False, True):
        passes, written = layers.forward(training), layers.written(training)
        clear(written)
        one_after_another(passes)
        expected = [t.clone() for t in written]
        assert not any(t.isnan().any() for t in written[: layers.layers])
        run = at_once(layers, passes, team)
        for _ in range(times):
            clear(written)
            run()
            same(written, expected)
    for dx in (False, True):
        goals = layers.goals(dx)
        passes, written = layers.backward(goals), [t for g in goals for t in g if t is not None]
        clear(written)
        one_after_another(passes)
        expected = [t.clone() for t in written]
        assert not any(t.isnan().any() for t in written)
        run = at_once(layers, passes, team)
        for _ in range(times):
            clear(written)
            run()
            same(written, expected)


def same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7))


@pytest.fixture(autouse=True)
def _never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes late is waited for in the next call, too."""
    monkeypatch.setattr("elman.compiler.table.alone", lambda work: False)


cases = pytest.mark.parametrize(
    ("cell", "layers", "D", "I", "H"),
    [
        ("tanh", 1, 1, 3, 7),
        ("tanh", 3, 2, 5, 33),
        ("LSTM", 1, 2, 18, 18),
        ("LSTM", 3, 1, 18, 18),
        ("LSTM", 2, 2, 3, 40),
        ("GRU", 4, 1, 7, 32),
        ("GRU", 2, 2, 9, 65),
        ("GRUBefore", 2, 1, 4, 9),
        ("Projected", 2, 2, 4, 20),
        ("Odd", 2, 2, 3, 9),
    ],
)


@needs_threads
@cases
@pytest.mark.parametrize("team", [1, 2, 3])
def test_passes_at_once_have_the_bits_of_one_after_another(cell, layers, D, I, H, team):  # noqa: E741
    torch.set_num_threads(team)
    for T, dtype in ((1, torch.float32), (2, torch.float64), (17, torch.float32)):
        check(Layers(cell, layers, D, T, I, H, dtype), team, times=5)
    check(Layers(cell, layers, D, 500, I, H, torch.float32), team, times=20 // layers)


def test_the_code_asks_for_nothing_else_on_any_processor():
    for row in isa.TABLE:
        assert undefined(jit.object_code(together.emit(row), row)) == []
