"""Passes that run at the same time have the bits of one after another: the layers of a stack, and
the two directions of a layer, on any number of threads."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.batch import LayerArgs, Weights
from elman.compiler import isa, jit
from elman.compiler import together as code
from elman.launch import calls, together
from elman.launch.calls import NativeCall
from elman.launch.kernel_cache import kernel_for
from elman.launch.together import Task
from elman.rows import Rows
from elman.spaces import PROJECTED, Sizes
from tests.cells import EVERY_STEP
from tests.compiler.objects import undefined
from tests.late import come_late
from tests.sizes import layer_sizes
from tests.systems import flushing, needs_threads


class Layers:
    """The layers of a stack for one row, their kernels, and memory for all that they write."""

    def __init__(
        self,
        cell: str,
        layers: int,
        D: int,
        T: int,
        I: int,  # noqa: E741
        H: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        step, random = EVERY_STEP[cell], torch.Generator().manual_seed(0)
        self.layers, self.D, self.step = layers, D, step
        self.rows = Rows(T, 1, T)
        self.units = {name: 5 if step.space(name) is PROJECTED else H for name in step.states}
        self.P = self.units[step.states[0]]

        def uniform(*shape: int) -> Tensor:
            return ((torch.rand(shape, generator=random) * 2 - 1) * H**-0.5).to(dtype)

        self.kernel = kernel_for(step, dtype, isa.available()[0], H, single=True)
        self.work = 0.0
        self.size, self.given = list[Sizes](), list[list[Tensor | None]]()
        x = 3 * uniform(T, 1, I)
        for n in range(layers):
            width = D * self.P if n else I
            size = layer_sizes(width, H, self.P)
            self.size.append(size)
            self.work += D * self.kernel.work(T, self.size[n])
            initial = [uniform(D, 1, units) for units in self.units.values()]
            inputs = [uniform(T, 1, H) for _ in step.inputs]
            weights = [
                Weights.of([uniform(*s) for s in step.shapes(size).values()]) for _ in range(D)
            ]
            self.given.append(LayerArgs(x, initial, inputs, weights).flat())
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
                tensors.append([*self.given[n], *results, *kept, None, None])
                tasks.append(Task(run, places(tensors), same, other))
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

                every = [*self.given[n], *arrived, *goals[n], *before, None, *self.kept[n]]
                tensors.append([*every, None, None])
                beside = number(n, 0) if d else None
                tasks.append(Task(run, places(tensors), *self._read(n + 1, d, number), beside))
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


def places(tensors: list[list[Tensor | None]]) -> range:
    """Of the last pass's tensors among those of all."""
    end = sum(map(len, tensors))
    return range(end - len(tensors[-1]), end)


def one_after_another(passes: tuple[list[Task], list[list[Tensor | None]]]) -> None:
    for task, tensors in zip(*passes, strict=True):
        NativeCall([(task.run, range(len(tensors)))]).run(tensors)


def at_once(
    layers: Layers, passes: tuple[list[Task], list[list[Tensor | None]]], team: int
) -> Callable[[], None]:
    run, _ = together.together(passes[0], team, layers.work)
    every = [*itertools.chain(*passes[1])]
    ready = NativeCall([(run, range(len(every)))])
    return lambda: ready.run(every)


def check(layers: Layers, team: int, times: int = 1) -> None:
    """Outputs, states, what is kept and all gradients, from both ways to run the passes."""
    for training in (False, True):
        compare(layers, layers.forward(training), layers.written(training), team, times)
    for dx in (False, True):
        goals = layers.goals(dx)
        written = [t for each in goals for t in each if t is not None]
        compare(layers, layers.backward(goals), written, team, times)


def compare(layers: Layers, passes: Any, written: list[Tensor], team: int, times: int) -> None:
    def results(run: Callable[[], None]) -> list[Tensor]:
        for tensor in written:
            tensor.fill_(torch.nan)
        run()
        return [tensor.nan_to_num(7) for tensor in written]  # what is kept has gaps

    expected = results(lambda: one_after_another(passes))
    assert not any(tensor.isnan().any() for tensor in written[: layers.layers])
    run = at_once(layers, passes, team)
    for _ in range(times):
        for found, right in zip(results(run), expected, strict=True):
            assert torch.equal(found, right)


