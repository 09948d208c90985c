"""The kernels of a layer, or of a stack of layers, for tensors of one signature."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..batch import LayerArgs, by_layer, check_shapes
from ..compiler.isa import ISA
from ..launch.calls import NativeCall
from ..launch.kernel import BACKWARD, INFER, TRAIN
from ..launch.kernel_cache import HOLDERS, kernel_for
from ..launch.packed import PackedWeights
from ..launch.stack import StackLauncher, Tensors
from ..padded import dropout_of
from ..rows import Rows
from ..runtime.bounded import BoundedCache
from ..runtime.large import fresh, reuse
from ..runtime.memory import LARGE
from ..runtime.tensors import TensorGuard, TensorSpec, TensorSpecs, spec_of
from ..step import Step
from .select import kernel_isa, onlooker, readable

Signature = tuple[Any, ...]

_READY = 64  # native calls of one executable, each with tables of some kilobytes
#: All executables, by their signatures.
EXECUTABLES: BoundedCache[Signature, Executable] = BoundedCache(1024)
HOLDERS.append(EXECUTABLES)


class Kind(NamedTuple):
    """What an executable does, whatever the tensors."""

    step: Step
    isa: ISA
    recompute: bool
    narrow: str  # what takes fewer bytes in products, see `bind`
    layers: int
    wide_states: bool  # see `bind`


def signature_of(kind: Kind, rows: Rows, tensors: Tensors) -> Signature:
    """All that an executable depends on. RuntimeError for tensors without strides."""
    T, B, N, counts, _, *others = rows
    return *kind, T, B, N, counts is None, *others, *of_tensors(tensors)


def of_tensors(tensors: Tensors) -> list[Any]:
    """All of tensors that checks and kernels depend on. RuntimeError for those without strides."""
    return [
        None if t is None else (type(t), t.dtype, t.is_cpu, t.is_neg(), t.shape, t.stride())
        for t in tensors
    ]


#: What a backward pass is given: rows and tensors of the call, its output, what was kept, the
#: gradients that have arrived, and how many of what was kept are dropout's masks.
Saved = tuple[Rows, Tensors, Tensor | None, Sequence[Tensor], Tensors, int]
_Mode = tuple[int, tuple[bool, ...], int, bool]  # threads, needed, mask_count, apart


class Backward(NamedTuple):
    """A backward pass that is ready for tensors like those that one was given."""

    guard: TensorGuard
    specs: TensorSpecs  # of the gradients, and of those between layers
    calls: NativeCall | None  # None if it runs in spans of time


class ReadOutput(NamedTuple):
    """An output that the backward pass reads: a state."""

    place: int  # among what is kept, unless it is the first output
    number: int  # of its initial values among the tensors of a call
    zeros: Tensor  # what these are where a call has none, without memory of their size

    def initial(self, tensors: Tensors) -> Tensor:
        """Its initial values, the units side by side."""
        first = tensors[self.number]
        if first is None:
            return self.zeros
        return first if first.stride(-1) == 1 else first.contiguous()


class Executable:
    """The passes of a layer, or of layers on one another (``batch.by_layer``), for tensors of one
    signature. What only sizes and strides decide is decided once."""

    def __init__(self, kind: Kind, rows: Rows, tensors: Tensors) -> None:
        step, isa, _, narrow, layers, wide_states = self._kind = kind
        x, _, _, weights = LayerArgs.of(step, by_layer(step, tensors, layers)[0])
        size = weights[0].sizes(step).with_input(x.shape[-1])
        units, output = step.row_units(size), size[step.output_space]
        D = self.directions = len(weights)
        assert layers == 1 or len(step.outputs) == 1
        self.step, self.layers = step, layers
        self._packed: PackedWeights | None = None
        self._signature = of_tensors(tensors)
        single, padded = rows.B == 1, rows.padded is not None
        made_for = single, narrow, padded, wide_states
        self.kernel = kernel_for(step, x.dtype, isa, units, *made_for)
        widths = [x.shape[-1], *[D * output] * (layers - 1)]
        self.sizes = [size.with_input(width) for width in widths]
        self.passes = StackLauncher(self.kernel, rows, self.sizes, D)
        plan, lead = self.kernel.plan, rows.of_states(layers * D)
        #: Dropout's mask of no dropout, without memory of its size.
        self._ones = x.new_ones(()).expand(*rows.lead, D * output)
        self._ready: BoundedCache[Any, Any] = BoundedCache(_READY)
        self._backs: BoundedCache[Any, list[Backward]] = BoundedCache(_READY)
        self.output = spec_of((*rows.lead, D * output), x.dtype)
        counts = [size[step.space(name)] for name in step.states]
        further = [D * size[step.space(name)] for name in step.outputs][1:]
        #: Of the output, the final states, and further outputs.
        self.results = [self.output, *(spec_of((*lead, n), x.dtype) for n in counts)]
        self.results += [spec_of((*rows.lead, n), x.dtype) for n in further]
        self._count = len(self.results)
        self._first_kept = self._count - len(plan.kept_outputs)
        #: Whether the backward pass is given the output as it was.
        self.reads_output = plan.reads_output
        self._read = [
            ReadOutput(
                step.place(name) - self._first_kept,
                1 + step.states.index(name),
                x.new_zeros(1, size[step.space(name)]).expand(*lead, -1),
            )
            for name in plan.read_outputs
        ]
        saved = self.kernel.saved_size(rows, units)
        #: Of what is kept: results that are read again, the outputs between layers, and what a
        #: direction keeps.
        self.kept = self.results[self._first_kept :] + [self.output] * (layers - 1)
        self.kept += [spec_of((saved,), x.dtype)] * (layers * D if saved else 0)
        self._goals = [None if t is None else spec_of(t.shape, t.dtype) for t in tensors]
        most = max(saved, math.prod(rows.lead) * max(widths[0], D * output))
        self._padded = rows.padded
        #: Whether memory is made ready before a call writes it: some is large, or needs zeros.
        self._unready = most * x.itemsize >= LARGE or rows.padded is not None
        self._incomplete = not plan.complete  # the formula reads what has no gradient

    def takes(self, x: Tensor) -> bool:
        """Whether an input has the signature of the one that this was made for."""
        return of_tensors([x])[0] == self._signature[0]

    def holding(self, packed: PackedWeights, rows: Rows, narrow: str) -> Executable:
        """The same, but inference reads ``packed`` weights; of weights that a call brings only the
        number counts. They may be ``narrow``, see `bind`."""
        made = copy.copy(self)
        if narrow:
            kind = self._kind._replace(narrow=narrow)
            like = [
                None if t is None else torch.empty_strided(t[-2], t[-1], dtype=t[1], device="cpu")
                for t in self._signature
            ]
            made = type(self)(kind, rows, like)
            made._signature = self._signature
        made._packed, made._ready = packed, BoundedCache(_READY)
        return made

    def dropout(self, p: float, rows: Rows) -> list[Tensor]:
        """The masks of the outputs below other layers, with torch.nn's random numbers."""
        return [dropout_of(self._ones, p, rows) for _ in range(self.layers - 1)]

    def run(
        self, rows: Rows, tensors: Tensors, keep: bool, masks: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The output, the final states and further outputs; also what is kept for the backward pass
        besides the output. The ``masks`` are those of :meth:`dropout`, or none."""
        mode = TRAIN if keep else INFER
        key = mode, self.passes.threads(mode), len(masks)
        specs, calls = self._ready.get(key) or self._forward(key, rows, tensors, masks)
        made = specs.new()
        if self._unready:
            self._make_ready(made)
        calls.run([*tensors, *masks, *made, rows.counts, rows.offsets])
        return made[: self._count], [*masks, *made[self._first_kept :]] if keep else []

    def _make_ready(
        self, made: Sequence[Tensor | None], gradients: int = 0, zeros: bool = False
    ) -> None:
        """Gives large tensors memory, and writes zeros to padded tensors, or to all. The first are
        gradients for autograd."""
        for i, tensor in enumerate(made):
            if tensor is None:
                continue
            # Autograd adds to a gradient where it lies if nobody else holds its memory.
            fresh(tensor) if i < gradients else reuse(tensor)
            if zeros or tensor.shape[:-1] == self._padded:
                tensor.data.zero_()  # which counts as no change of the tensor

    def inference(self, rows: Rows) -> Callable[[Tensors], list[Tensor]]:
        """What :meth:`run` gives of tensors of a call with these rows, where nothing is kept. Small
        calls have nothing left to decide."""
        if self._unready or not self.passes.alone(INFER):
            return lambda tensors: self.run(rows, tensors, False)[0]
        key, count, ends = (INFER, 1, 0), self._count, (rows.counts, rows.offsets)
        ready: tuple[TensorSpecs, NativeCall] | None = None

        def run(tensors: Tensors) -> list[Tensor]:
            nonlocal ready
            if ready is None:
                ready = self._ready.get(key) or self._forward(key, rows, tensors)
            specs, calls = ready
            made = specs.new()
            calls.run([*tensors, *made, *ends])
            return made[:count]

        return run

    def _forward(
        self, key: tuple[str, int, int], rows: Rows, tensors: Tensors, masks: Sequence[Tensor] = ()
    ) -> tuple[TensorSpecs, NativeCall]:
        mode, threads, dropped = key
        assert mode == INFER or not self.kernel.spec.target.given  # these kernels keep nothing
        if mode == TRAIN:
            specs = TensorSpecs(
                [*self.results[: self._first_kept], *[self.output] * dropped, *self.kept]
            )
        else:
            between = self.passes.between(mode, threads)
            specs = TensorSpecs([*self.results, *[self.output] * between])
        packed = None if mode == TRAIN else self._packed
        calls = self.passes.forward(rows, tensors, masks, specs.meta(), mode, threads, packed)
        return self._ready.keep(key, (specs, calls))

    def gradients(
        self,
        rows: Rows,
        tensors: Tensors,
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Tensors,
        needed: tuple[bool, ...],
        mask_count: int = 0,
        apart: bool = False,
    ) -> list[Tensor | None] | None:
        """The gradients of the tensors, None for those not needed; None if no kernel can read the
        gradients of the results that have ``arrived``.

        ``tensors`` is what was saved: somebody may have replaced their memory meanwhile. ``output``
        is None if it is not read, or if it has changed: then it is computed again. The first
        ``mask_count`` tensors that were ``kept`` are dropout's masks. The weights' gradients of a
        single layer may be ``apart``: for each row, ``(B, ...)``.
        """
        kind = self.passes.threads(BACKWARD), needed, mask_count, apart
        back = self._known_backward(kind, [*tensors, *arrived, output, *kept])
        if back is None or onlooker():
            kept = [t.contiguous() for t in kept]
            arrived = [None if g is None else g.resolve_neg() for g in arrived]
            if any(g is not None for g in arrived) and not readable(arrived):
                return None
            if of_tensors(tensors) != self._signature:
                if kernel_isa(tensors) is None:
                    return None
                other = self._for(rows, tensors)
                return other.gradients(
                    rows, tensors, output, kept, arrived, needed, mask_count, apart
                )
            given = rows, tensors, output, kept, arrived, mask_count
            self._check_saved(given)
            back = self._backward(kind, given)
            self._backs.keep(kind, [back, *(self._backs.get(kind) or [])[:1]])
        made = back.specs.new()
        if self._unready or self._incomplete:
            self._make_ready(made, len(tensors), self._incomplete)
        self._run_backward(back.calls, (rows, tensors, output, kept, arrived, mask_count), made)
        return made[: len(tensors)]

    def _for(self, rows: Rows, tensors: Tensors) -> Executable:
        """The executable of the same kind for other tensors."""
        signature = signature_of(self._kind, rows, tensors)
        found = EXECUTABLES.get(signature)
        if found is None:
            check_shapes(self.step, rows, tensors, self.layers)
            found = EXECUTABLES.keep(signature, type(self)(self._kind, rows, tensors))
        return found

    def _known_backward(self, kind: tuple[Any, ...], tensors: Tensors) -> Backward | None:
        """One of the last two backward passes, if its tensors were like these: in a loop over
        single steps, the gradient of the last step has another form than those of the others."""
        backs = self._backs.get(kind) or []
        for back in backs:
            if back.guard.matches(tensors):
                if back is not backs[0]:
                    backs.reverse()
                return back
        return None

    def _backward(self, kind: _Mode, given: Saved) -> Backward:
        threads, needed, _, apart = kind
        rows, tensors, output, kept, arrived, _ = given
        goals = self._goals
        if apart:
            first = self.step.first_weight
            each = [g and spec_of((rows.B, *g.shape), g.dtype) for g in goals[first:]]
            goals = [*goals[:first], *each]
        wanted = [spec if n else None for spec, n in zip(goals, needed, strict=True)]
        specs = TensorSpecs([*wanted, *[self.output] * self._between(threads)])
        calls = self._backward_calls(kind, given, specs)
        return Backward(TensorGuard([*tensors, *arrived, output, *kept]), specs, calls)

    def _between(self, threads: int) -> int:
        """How many gradients between layers a backward pass writes."""
        return self.passes.between(BACKWARD, threads)

    def _backward_calls(self, kind: _Mode, given: Saved, specs: TensorSpecs) -> NativeCall | None:
        (threads, _, mask_count, apart), (rows, tensors, _, kept, arrived, _) = kind, given
        key = (*kind, *[None if g is None else g.stride() for g in arrived])
        found: NativeCall | None = self._ready.get(key)
        if found is None:
            tensors_of = rows, tensors, arrived, specs.meta(), self._before(given), kept
            made = self.passes.backward(*tensors_of, threads, mask_count, apart)
            found = self._ready.keep(key, made)
        return found

    def _run_backward(self, calls: NativeCall | None, given: Saved, made: Tensors) -> None:
        """Writes the gradients of all tensors, and those between layers behind them."""
        assert calls is not None
        rows, tensors, _, kept, arrived, _ = given
        before = self._before(given) if self._read else ()
        calls.run([*tensors, *arrived, *made, *before, None, *kept, rows.counts, rows.offsets])

    def _before(self, given: Saved) -> Sequence[Tensor]:
        """The outputs that the backward pass reads, and these states' initial values; the units of
        each side by side."""
        rows, tensors, output, kept, _, mask_count = given
        found: list[Tensor] = []
        if self.reads_output:
            if output is None or not output.data_ptr():  # it was freed
                output = self.run(rows, tensors, False, kept[:mask_count])[0][0]
            if self._first_kept == self._count:  # no other
                return output.contiguous(), self._read[0].initial(tensors)
            found.append(output)
        found += [kept[read.place] for read in self._read[len(found) :]]
        return [*(t.contiguous() for t in found), *(read.initial(tensors) for read in self._read)]

    def _check_saved(self, given: Saved) -> None:
        """RuntimeError if what the backward pass would read is not of the forward pass."""
        rows, _, output, kept, arrived, mask_count = given
        masks = [self.output] * 2 * mask_count  # and the outputs times them
        found = [output, *arrived, *kept]
        specs = [self.output, *self.results, *masks, *self._kept_specs(rows)]
        for have, want in zip(found, specs, strict=True):
            if have is None:
                continue
            if (tuple(have.shape), have.dtype, have.is_cpu) != (want.shape, want.dtype, True):
                raise RuntimeError(
                    f"expected {want.dtype} of shape {want.shape} from the forward pass, got "
                    f"{have.dtype} of shape {tuple(have.shape)} on {have.device}: a hook of saved "
                    "tensors has changed it, or a weight's size"
                )

    def _kept_specs(self, _: Rows) -> list[TensorSpec]:
        """Of what :meth:`run` keeps besides dropout's masks and what these have made of outputs."""
        return self.kept
