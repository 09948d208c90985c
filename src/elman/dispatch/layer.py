"""Layers of a recurrence as a function of tensors, on the path that fits.

In eager mode that is an executable, entered through autograd; where somebody records or transforms
a call, registered operators (``torch_ops``). The reference does what they cannot do: other devices
and dtypes, derivatives of the gradient, forward mode. ``select`` decides and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import onnx_nodes, reference
from ..batch import LayerArgs, Weights
from ..padded import Marks, begin_and_return
from ..rows import Rows
from ..step import Step
from . import torch_ops
from .autograd import run
from .bind import bind
from .executable import Executable
from .parallel import LEAST_STEPS, hindrance, run_parallel
from .select import arithmetic, obstacle, products, takes_halves
from .transforms import captured, forward_mode

#: What makes an executable for these rows read weights that are packed already; of one for a single
#: layer of several it is told the ``layer=``.
Held = Callable[..., Executable]


def recur(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    inputs: Sequence[Tensor] = (),
    recompute: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """One layer, in one direction or two.

    Args:
        x: ``(T, B, I)``, or ``(N, I)`` for ragged rows.
        initial: for each state a ``(D, B, H)`` tensor, or None for zeros.
        weights: for each direction its tensors; the second runs in reverse.
        inputs: for each of the cell's further inputs a tensor shaped ``(T, B, H)`` or ``(N, H)``.
        recompute: whether an executable runs spans of time once more (``dispatch/recompute.py``);
            ``torch.compile`` has a planner of its own.

    Returns:
        The first state at every step, ``(T, B, D*H)`` or ``(N, D*H)``, and for each state its
        final value, ``(D, B, H)``.

    bfloat16 and float16 are computed in float32, and results are rounded once, at the end: by
    kernels where no gradient is wanted, else by conversions here. Products may be of bfloat16, see
    :func:`bind`.
    """
    (output, *final), _ = run_layer(
        step, rows, LayerArgs(x, initial, inputs, weights).flat(), recompute
    )
    return output, final


def run_layer(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    recompute: bool = False,
    marks: Marks | None = None,
    narrow: str | None = None,
    held: Held | None = None,
) -> tuple[Sequence[Tensor], Executable | None]:
    """:func:`recur` on its tensors in the order of ``LayerArgs``: the output, the final states, and
    further outputs of the step; also the executable, if kernels ran.

    Where a call is ``captured``, ``marks`` says which steps count and where rows begin anew.
    ``narrow`` is that of ``bind``; by default the dtype and autocast decide. If weights are
    ``held``, an executable is made to read them before it runs.
    """
    x, wider = tensors[0], arithmetic(tensors)
    assert x is not None
    narrow = products(x.dtype) if narrow is None else narrow
    if wider is not None and (captured() or not takes_halves(tensors)):
        wide = [None if t is None else t.to(wider) for t in tensors]
        found, _ = run_layer(step, rows, wide, recompute, marks, narrow)
        return [t.to(x.dtype) for t in found], None
    if captured():
        given = LayerArgs.of(step, tensors)
        if torch.onnx.is_in_onnx_export():
            output, final = onnx_nodes.layer(step, rows, given, marks)
            return [output, *final], None
        # A compiled program says when it runs whether it may: it may run elsewhere.
        allowed = torch.compiler.is_compiling() or not obstacle(tensors, watched=False)
        if allowed and torch_ops.suit(rows, given) and not forward_mode():
            if not torch.compiler.is_compiling() and onnx_nodes.older.recording():
                onnx_nodes.older.refuse_programs()
            output, final = torch_ops.recur(step, given, narrow, marks)
            return [output, *final], None
    executable = None
    if not torch.compiler.is_compiling():
        executable = bind(step, rows, _own(step, rows, tensors, marks), recompute, narrow)
    if executable is None:
        given = LayerArgs.of(step, tensors)
        alike = not (captured() or marks is not None or rows.ragged or rows.flat)
        if alike and rows.T >= LEAST_STEPS and not hindrance(step):
            output, final = run_parallel(step, rows, given)
        else:
            output, final = reference.layer(step, rows, given, marks)
        return [output, *final], None
    runs = executable if held is None else held(executable, rows)
    return run(runs, rows, tensors), executable


def _own(
    step: Step, rows: Rows, tensors: Sequence[Tensor | None], marks: Marks | None
) -> Sequence[Tensor | None]:
    """The tensors without the states that a reset returns to."""
    if marks is None:
        return tensors
    given = LayerArgs.of(step, tensors)
    initial = [None if s is None else begin_and_return(s, rows.B)[0] for s in given.initial]
    return given._replace(initial=initial).flat()


def bind_stack(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    layers: int,
    recompute: bool = False,
) -> Executable | None:
    """The executable of so many layers on one another, whose tensors are in the order of
    ``batch.by_layer``; None if kernels cannot run them as one."""
    if captured() or step.reads_input:
        return None  # kernels of one width serve all layers
    if arithmetic(tensors) is not None and not takes_halves(tensors):
        return None
    x = tensors[0]
    assert x is not None
    return bind(step, rows, tensors, recompute, products(x.dtype), layers)
