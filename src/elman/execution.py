"""A layer's forward and backward pass by the kernels, for all its directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from . import recompute
from .batch import Given, Rows, by_layer, part_of
from .compiler.isa import ISA
from .launch.calls import Calls
from .launch.kernels import CALLS, kernel_for
from .launch.known import Known
from .passes import BACKWARD, INFER, TRAIN, Passes, Tensors
from .paths import kernel_isa, onlooker, readable, ready_isa, require_operator
from .runtime.memory import LARGE, fresh
from .runtime.tensors import Alike, Forms, form_of
from .spaces import HIDDEN
from .step import Step

_LIMIT = 1024  # signatures that are remembered

Signature = tuple[Any, ...]
_T = TypeVar("_T")


def bind(
    step: Step,
    rows: Rows,
    tensors: Tensors,
    recompute: bool = False,
    narrow: str = "",
    layers: int = 1,
) -> Bound | None:
    """The passes for the tensors of a layer, in the order of ``Given``, or of so many on one
    another, in that of ``batch.by_layer``; None where the reference runs.

    ``narrow`` says what is bfloat16 in products: nothing, ``"weights"``, whose values must be
    numbers of it, or ``"products"``, for all factors, where the processor multiplies such: but not
    in calls of one step, few of whose rows would pay for couples of all weights.

    Raises RuntimeError for shapes that do not go together: tensors would be read beyond their end,
    and anyone can put them there.
    """
    isa = ready_isa()
    signature: Signature = ()
    if isa is not None:
        if narrow == "products" and (not isa.bf16_pairs or rows.T == 1):
            narrow = ""
        signature = (step, isa, recompute, narrow, layers, *_of_rows(rows))
        signature += (*of_tensors(tensors),)
        found: Bound | None = CALLS.get(signature)
        if found is not None:
            return found
    require_operator()
    _check_shapes(step, rows, tensors, layers)
    if kernel_isa(tensors) is None or isa is None or rows.N == 0:
        return None
    return _bind(signature, rows, tensors)


def remember(signature: Signature, value: _T) -> _T:
    """Keeps what a call's signature has decided in ``CALLS``; when there is too much, all goes."""
    if len(CALLS) >= _LIMIT:
        CALLS.clear()
    CALLS[signature] = value
    return value


def _bind(signature: Signature, rows: Rows, tensors: Tensors) -> Bound:
    step, isa, recompute, narrow, layers, *_ = signature
    _check_shapes(step, rows, tensors, layers)
    return remember(signature, Bound(step, rows, isa, recompute, narrow, layers, tensors))


def _of_rows(rows: Rows) -> tuple[Any, ...]:
    T, B, N, counts, _, reverse = rows
    return T, B, N, counts is None, reverse


def of_tensors(tensors: Tensors) -> list[Any]:
    """All of tensors that checks and kernels depend on. RuntimeError for those without strides."""
    return [
        None if t is None else (type(t), t.dtype, t.is_cpu, t.is_neg(), t.shape, t.stride())
        for t in tensors
    ]


class _Back(NamedTuple):
    """What is known of backward passes of one kind."""

    alike: Alike  # to the tensors that one was given
    forms: Forms
    calls: Calls | None


