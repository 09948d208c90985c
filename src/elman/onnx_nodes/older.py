"""Nodes in programs of the older exporter, ``torch.onnx.export(dynamo=False)``."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def recording() -> bool:
    """Whether the older exporter records this call; the newer one does not trace by torch.jit."""
    return torch._C._get_tracing_state() is not None


def node(
    kind: str,
    tensors: Sequence[Tensor | None],
    attributes: Mapping[str, Any],
    shapes: Sequence[Sequence[int]],
) -> Sequence[Tensor]:
    """The results of a node of ONNX: of these shapes, and zeros while the program is recorded."""
    results: Sequence[Tensor] = _Node.apply(kind, dict(attributes), shapes, *tensors)
    return results


class _Node(torch.autograd.Function):
    """An operation that the exporter turns into a node by asking for its ``symbolic``."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        attributes: Mapping[str, Any],
        shapes: Sequence[Sequence[int]],
        *tensors: Tensor | None,
    ) -> Any:
        (x, *_) = tensors
        assert x is not None
        return tuple(x.new_zeros([int(n) for n in shape]) for shape in shapes)

    @staticmethod
    def symbolic(
        g: Any,
        kind: str,
        attributes: Mapping[str, Any],
        shapes: Sequence[Sequence[int]],
        *tensors: Any,
    ) -> Any:
        letters = {str: "s", int: "i", float: "f"}
        named = {
            f"{name}_{letters[type(value[0] if isinstance(value, list) else value)]}": value
            for name, value in attributes.items()
        }
        given = [_none(g) if t is None else t for t in tensors]
        return g.op(kind, *given, outputs=len(shapes), **named)


def _none(g: Any) -> Any:
    """What stands for an input that a node is not given."""
    value = g.op("prim::Constant")
    value.setType(torch._C.OptionalType.ofTensor())
    return value


@functools.cache
def refuse_programs() -> None:
    """Has the exporter say what to export in place of a program of ``torch.jit.trace``, in which a
    layer is elman's own operator."""
    import torch.onnx

    torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
        "elman::recur", _refuse, 9
    )


def _refuse(*_: Any) -> None:
    raise RuntimeError(
        "torch.onnx.export(dynamo=False): expected a module, got a program of torch.jit.trace with "
        "an elman layer in it: give the module that was traced"
    )
