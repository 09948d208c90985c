"""The kernels as operators of PyTorch, which every kind of capture sees as one call.

``elman::recur`` is the forward pass of a layer, ``elman::recur_backward`` its gradient. Both have
fake kernels, so the shapes of their results are known for any number of steps and rows. A formula
is given by its text (see ``step.read``), so a captured program runs in any process. The tensors of
a call are one list: ``present`` says of each (see ``batch.LayerArgs``) whether it is there.
``lengths``, ``(B,)``, says how many steps of each padded row count, ``reset``, ``(T, B)``, before
which it begins anew; the rows are packed inside. Initial states of ``2 * B`` rows hold what a reset
returns to (see ``padded.Padded``).

What gradients and functorch's transforms make of them is in ``transforms.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import reference
from ..batch import LayerArgs
from ..compiler.plan import plan_of
from ..errors import PathError
from ..launch.kernel_cache import DTYPES, kernel_for
from ..padded import Marks, Padded, pack
from ..rows import Rows
from ..runtime.untraced import untraced
from ..step import Step, read
from .bind import bind
from .executable import Executable
from .select import current_isa, obstacle

LIBRARY = torch.library.Library("elman", "DEF")
_TAGS = (torch.Tag.pt2_compliant_tag,)
# Programs that `torch.export.save` has written hold the arguments by name: no name may change, and
# what is added has a default. `narrow` is that of `bind.bind`; with `apart`, the weights' gradients
# are those of each row.
LIBRARY.define(
    "recur(str formula, str narrow, Tensor[] tensors, str present, Tensor? lengths, "
    "bool keep, Tensor? reset=None) -> Tensor[]",
    tags=_TAGS,
)
LIBRARY.define(
    "recur_backward(str formula, str narrow, Tensor[] tensors, str present, Tensor? lengths, "
    "Tensor[] kept, Tensor[] gradients, bool[] needed, bool apart=False, "
    "Tensor? reset=None) -> Tensor[]",
    tags=_TAGS,
)


class Recur(NamedTuple):
    """The arguments of ``elman::recur``."""

    formula: str
    narrow: str
    tensors: Sequence[Tensor]
    present: str
    lengths: Tensor | None
    keep: bool
    reset: Tensor | None = None


class RecurBackward(NamedTuple):
    """The arguments of ``elman::recur_backward``: those of the call, and of its gradient."""

    formula: str
    narrow: str
    tensors: Sequence[Tensor]
    present: str
    lengths: Tensor | None
    kept: Sequence[Tensor]
    gradients: Sequence[Tensor]
    needed: Sequence[bool]
    apart: bool = False
    reset: Tensor | None = None


def suit(rows: Rows, given: LayerArgs) -> bool:
    """Whether the operators take such a call; if not, the reference is traced."""
    x = given.x
    return x.device.type == "cpu" and x.dtype in DTYPES and rows.counts is None


def recur(
    step: Step, given: LayerArgs, narrow: str, marks: Marks | None = None
) -> tuple[Tensor, list[Tensor]]:
    """One layer of padded rows as a single call of an operator; see ``layer.run_layer``,
    and for what is ``narrow`` in it ``bind.bind``."""
    every = given.flat()
    tensors, present = [t for t in every if t is not None], _present(every)
    lengths, reset = marks or Marks()
    output, *others = torch.ops.elman.recur.default(
        step.text, narrow, tensors, present, lengths, False, reset
    )
    return output, others


def _present(every: Sequence[Tensor | None]) -> str:
    """A 1 for each tensor that is there, a 0 for one that is not (``torch.jit.trace`` records no
    lists of truth values)."""
    return "".join("0" if t is None else "1" for t in every)


class _Call(NamedTuple):
    """The arguments of an operator as the rest of elman has them."""

    step: Step
    rows: Rows
    given: LayerArgs  # the states are those of sequences, if there are marks
    executable: Executable | None  # None for calls of no rows, which the reference answers
    padded: Padded | None


def _unpack(call: Recur | RecurBackward) -> _Call:
    step, marks = read(call.formula), marks_of(call)
    given = given_of(step, call)
    rows, padded = rows_of(given), None
    if marks is not None:
        _check_marks(marks, rows)
        padded = pack(marks, rows.T, rows.B, len(given.weights), False, given.x.device)
        rows, x, inputs = padded.in_place() or padded.packed, given.x, given.inputs
        if not rows.padded:
            x, inputs = padded.select(x), [*map(padded.select, inputs)]
        initial = [padded.select_state(s) for s in given.initial]
        given = LayerArgs(x, initial, inputs, given.weights)
    every = given.flat()
    executable = bind(step, rows, every, narrow=call.narrow)
    if executable is None and rows.N:
        why = obstacle(every)
        raise PathError(f"a compiled program runs the kernel, which is not possible here: {why}")
    return _Call(step, rows, given, executable, padded)


def given_of(step: Step, call: Recur | RecurBackward) -> LayerArgs:
    """The tensors of a call, with None where ``present`` says so."""
    tensors, present = call.tensors, call.present
    directions, rest = divmod(len(present) - step.first_weight, len(step.parameters))
    fits = present.startswith("1") and present.count("1") == len(tensors)
    fits = fits and tensors[0].dim() == 3
    if rest or directions not in (1, 2) or not fits:
        raise RuntimeError(
            f"elman::recur: expected x of shape (T, B, I), {step.first_weight - 1} tensors and "
            f"{len(step.parameters)} parameters for one direction or two, got {len(present)} of "
            f"which are there {[tuple(t.shape) for t in tensors]}"
        )
    found = iter(tensors)
    return LayerArgs.of(step, [next(found) if here == "1" else None for here in present])


def rows_of(given: LayerArgs) -> Rows:
    """The rows of padded tensors."""
    T, B, _ = given.x.shape
    return Rows(T, B, T * B)


def marks_of(call: Recur | RecurBackward) -> Marks | None:
    """What a call says of its rows, if anything."""
    none = call.lengths is None and call.reset is None
    return None if none else Marks(call.lengths, call.reset)


def _check_marks(marks: Marks, rows: Rows) -> None:
    lengths, reset = marks
    if reset is not None and (reset.dtype != torch.bool or reset.shape != (rows.T, rows.B)):
        raise RuntimeError(
            f"elman::recur: expected reset of shape {(rows.T, rows.B)} in torch.bool, got "
            f"{tuple(reset.shape)} in {reset.dtype}"
        )
    if lengths is None:
        return
    if lengths.dtype != torch.int64 or lengths.shape != (rows.B,):
        raise RuntimeError(
            f"elman::recur: expected lengths of shape {(rows.B,)} in torch.int64, got "
            f"{tuple(lengths.shape)} in {lengths.dtype}"
        )
    if rows.B and not 0 <= int(lengths.min()) <= int(lengths.max()) <= rows.T:
        wrong = lengths[(lengths < 0) | (lengths > rows.T)]
        raise ValueError(
            f"Recurrent: expected lengths between 0 and the {rows.T} steps of input, got "
            f"{int(wrong[0])}"
        )


@torch.library.impl(LIBRARY, "recur", "CompositeExplicitAutograd")
@untraced
def _forward(*arguments: Any) -> list[Tensor]:
    """The output, the final states, further outputs, and what is kept for the backward pass if
    ``keep``: of outputs that are read then copies, as the results of an operator share no memory.
    """
    call = Recur(*arguments)
    step, rows, given, executable, padded = _unpack(call)
    if executable is None:
        output, final = reference.layer(step, rows, given)
        results = [output, *final]
        kept: list[Tensor] = []
    else:
        results, kept = executable.run(rows, given.flat(), call.keep)
    if call.keep:
        plan = plan_of(step)
        again = len(plan.kept_outputs)
        read = [*results[: plan.reads_output], *results[step.results - again :]]
        own = kept[again:] or [given.x.new_empty(0) for _ in given.weights]
        kept = [*(t.clone() for t in read), *own]
    if padded is None:
        return [*results, *kept] if call.keep else results
    before = given_of(step, call)
    output, finals, further = _by_kind(step, results)
    pairs = zip(finals, before.initial, strict=True)
    states = [padded.restore_state(*pair) for pair in pairs]
    if not rows.padded:
        output, *further = map(padded.restore, [output, *further])
    results = [output, *states, *further]
    if not call.keep:
        return results
    sizes = _kept_sizes(step, before, call.reset is not None)
    return [*results, *(_enlarged(k, size) for k, size in zip(kept, sizes, strict=True))]


def _by_kind(step: Step, results: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The first output, the final states, and further outputs."""
    output, *others = results
    return output, others[: len(step.states)], others[len(step.states) :]


