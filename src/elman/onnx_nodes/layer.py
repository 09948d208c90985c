"""A layer as nodes: one of ONNX's operators where its formula is one, else the reference's step."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import reference
from ..batch import LayerArgs, without_masks
from ..padded import Marks
from ..rows import Rows
from ..step import Step
from . import older, operators, scan
from .match import find


def layer(
    step: Step, rows: Rows, given: LayerArgs, marks: Marks | None = None
) -> tuple[Tensor, list[Tensor]]:
    """What :func:`.dispatch.layer.recur` computes, in nodes that take any number of steps and rows.

    In float32 a formula that one of ONNX's operators computes becomes that one; ONNX Runtime has
    them in no other dtype, and they give out no state but the first at every step, and have no
    resets. Any other becomes a Scan, and where there is only one step, its body.

    Raises:
        RuntimeError: the older exporter, where a Scan is needed, or the rows are packed; PyTorch
            before 2.8, which has no nodes for the newer one.
    """
    newer = not older.recording()
    if newer and not hasattr(torch.onnx, "ops"):
        raise RuntimeError(
            "torch.onnx.export(dynamo=True) of elman's layers needs PyTorch 2.8 or newer, got "
            f"{torch.__version__}"
        )
    if rows.counts is not None:
        raise RuntimeError(
            "torch.onnx.export(dynamo=False): expected padded input of elman.Recurrent, got a "
            "PackedSequence: give padded input with lengths="
        )
    step, given = without_masks(step, given)
    lengths, reset = marks or Marks()
    fits = given.x.dtype == torch.float32 and len(step.outputs) == 1 and reset is None
    found = find(step) if fits else None
    if found is not None:
        return operators.layer(found, step, given, lengths)
    if isinstance(rows.T, int) and rows.T == 1:
        return reference.layer(step, rows, given, marks)
    if not newer:
        raise RuntimeError(
            f"torch.onnx.export(dynamo=False) would keep the {int(rows.T)} steps of its example: "
            "this layer is none of ONNX's RNN, LSTM and GRU in float32, or has resets, and only "
            "torch.onnx.export(dynamo=True) makes a loop of its formula"
        )
    return reference.layer(step, rows, given, marks, scan.run)
