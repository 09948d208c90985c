"""The kernels of a session for chunks of one length, with all memory that they need."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..batch import Weights
from ..dispatch.bind import bind
from ..dispatch.select import arithmetic, obstacle
from ..errors import PathError
from ..launch.calls import NativeCall
from ..launch.kernel import INFER
from ..launch.packed import PackedWeights
from ..launch.table import Launch
from ..launch.together import Task, together
from ..rows import Rows
from ..runtime.tensors import spec_of
from ..runtime.threads import thread_count
from ..step import Step


class Chunk:
    """A stack of layers over ``T`` steps.

    Args:
        step: the formula.
        T: how many steps.
        width: features of the input.
        weights: of each layer, in the order of ``step.parameters``; nobody else changes them.
        states: of each layer, ``(1, B, H)`` each: read, and written; of float32 for weights of a
            narrower dtype.
        lead: the dimensions of an output between time and units, ``(B,)`` or none.
        residual: whether every layer but the first adds its input to its output.
        narrow: what the matrices are packed as if not as floats, whose values they have, see
            :func:`bind`.
        packed: these weights, which chunks of other lengths read too.

    Raises:
        PathError: where kernels cannot run.
    """

    def __init__(
        self,
        step: Step,
        T: int,
        width: int,
        weights: Sequence[Sequence[Tensor | None]],
        states: Sequence[Sequence[Tensor]],
        lead: tuple[int, ...],
        residual: bool,
        narrow: str,
        packed: PackedWeights,
    ) -> None:
        self.T, self._names = T, step.inputs
        self._strides: tuple[int, ...] = ()
        like = next(t for t in weights[0] if t is not None)
        B = states[0][0].shape[1]
        rows = Rows(T, B, T * B)
        x, wider = like.new_zeros(T, B, width), arithmetic([like])
        self._layers: list[Launch] = []
        self._between: list[Tensor] = []
        self._further: list[list[Tensor]] = []  # of each layer, what it gives out besides
        inputs = range(step.first_input, step.first_weight)
        at_once = B == 1 and T > 1 and len(weights) > 1 and not residual
        passes, brought = list[tuple[Launch, range]](), 0
        for held, mine in zip(weights, states, strict=True):
            size = Weights.of(held).sizes(step).with_input(x.shape[-1])
            further = [like.new_zeros(T, B, size[step.input_space(n)]) for n in step.inputs]
            tensors = [x, *mine, *further, *held]
            begin = [s.to(x.dtype) if s.dtype is wider else s for s in mine]
            alike = [x, *begin, *further, *held]
            executable = bind(step, rows, alike, narrow=narrow, wide_states=True)
            if executable is None:
                raise PathError(f"Stream: kernels are not possible here: {obstacle(alike)}")
            outputs = [like.new_zeros(T, B, size[step.space(name)]) for name in step.outputs]
            self._further.append(outputs[1:])
            results = [outputs[0], *mine, *outputs[1:]]
            self._schedule = executable.kernel.spec.schedule
            threads = 1 if at_once else executable.passes.threads(INFER)
            ready = executable.kernel.forward(
                rows, executable.sizes[0], tensors, results, (), False, threads, packed=True
            )
            free = [*inputs] if self._layers else [0, *inputs]
            if len(self._layers) == len(weights) - 1:
                free.append(len(tensors))  # the output
            every = [*tensors, *results, None, None]
            self._layers.append(packed.read_by(ready, executable.kernel, every).hold(every, free))
            passes.append((self._layers[-1], range(brought, brought + len(free))))
            x, brought = results[0], brought + len(free)
            self._between.append(x)
        del self._between[-1]  # a call brings the last output
        self.spec = spec_of((T, *lead, x.shape[2]), x.dtype)
        chained = self._at_once(passes) if at_once else passes
        groups = [[one] for one in passes] if residual else [chained]
        #: What runs in one call each, with the places of its tensors among those of the call.
        self.groups: Sequence[Sequence[tuple[Launch, range]]] = groups
        self._calls = [NativeCall(group) for group in groups]

    def _at_once(self, passes: Sequence[tuple[Launch, range]]) -> Sequence[tuple[Launch, range]]:
        """The passes of a single row's layers as one that runs them at the same time, if there are
        threads: they follow one another some steps behind."""
        work = sum(run.work for run, _ in passes)
        least = self._schedule.flop_per_thread
        threads = thread_count(work, len(passes), least)
        if threads == 1:
            return passes
        tasks = [Task(run, places, i - 1 if i else None) for i, (run, places) in enumerate(passes)]
        run, self._layers = together(tasks, threads, work, self._schedule)
        brought = range(1 + max(run.numbers))
        return [(run.hold([None] * len(brought), brought), brought)]

    def run(
        self,
        x: Tensor,
        strides: tuple[int, ...],
        output: Tensor,
        further: Sequence[Sequence[Tensor]] = (),
        every: list[list[Tensor]] | None = None,
    ) -> None:
        """All layers, from ``x`` to ``output``, one of that spec; ``strides`` are those of time,
        rows (not if there is one row) and units. ``further`` has the further inputs of each layer,
        ``(T, B, H)``. What the step gives out is added to ``every``, as a list for each layer."""
        tensors: list[Tensor | None] = [x, output]
        if strides != self._strides:
            self._layers[0].point("x", strides)
            self._strides = strides
        if further:
            tensors = [x]
            for layer, inputs in zip(self._layers, further, strict=True):
                tensors += inputs
                for name, value in zip(self._names, inputs, strict=True):
                    layer.point(f"input.{name}", value.stride())
            tensors.append(output)
        for number, calls in enumerate(self._calls):
            calls.run(tensors)
            if every is not None:
                every += self._given_out(number, output)
            if number:  # there are several for residuals' sake
                below = self._between[number - 1]
                above = output if number == len(self._between) else self._between[number]
                above.view_as(below).add_(below)

    def bring(self, x: Tensor, output: Tensor, further: Sequence[Tensor] = ()) -> list[Tensor]:
        """The tensors of all later calls of :attr:`groups`, which call for no others; there are
        ``further`` inputs for a single layer only."""
        layer = self._layers[0]
        layer.point("x", x.stride())
        for name, value in zip(self._names, further, strict=True):
            layer.point(f"input.{name}", value.stride())
        return [x, *further, output]

    def _given_out(self, number: int, output: Tensor) -> list[list[Tensor]]:
        """Copies of what the layers of a call give out, in the form of the output."""
        firsts, lead = [*self._between, output], output.shape[:-1]
        layers = [[*mine] for mine in zip(firsts, *zip(*self._further, strict=True), strict=True)]
        mine = layers if len(self._calls) == 1 else layers[number : number + 1]
        return [[t.clone().view(*lead, -1) for t in outputs] for outputs in mine]