def _kept_sizes(step: Step, given: LayerArgs, cut: bool) -> list[tuple[int, ...]]:
    """Of what is kept, for padded rows. With lengths it has no more, but they are data; and so are
    the sequences where resets ``cut`` rows, of which there may be as many as steps."""
    size = given.weights[0].sizes(step).with_input(given.x.shape[-1])
    isa, rows = current_isa(), rows_of(given)
    D, T, B = len(given.weights), rows.T, rows.B
    if isa is None:
        return [(0,)] * D
    units = int(step.row_units(size))
    kernel = kernel_for(step, given.x.dtype, isa, units, bool(B == 1))
    read, plan = rows._replace(B=rows.N) if cut else rows, kernel.plan
    saved = kernel.saved_size(read, units)
    names = [*[*step.outputs][: plan.reads_output], *plan.kept_outputs]
    return [*((T, B, D * size[step.space(name)]) for name in names), *[(saved,)] * D]


def _enlarged(kept: Tensor, size: tuple[int, ...]) -> Tensor:
    """What was kept at the beginning of a tensor of this size."""
    if kept.shape == size:
        return kept
    room = kept.new_empty(size)
    room.view(-1)[: kept.numel()] = kept.view(-1)
    return room


@torch.library.register_fake("elman::recur")
def _(*arguments: Any, **named: Any) -> list[Tensor]:
    call = Recur(*arguments, **named)
    step = read(call.formula)
    given = given_of(step, call)
    x, _, _, weights = given
    size, D = weights[0].sizes(step), len(weights)
    T, B, _ = x.shape
    states = [(D, B, size[step.space(name)]) for name in step.states]
    output, *further = ((T, B, D * size[step.space(name)]) for name in step.outputs)
    shapes = [output, *states, *further]
    kept = _kept_sizes(step, given, call.reset is not None) if call.keep else ()
    return [x.new_empty(shape) for shape in [*shapes, *kept]]


