"""From a signature to an executable."""

from __future__ import annotations

from ..batch import LayerArgs, by_layer, check_shapes
from ..errors import PathError
from ..launch.kernel_cache import current_schedule
from ..launch.stack import Tensors
from ..rows import Rows
from ..step import Step
from .executable import EXECUTABLES, Executable, Kind, Signature, signature_of
from .recompute import Recomputing
from .select import arithmetic, decide, ready_isa


def bind(
    step: Step,
    rows: Rows,
    tensors: Tensors,
    recompute: bool = False,
    narrow: str = "",
    layers: int = 1,
    wide_states: bool = False,
) -> Executable | None:
    """What runs a layer, whose tensors are in the order of ``LayerArgs``, or so many layers on one
    another, whose tensors are in that of ``batch.by_layer``; None where the reference runs.

    ``narrow`` says what takes fewer bytes in products: nothing; the weights, in inference only, as
    bfloat16 (``"weights"``) or as ``"int8"``, whose values they must have; or all factors, as
    bfloat16 (``"products"``), where the processor multiplies such. Calls of one step ignore the
    latter: few of their rows would pay for packing all weights in pairs. With ``wide_states`` the
    kernel's states are of the dtype that a narrower one is computed in, whatever those given.

    Raises:
        PathError: a path was asked for by force that cannot run.
        RuntimeError: shapes that do not go together.
    """
    isa, signature, kind = ready_isa(), Signature(), None
    if isa is not None:
        if narrow == "products" and (not isa.bf16_pairs or rows.T == 1):
            narrow = ""
        wide_states = wide_states and arithmetic(tensors) is not None
        kind = Kind(step, isa, recompute, narrow, layers, wide_states)
        signature = signature_of(kind, rows, tensors)
        found = EXECUTABLES.get(signature)
        if found is not None:
            return found
    path, reason = decide(tensors)
    if path == "none":
        raise PathError(reason)
    check_shapes(step, rows, tensors, layers)
    if path != "kernel" or kind is None or rows.N == 0:
        return None
    sizes = LayerArgs.of(step, by_layer(step, tensors, layers)[0]).weights[0].sizes(step)
    several = recompute and len(current_schedule().spans(rows, sizes.units)) > 1
    return EXECUTABLES.keep(
        signature, (Recomputing if several else Executable)(kind, rows, tensors)
    )