class Bound:
    """The kernels' passes for tensors of one signature: those of a layer, or of a stack's layers
    with nothing between them (``batch.by_layer``)."""

    def __init__(
        self,
        step: Step,
        rows: Rows,
        isa: ISA,
        in_segments: bool,
        narrow: str,
        layers: int,
        tensors: Tensors,
    ) -> None:
        x, _, _, weights = Given.of(step, by_layer(step, tensors, layers)[0])
        size = weights[0].sizes(step)
        units, output = size.units, size[step.output_space]
        D = self.count = len(weights)
        self.step, self.layers = step, layers
        self._form = step, isa, in_segments, narrow, layers
        self._signature = of_tensors(tensors)
        self.kernel = kernel_for(step, x.dtype, isa, units, rows.B == 1, narrow)
        widths = [x.shape[-1], *[D * output] * (layers - 1)]
        self.sizes = [size.with_input(width) for width in widths]
        self.passes = Passes(self.kernel, rows, self.sizes, D)
        several = in_segments and len(rows.spans(units)) > 1
        self._spans = [recompute.Spans(self.kernel, size) for size in self.sizes] if several else []
        #: Whether the backward pass is given the output as it was.
        self.reads_output = self.kernel.plan.reads_output and not several
        #: What the first state begins with where the call does not say.
        self._zeros = x.new_zeros(1, 1, output).expand(layers * D, rows.B, output)
        self._ones = x.new_ones(()).expand(*rows.lead, D * output)
        self._known, self._backs = Known(), Known()
        self._output = form_of((*rows.lead, D * output), x.dtype)
        states = [(layers * D, rows.B, size[step.space(name)]) for name in step.states]
        #: Of the output and the final states.
        self.results = [self._output, *(form_of(shape, x.dtype) for shape in states)]
        self._count = len(self.results)
        saved = self.kernel.saved_size(rows, units)
        #: Of what is kept beside them: the outputs between layers, and what a direction keeps.
        self.kept = [self._output] * (layers - 1)
        self.kept += [form_of((saved,), x.dtype)] * (layers * D if saved else 0)
        self._goals = [None if t is None else form_of(t.shape, t.dtype) for t in tensors]
        most = max(saved, rows.N * max(widths[0], D * output))
        self._large = most * x.itemsize >= LARGE  # some of what a call writes

    def takes(self, x: Tensor) -> bool:
        """Whether an input has the signature of the one that the passes were bound to."""
        return of_tensors([x])[0] == self._signature[0]

    def run(
        self, rows: Rows, tensors: Tensors, keep: bool, factors: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The output and the final states; also what is kept for the backward pass beside them.
        The ``factors`` are those of :meth:`dropout`, or none."""
        if keep and self._spans:
            return self._run_spans(rows, tensors, factors)
        mode = TRAIN if keep else INFER
        key = mode, self.passes.threads(mode), len(factors)
        forms, calls = self._known.find(key) or self._forward(key, rows, tensors, factors)
        made = forms.new()
        if self._large:
            for tensor in made:
                fresh(tensor)
        calls.run([*tensors, *factors, *made, rows.counts, rows.offsets])
        return made[: self._count], [*factors, *made[self._count :]]

    def _forward(
        self, key: tuple[str, int, int], rows: Rows, tensors: Tensors, factors: Sequence[Tensor]
    ) -> tuple[Forms, Calls]:
        mode, threads, dropped = key
        if mode == TRAIN:
            kept = [self._output] * dropped + self.kept
        else:
            kept = [self._output] * self.passes.between(mode, threads)
        forms = Forms([*self.results, *kept])
        calls = self.passes.forward(rows, tensors, factors, forms.meta(), mode, threads)
        return self._known.keep(key, (forms, calls))

    def dropout(self, p: float) -> list[Tensor]:
        """What each output below another layer is multiplied by: torch.nn's random numbers."""
        return [torch.dropout(self._ones, p, True) for _ in range(self.layers - 1)]

    def gradients(
        self,
        rows: Rows,
        tensors: Tensors,
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Tensors,
        needed: tuple[bool, ...],
        links: int = 0,
        apart: bool = False,
    ) -> list[Tensor | None] | None:
        """The gradients of the tensors, None for those not needed; None if what has ``arrived``,
        the gradients of the results, is nothing that kernels read.

        ``tensors`` is what was saved: somebody may have replaced their memory meanwhile. ``output``
        is None if it is not read, or no more what it was: then it is computed again. So many of
        what was ``kept``, the first, are the factors of dropout. The weights' gradients of a single
        layer may be ``apart``: for each row, ``(B, ...)``.
        """
        kind = self.passes.threads(BACKWARD), needed, links, apart
        back = self._back_like(kind, [*tensors, *arrived, output, *kept])
        if back is None or onlooker():
            kept = [t.contiguous() for t in kept]
            arrived = [None if g is None else g.resolve_neg() for g in arrived]
            if any(g is not None for g in arrived) and not readable(arrived):
                return None
            now = of_tensors(tensors)
            if now != self._signature:
                if kernel_isa(tensors) is None:
                    return None
                signature = (*self._form, *_of_rows(rows), *now)
                bound: Bound = CALLS.get(signature) or _bind(signature, rows, tensors)
                return bound.gradients(rows, tensors, output, kept, arrived, needed, links, apart)
            self._check_saved(rows, output, kept, arrived, links)
            back = self._back(kind, rows, tensors, output, kept, arrived)
            self._backs.keep(kind, [back, *(self._backs.find(kind) or ())[:1]])
        made = back.forms.new()
        goals = made[: len(tensors)]
        for tensor in made if self._large or not self.kernel.plan.complete else ():
            if tensor is not None:
                fresh(tensor)
                if not self.kernel.plan.complete:  # the formula reads what has no gradient
                    tensor.zero_()
        if back.calls is None:
            self._span_gradients(rows, tensors, kept, arrived, made, links)
            return goals
        before = self._before(rows, tensors, output, kept[:links]) if self.reads_output else ()
        back.calls.run([*tensors, *arrived, *made, *before, None, *kept, rows.counts, rows.offsets])
        return goals

    def _back_like(self, kind: tuple[Any, ...], tensors: Tensors) -> _Back | None:
        """What is known of a backward pass on such tensors. The last two are: in a loop over single
        steps, the gradient of the last step has another form than those of the others."""
        backs: list[_Back] = self._backs.find(kind) or []
        for back in backs:
            if back.alike.to(tensors):
                if back is not backs[0]:
                    backs.reverse()
                return back
        return None

    def _back(
        self,
        kind: tuple[int, tuple[bool, ...], int, bool],
        rows: Rows,
        tensors: Tensors,
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Tensors,
    ) -> _Back:
        threads, needed, links, apart = kind
        forms_of_goals = self._goals
        if apart:
            first = 1 + len(self.step.states) + len(self.step.inputs)
            each = [g and form_of((rows.B, *g.shape), g.dtype) for g in self._goals[first:]]
            forms_of_goals = [*self._goals[:first], *each]
        goals = [form if n else None for form, n in zip(forms_of_goals, needed, strict=True)]
        between = self.layers - 1 if self._spans else self.passes.between(BACKWARD, threads)
        forms = Forms([*goals, *[self._output] * between])
        calls: Calls | None = None
        if not self._spans:
            key = (*kind, *[None if g is None else g.stride() for g in arrived])
            before = self._before(rows, tensors, output, kept[:links]) if self.reads_output else ()
            given = tensors, arrived, forms.meta(), before, kept
            calls = self._known.find(key) or self._known.keep(
                key, self.passes.backward(rows, *given, threads, links, apart)
            )
        return _Back(Alike([*tensors, *arrived, output, *kept]), forms, calls)

    def _before(
        self, rows: Rows, tensors: Tensors, output: Tensor | None, factors: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The output, and the first state's initial values; the units of both side by side."""
        if output is None or not output.data_ptr():  # it was freed
            output = self.run(rows, tensors, False, factors)[0][0]
        first = tensors[1]
        if first is None:
            first = self._zeros
        elif first.stride(-1) != 1:
            first = first.contiguous()
        return output.contiguous(), first

    def _check_saved(
        self,
        rows: Rows,
        output: Tensor | None,
        kept: Sequence[Tensor],
        arrived: Tensors,
        links: int,
    ) -> None:
        """RuntimeError if what the backward pass would read is not of the forward pass."""
        expected = self.kept
        if self._spans:
            count = len(rows.spans(self.sizes[0].units))
            states = [form_of((count, *f.shape[1:]), f.dtype) for f in self.results[1:]]
            expected = self.kept[: self.layers - 1] + states * (self.layers * self.count)
        factors = [self._output] * 2 * links  # and what they have made of outputs
        found = [output, *arrived, *kept]
        forms = [self._output, *self.results, *factors, *expected]
        for have, want in zip(found, forms, strict=True):
            if have is None:
                continue
            if (tuple(have.shape), have.dtype, have.is_cpu) != (want.shape, want.dtype, True):
                raise RuntimeError(
                    f"expected {want.dtype} of shape {want.shape} from the forward pass, got "
                    f"{have.dtype} of shape {tuple(have.shape)} on {have.device}: a hook of saved "
                    "tensors has changed it, or a weight's size"
                )

    def _run_spans(
        self, rows: Rows, tensors: Tensors, factors: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """:meth:`run` for the backward pass, span after span; of each direction the states before
        every span are kept."""
        output, *finals = Forms(self.results).new()
        outputs: list[Tensor] = [*Forms([self._output] * (self.layers - 1)).new(), output]
        x, dropped, kept = tensors[0], list[Tensor](), list[Tensor]()
        every = by_layer(self.step, tensors, self.layers), self._by_layer(finals)
        each = zip(self._spans, *every, outputs, strict=True)
        for layer, (spans, mine, final, to) in enumerate(each):
            for d, way in enumerate(rows.ways(self.count)):
                kept += recompute.forward(spans, way, [x, *mine[1:]], [fresh(to), *final], d)
            x = to
            if layer < len(factors):
                x = to * factors[layer]
                dropped.append(x)
        return [output, *finals], [*factors, *outputs[:-1], *dropped, *kept]

    def _span_gradients(
        self,
        rows: Rows,
        tensors: Tensors,
        kept: Sequence[Tensor],
        arrived: Tensors,
        made: Tensors,
        links: int,
    ) -> None:
        """Writes the gradients of all tensors, and those between layers behind them."""
        factors, kept = kept[:links], kept[2 * links :]  # from what the layers above were given on
        states, top = len(self.step.states), self.layers - 1
        gradient, *finals = arrived
        parts = by_layer(self.step, tensors, self.layers), self._by_layer(finals)
        goals = by_layer(self.step, made[: len(tensors)], self.layers)
        for layer, mine, final, wanted in reversed(
            [*zip(range(self.layers), *parts, goals, strict=True)]
        ):
            if layer:
                x, dx = kept[layer - 1], made[len(tensors) + layer - 1]
            else:
                x, dx = tensors[0], made[0]
            begin = top + layer * self.count * states
            for d, way in enumerate(rows.ways(self.count)):
                began = kept[begin + d * states : begin + (d + 1) * states]
                recompute.backward(
                    self._spans[layer],
                    *(way, [x, *mine[1:]], began, [gradient, *final], [dx, *wanted[1:]], d),
                )
            gradient = dx.mul_(factors[layer - 1]) if factors and layer else dx

    def _by_layer(self, states: Sequence[Any]) -> list[list[Any]]:
        """Those of each layer."""
        return [[part_of(s, i, self.count) for s in states] for i in range(self.layers)]


def _check_shapes(step: Step, rows: Rows, tensors: Tensors, layers: int) -> None:
    given = by_layer(step, tensors, layers)
    D = len(Given.of(step, given[0]).weights)
    output: Any = None
    for mine in given:
        shapes = [None if t is None else t.shape for t in mine]
        if output is not None:
            shapes[0] = torch.Size([*rows.lead, output])
        output = D * _check_layer(step, rows, shapes, D)


def _check_layer(step: Step, rows: Rows, shapes: Sequence[Any], D: int) -> int:
    """Units of the layer's output."""
    x: Any
    x, initial, inputs, weights = Given.of(step, shapes)
    first: Any = weights[0].flat()
    sizes = step.sizes(first).with_input(x[-1])
    for space in step.spaces:
        if sizes[space] > sizes.units:
            raise RuntimeError(
                f"expected at most {sizes.units} {space.units}, as many as there are "
                f"{HIDDEN.units}, got {sizes[space]}"
            )
    found = step.shapes(sizes)
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
    for name, h in zip(step.states, initial, strict=True):
        shape = (D, rows.B, sizes[step.space(name)])
        if h is not None and h != shape:
            raise RuntimeError(f"expected an initial state of shape {shape}, got {tuple(h)}")
    for further in inputs:
        if further != (*rows.lead, sizes.units):
            raise RuntimeError(
                f"expected a further input of shape {(*rows.lead, sizes.units)}, got "
                f"{tuple(further)}"
            )
    return sizes[step.output_space]