@pytest.fixture(autouse=True)
def _never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes late is waited for in the next call, too."""
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)


cases = pytest.mark.parametrize(
    ("cell", "layers", "D", "I", "H"),
    [
        ("tanh", 1, 1, 3, 7),
        ("tanh", 3, 2, 5, 33),
        ("LSTM", 1, 2, 18, 18),
        ("LSTM", 3, 1, 18, 18),
        ("GRU", 4, 1, 7, 65),
        ("GRU", 2, 2, 9, 65),
        ("GRUBefore", 2, 1, 4, 9),
        ("Projected", 2, 2, 4, 20),
        ("Odd", 2, 2, 3, 9),
    ],
)
of_some_cells = pytest.mark.parametrize(
    ("cell", "layers", "D"), [("tanh", 3, 2), ("LSTM", 3, 1), ("GRU", 1, 2)]
)


@needs_threads
@cases
@pytest.mark.parametrize("team", [1, 2, 3])
def test_passes_at_once_have_the_bits_of_one_after_another(cell, layers, D, I, H, team):  # noqa: E741
    torch.set_num_threads(team)
    for T, times in ((1, 3), (2, 3), (17, 5), (500, 10)):
        check(Layers(cell, layers, D, T, I, H), team, times)


@needs_threads
@of_some_cells
def test_passes_in_double_precision_have_the_bits_of_one_after_another(cell, layers, D):
    torch.set_num_threads(2)
    check(Layers(cell, layers, D, 300, 3, 17, torch.float64), 2, times=10)


@pytest.fixture
def _busy() -> Iterator[None]:
    """Another thread of this process takes a core."""
    stop, data = threading.Event(), bytes(1 << 20)

    def work() -> None:
        while not stop.is_set():
            hashlib.sha256(data)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@needs_threads
@pytest.mark.usefixtures("_busy")
@of_some_cells
def test_passes_on_a_busy_machine_have_the_bits_of_one_after_another(cell, layers, D):
    torch.set_num_threads(3)
    check(Layers(cell, layers, D, 300, 18, 18), 3, times=10)


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[bool]]:
    """Of each region how many threads it has, which come too late, and whether it says so."""
    late: list[bool] = []
    monkeypatch.setattr(calls, "record_lateness", lambda was_late, work: late.append(was_late))
    return come_late(monkeypatch), late


@of_some_cells
@pytest.mark.parametrize("team", [2, 4])
def test_the_caller_does_what_threads_come_too_late_for(cell, layers, D, team, regions):
    check(Layers(cell, layers, D, 40, 18, 18), team)
    assert set(zip(*regions, strict=True)) == {(min(team, layers * D), True)}


@of_some_cells
def test_the_caller_does_without_threads_that_came_late(cell, layers, D, regions, monkeypatch):
    monkeypatch.setattr(calls, "avoid_threads", lambda work: True)
    check(Layers(cell, layers, D, 40, 18, 18), 2)
    assert regions == ([], [])


@needs_threads
def test_passes_flush_denormal_numbers_if_their_caller_does():
    torch.set_num_threads(2)
    check(Layers("tanh", 1, 2, 300, 5, 18), 2)  # threads that begin later take over the mode anyway
    with flushing():
        layers = Layers("tanh", 1, 2, 300, 5, 18)
        for tensor in layers.given[0]:
            tensor.mul_(torch.finfo(torch.float32).tiny ** 0.5)
        layers.given[0][0].mul_(20)  # its products are partly denormal
        for name in ("bias_ih", "bias_hh"):
            at = layers.step.parameters.index(name)
            for d in range(2):
                layers.given[0][layers.kernel.first_weight(d) + at].zero_()
        check(layers, 2, times=20)
        zeros = (layers.outputs[0] == 0).float().mean()
        assert 0.1 < zeros < 0.9


def test_a_tensor_without_memory_is_refused():
    layers = Layers("LSTM", 2, 1, 5, 3, 7)
    run = at_once(layers, layers.forward(training=False), 2)
    layers.given[1][0].untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="to have memory"):
        run()


def test_the_code_asks_for_nothing_else_on_any_processor():
    for row in isa.TABLE:
        assert undefined(jit.object_code(code.emit(row), row)) == []
