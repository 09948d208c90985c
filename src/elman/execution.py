"""A layer's forward and backward pass by the kernels, for all its directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from . import recompute
from .batch import Given, Rows
from .cell import Step
from .compiler.calls import Calls
from .compiler.isa import ISA
from .compiler.kernel import CALLS, kernel_for
from .compiler.sizes import Sizes
from .compiler.table import Known
from .paths import kernel_isa, onlooker, readable, ready_isa
from .runtime.memory import LARGE, fresh
from .runtime.tensors import Alike, Form, form_of, new_tensors
from .runtime.threads import thread_count

_LIMIT = 1024  # signatures that are remembered

Signature = tuple[Any, ...]
_T = TypeVar("_T")


def bind(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    recompute: bool = False,
    weight_dtype: torch.dtype | None = None,
) -> Bound | None:
    """The passes for these tensors, in the order of ``Given``; None where the reference runs.

    ``weight_dtype`` is what matrices are packed in, if that is narrower than they are: their values
    must be numbers of it.

    Raises RuntimeError for shapes that do not go together: tensors would be read beyond their end,
    and anyone can put them there.
    """
    isa = ready_isa()
    signature: Signature = ()
    if isa is not None:
        signature = (step, isa, recompute, weight_dtype, *_of_rows(rows), *of_tensors(tensors))
        found: Bound | None = CALLS.get(signature)
        if found is not None:
            return found
    _check_shapes(step, rows, tensors)
    if kernel_isa(tensors) is None or isa is None or rows.N == 0:
        return None
    return _bind(signature, rows, tensors)


def remember(signature: Signature, value: _T) -> _T:
    """Keeps what a call's signature has decided in ``CALLS``; when there is too much, all goes."""
    if len(CALLS) >= _LIMIT:
        CALLS.clear()
    CALLS[signature] = value
    return value


def _bind(signature: Signature, rows: Rows, tensors: Sequence[Tensor | None]) -> Bound:
    step, isa, recompute, weight_dtype, *_ = signature
    _check_shapes(step, rows, tensors)
    return remember(signature, Bound(step, rows, isa, recompute, weight_dtype, tensors))


def _of_rows(rows: Rows) -> tuple[Any, ...]:
    T, B, N, counts, _, reverse = rows
    return T, B, N, counts is None, reverse


def of_tensors(tensors: Sequence[Tensor | None]) -> list[Any]:
    """All of tensors that checks and kernels depend on. RuntimeError for those without strides."""
    return [
        None if t is None else (type(t), t.dtype, t.is_cpu, t.is_neg(), t.shape, t.stride())
        for t in tensors
    ]


class _Back(NamedTuple):
    """What is known of backward passes of one kind."""

    alike: Alike  # to the tensors that one was given
    goals: list[Form | None]
    calls: Calls | None  # None for spans