@torch.library.impl(LIBRARY, "recur_backward", "CompositeExplicitAutograd")
@untraced
def _backward(*arguments: Any) -> list[Tensor]:
    """The gradients of those tensors that are needed; of weights those of each row, ``(B, ...)``,
    if these are to be ``apart``."""
    call = RecurBackward(*arguments)
    step, rows, given, executable, padded = _unpack(call)
    arrived, apart = list(call.gradients), call.apart
    if padded is not None:
        output, finals, further = _by_kind(step, arrived)
        if not rows.padded:
            output, *further = map(padded.select, [output, *further])
        arrived = [output, *map(padded.pull_final, finals), *further]
    asked = iter(call.needed)
    wanted = tuple([here == "1" and next(asked) for here in call.present])
    if executable is None:
        shapes = _shapes_of_gradients(step, given.flat(), rows.B, apart)
        zeros = [None if t is None else given.x.new_zeros(shape) for t, shape in shapes]
        found = [g if w else None for g, w in zip(zeros, wanted, strict=True)]
    else:
        found = _gradients(
            executable, rows, given, call.kept, arrived, wanted, padded is not None, apart
        )
    if padded is not None:
        found = _restored(step, padded, found, call, rows)
    return [g for g in found if g is not None]


def _gradients(
    executable: Executable,
    rows: Rows,
    given: LayerArgs,
    kept: Sequence[Tensor],
    arrived: Sequence[Tensor],
    wanted: tuple[bool, ...],
    packed: bool,
    apart: bool,
) -> list[Tensor | None]:
    forms = [spec.shape for spec in executable.kept]
    if len(forms) < executable.directions + len(executable.kernel.plan.kept_outputs):
        forms += [(0,)] * executable.directions  # nothing is kept of a direction
    if executable.reads_output:
        forms.insert(0, executable.results[0].shape)
    have, sizes = [k.numel() for k in kept], [*map(math.prod, forms)]
    enough = len(have) == len(sizes) and all(map(int.__ge__, have, sizes))
    shapes = [tuple(g.shape) for g in arrived]
    if (not enough if packed else have != sizes) or shapes != [f.shape for f in executable.results]:
        raise RuntimeError("elman::recur_backward: these tensors are not of the forward pass")
    if packed:
        each = zip(kept, sizes, forms, strict=True)
        kept = [k.view(-1)[:size].view(form) for k, size, form in each]
    output, saved = (kept[0], kept[1:]) if executable.reads_output else (None, kept)
    saved = saved[: len(executable.kept)]
    every = given.flat()
    found = executable.gradients(rows, every, output, saved, arrived, wanted, apart=apart)
    if found is None:
        raise RuntimeError("elman::recur_backward: no kernel can read these gradients")
    return found


def _restored(
    step: Step,
    padded: Padded,
    found: Sequence[Tensor | None],
    call: RecurBackward,
    rows: Rows,
) -> list[Tensor | None]:
    """Gradients of sequences, run as these rows, as those of padded rows."""
    initial = given_of(step, call).initial

    def restore(i: int, g: Tensor) -> Tensor:
        if 1 <= i < step.first_input:
            state = initial[i - 1]
            assert state is not None
            return padded.pull_initial(g, call.gradients[i], state.shape[1])
        if i < step.first_weight:
            return g if rows.padded else padded.restore(g)
        return padded.sum_rows(g) if call.apart else g

    return [None if g is None else restore(i, g) for i, g in enumerate(found)]


def _shapes_of_gradients(
    step: Step, tensors: Sequence[Tensor | None], B: int, apart: bool
) -> list[tuple[Tensor | None, tuple[int, ...]]]:
    """All tensors of a call, and the shapes of their gradients."""
    first = step.first_weight
    return [
        (t, () if t is None else (B, *t.shape) if apart and i >= first else tuple(t.shape))
        for i, t in enumerate(tensors)
    ]


@torch.library.register_fake("elman::recur_backward")
def _(*arguments: Any, **named: Any) -> list[Tensor]:
    call = RecurBackward(*arguments, **named)
    step, asked = read(call.formula), iter(call.needed)
    given = given_of(step, call)
    every = _shapes_of_gradients(step, given.flat(), given.x.shape[1], call.apart)
    return [t.new_empty(shape) for t, shape in every if t is not None and next(asked)]