class Bound:
    """The kernels' passes for tensors of one signature."""

    def __init__(
        self,
        step: Step,
        rows: Rows,
        isa: ISA,
        in_segments: bool,
        weight_dtype: torch.dtype | None,
        tensors: Sequence[Tensor | None],
    ) -> None:
        x, _, _, weights = Given.of(step, tensors)
        units, projected = weights[0].sizes(step)
        self.step, self.count = step, len(weights)
        self._form, self._signature = (step, isa, in_segments, weight_dtype), of_tensors(tensors)
        size = Sizes(x.shape[-1], units, projected)
        self.kernel = kernel_for(step, x.dtype, isa, units, rows.B == 1, weight_dtype)
        several = in_segments and len(rows.spans()) > 1
        self.spans = recompute.Spans(self.kernel, size) if several else None
        #: Whether the backward pass is given the output as it was.
        self.reads_output = self.kernel.plan.reads_output and self.spans is None
        #: What the first state begins with where the call does not say.
        self._zeros = x.new_zeros(1, 1, projected).expand(self.count, rows.B, projected)
        self.size, self.work, self._known = size, self.kernel.work(rows.N, size), Known()
        self._backs = Known()
        shapes = [(*rows.lead, self.count * projected)]
        shapes += [
            (self.count, rows.B, projected if name == step.states[0] else units)
            for name in step.states
        ]
        saved_size = self.kernel.saved_size(rows, units)
        self.pieces = [self.kernel.pieces(rows, units, training) for training in (False, True)]
        #: Of the output and the final states, of what is kept, and of the gradients.
        self.results = [form_of(shape, x.dtype) for shape in shapes]
        output = self.results[0]
        #: Of the output, what the signature of the layer above says of its input.
        self._above = (Tensor, x.dtype, True, False, torch.Size(output.shape), output.strides)
        self.kept = [form_of((saved_size,), x.dtype)] * (self.count if saved_size else 0)
        self.single = rows.B == 1
        #: How many tensors a call has, and how many it keeps.
        self.tensors = len(tensors)
        self.keeps = self.count * len(step.states) if self.spans else len(self.kept)
        self._goals = [None if t is None else form_of(t.shape, t.dtype) for t in tensors]
        most = max(saved_size, rows.N * max(self.count * projected, x.shape[-1]))
        self._large = most * x.itemsize >= LARGE  # some of what a call writes

    def takes(self, x: Tensor) -> bool:
        """Whether an input has the signature of the one that the passes were bound to."""
        return of_tensors([x])[0] == self._signature[0]

    def takes_output_of(self, below: Bound) -> bool:
        """Whether that is what another layer returns."""
        return below._above == self._signature[0]

    def by_layer(self, tensors: Sequence[Tensor | None]) -> list[Sequence[Tensor | None]]:
        """The tensors of each layer, of which there is one."""
        return [tensors]

    def run(
        self, rows: Rows, tensors: Sequence[Tensor | None], keep: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The output and the final states; also what is kept for the backward pass beside them."""
        results, kept, calls, every = self.forward_passes(rows, tensors, keep)
        if calls is not None:
            calls.run(every)
        elif self.spans is not None:
            for d, way in enumerate(rows.ways(self.count)):
                kept += recompute.forward(self.spans, way, tensors, results, d)
        return results, kept

    def forward_passes(
        self, rows: Rows, tensors: Sequence[Tensor | None], keep: bool
    ) -> tuple[list[Tensor], list[Tensor], Calls | None, list[Tensor | None]]:
        """What :meth:`run` returns, not yet written; the passes that do so, one for each direction,
        None for spans; and the tensors that they are called with."""
        results, kept = new_tensors(self.results), list[Tensor]()
        if keep and self.spans is not None:
            return results, kept, None, []
        if keep and self.kept:
            kept = new_tensors(self.kept)
        if self._large:
            for written in (results[0], *kept):
                fresh(written)
        threads = thread_count(self.work, self.pieces[keep])
        key = (keep, threads)
        calls = self._known.find(key) or self._forward(key, rows, tensors, results, kept)
        return results, kept, calls, [*tensors, *results, *kept, rows.counts, rows.offsets]

    def _forward(
        self,
        key: tuple[bool, int],
        rows: Rows,
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        kept: Sequence[Tensor],
    ) -> Calls:
        runs = [
            self.kernel.forward(way, self.size, tensors, results, kept, *key, d, self.count)
            for d, way in enumerate(rows.ways(self.count))
        ]
        return self._known.keep(key, Calls(runs))

    def gradients(
        self,
        rows: Rows,
        tensors: Sequence[Tensor | None],
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Sequence[Tensor | None],
        needed: tuple[bool, ...],
    ) -> list[Tensor | None] | None:
        """The gradients of the tensors, None for those not needed; None if what has ``arrived``,
        the gradients of the results, is nothing that kernels read.

        ``tensors`` is what was saved: somebody may have replaced their memory meanwhile. ``output``
        is None if it is not read, or no more what it was: then it is computed again.
        """
        passes = self.backward_passes(rows, tensors, output, kept, arrived, needed)
        if passes is None:
            return None
        goals, calls, every, spans = passes
        if calls is not None:
            calls.run(every)
        elif spans is not None:
            states = len(self.step.states)
            for d, way in enumerate(rows.ways(self.count)):
                began = kept[d * states : (d + 1) * states]
                recompute.backward(spans, way, tensors, began, arrived, goals, d)
        return goals

    def backward_passes(
        self,
        rows: Rows,
        tensors: Sequence[Tensor | None],
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Sequence[Tensor | None],
        needed: tuple[bool, ...],
    ) -> (
        tuple[list[Tensor | None], Calls | None, list[Tensor | None], recompute.Spans | None] | None
    ):
        """What :meth:`gradients` returns, not yet written; the passes that do so, one for each
        direction, and the tensors that each is called with; or the spans."""
        kind = (thread_count(2 * self.work, rows.B), needed)
        back = self._backs.find(kind)
        if back is None or not back.alike.to([*tensors, *arrived, output]) or onlooker():
            arrived = [None if g is None else g.resolve_neg() for g in arrived]
            if any(g is not None for g in arrived) and not readable(arrived):
                return None
            now = of_tensors(tensors)
            if now != self._signature:
                signature = (*self._form, *_of_rows(rows), *now)
                bound: Bound = CALLS.get(signature) or _bind(signature, rows, tensors)
                return bound.backward_passes(rows, tensors, output, kept, arrived, needed)
            back = self._backs.keep(kind, self._back(kind, rows, tensors, output, kept, arrived))
        goals = new_tensors(back.goals)
        if self._large and goals[0] is not None:
            fresh(goals[0])
        if not self.kernel.plan.complete:  # the formula reads something that has no gradient
            for goal in goals:
                if goal is not None:
                    goal.zero_()
        before = self._before(rows, tensors, output) if self.reads_output else ()
        every = [*tensors, *arrived, *goals, *before, None, *kept, rows.counts, rows.offsets]
        return goals, back.calls, every, self.spans

    def _back(
        self,
        kind: tuple[int, tuple[bool, ...]],
        rows: Rows,
        tensors: Sequence[Tensor | None],
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Sequence[Tensor | None],
    ) -> _Back:
        threads, needed = kind
        forms = [form if n else None for form, n in zip(self._goals, needed, strict=True)]
        key = (*kind, *[None if g is None else g.stride() for g in arrived])
        calls: Calls | None = None
        if self.spans is None:
            before = self._before(rows, tensors, output) if self.reads_output else ()
            given = (self.size, tensors, arrived, new_tensors(forms), before, kept, threads)
            calls = self._known.find(key) or self._known.keep(
                key,
                Calls(
                    [
                        self.kernel.backward(way, *given, d, self.count, add=d > 0)
                        for d, way in enumerate(rows.ways(self.count))
                    ]
                ),
            )
        return _Back(Alike([*tensors, *arrived, output]), forms, calls)

    def _before(
        self, rows: Rows, tensors: Sequence[Tensor | None], output: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The output, and the first state's initial values; the units of both side by side."""
        if output is None or not output.data_ptr():  # it was freed
            output = self.run(rows, tensors, keep=False)[0][0]
        first = tensors[1]
        if first is None:
            first = self._zeros
        elif first.stride(-1) != 1:
            first = first.contiguous()
        return output.contiguous(), first


def _check_shapes(step: Step, rows: Rows, tensors: Sequence[Tensor | None]) -> None:
    x: Any
    shapes = [None if t is None else t.shape for t in tensors]
    x, initial, inputs, weights = Given.of(step, shapes)
    first: Any = weights[0]
    of, count = (first.w_hh, step.u_gates) if step.u_gates else (first.w_ih, step.x_gates)
    units = projected = of[0] // len(count)
    if step.projection:
        projected = first.more[list(step.matrices).index(step.projection)][0]
    if projected > units:
        raise RuntimeError(
            f"expected a projected state of at most {units} units, as many as the hidden state "
            f"has, got {projected}"
        )
    found = step.shapes(x[-1], units, projected)
    expected = [found.get(name) for name in step.parameters]
    for mine in weights:
        for i, (want, have) in enumerate(zip(expected, mine.flat(), strict=True)):
            if want != have and not (have is None and i in (2, 3)):
                got = None if have is None else tuple(have)
                raise RuntimeError(
                    f"expected {step.parameters[i]} of shape {want}, got {got}: something has "
                    "replaced it"
                )
    if x != (*rows.lead, x[-1]):
        raise RuntimeError(f"expected x of shape {(*rows.lead, x[-1])}, got {tuple(x)}")
    size = projected
    for h in initial:
        if h is not None and h != (len(weights), rows.B, size):
            raise RuntimeError(
                f"expected an initial state of shape {(len(weights), rows.B, size)}, got {tuple(h)}"
            )
        size = units  # of all states but the first
    for further in inputs:
        if further != (*rows.lead, units):
            raise RuntimeError(
                f"expected a further input of shape {(*rows.lead, units)}, got {tuple(further)}"
            )
