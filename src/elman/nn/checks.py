"""Checks of single tensors: inputs, states and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..spaces import INPUT, Sizes
from ..step import Step
from .messages import described, no_tensor, raised_by, refusal, same_dtype

#: Raises what torch.nn would.
Asked = Callable[[], object]


def tensor(owner: str, name: str, value: Tensor, weight: Tensor) -> Tensor:
    """A further input, of the weights' dtype and device; converted only under autocast."""
    if not isinstance(value, Tensor):
        raise refusal(TypeError, "", owner, f"{name} to be a Tensor", type(value).__name__)
    check_dense(owner, name, value)
    value = of_dtype(owner, name, value, weight)
    if not (value.is_cpu and weight.is_cpu) and value.device != weight.device:
        raise _elsewhere("", owner, name, value, weight)
    return value


def check_dims(owner: str, torchs: str, name: str, value: Any, shapes: dict[int, str]) -> int:
    """The dimensions of a tensor, one of those of the ``shapes`` that it may have; ``torchs`` is
    what torch.nn calls it."""
    if not isinstance(value, Tensor):
        raise no_tensor(owner, name, value)
    dims = value.dim()
    if dims not in shapes:
        either = " or ".join(f"{n}D" for n in shapes)
        instead = "tensor instead" if owner == "RNN" else "instead"
        sentence = f"{owner}: Expected {torchs} to be {either}, got {dims}D {instead}"
        expected = " or ".join(f"{n}-D {shape}" for n, shape in shapes.items())
        raise refusal(ValueError, sentence, owner, f"{name} to be {expected}", described(value))
    return dims


def check_features(owner: str, x: Tensor, size: int, torchs: str, called: str = "") -> None:
    """RuntimeError for an input of another size; ``torchs`` is torch.nn's sentence."""
    if x.shape[-1] != size:
        sentence, got = torchs.format(size=size, got=x.shape[-1]), f"{x.shape[-1]} in shape"
        expected = f"the last dimension of input to be {called}{size}"
        raise refusal(RuntimeError, sentence, owner, expected, f"{got} {tuple(x.shape)}")


def check_dense(owner: str, name: str, value: Tensor) -> None:
    """RuntimeError for a tensor of another layout, or one of inference that wants a gradient."""
    if value.layout is not torch.strided or value.is_nested:
        kind, remedy = str(value.layout), f"convert it with {name}.to_dense()"
        if value.is_nested:
            kind = "nested"
            remedy = "pad it with to_padded_tensor(0.0), or use a PackedSequence"
        expected, got = f"{name} to be a dense tensor", f"a {kind} one"
        raise refusal(RuntimeError, "", owner, expected, got, remedy)
    wanted = value.requires_grad and torch.is_grad_enabled()
    if wanted and not torch.compiler.is_compiling() and value.is_inference():
        # A view of it would lose its gradient without a word.
        sentence = "Inference tensors cannot be saved for backward."
        expected = f"{name} that requires a gradient to be made outside of inference mode"
        remedy = f"give {name}.detach().clone()"
        raise refusal(RuntimeError, sentence, owner, expected, "one made inside", remedy)


def of_dtype(
    owner: str, name: str, value: Tensor, weight: Tensor, kind: type[Exception] = RuntimeError
) -> Tensor:
    """A tensor of the weights' dtype; converted only under autocast.

    A ValueError begins as that of torch.nn's layers, a RuntimeError as that of a product, which
    torch.nn leaves all else to.
    """
    if value.dtype == weight.dtype:
        return value
    if torch._C._is_any_autocast_enabled():
        return value.to(weight.dtype)
    mine, others = value.dtype, weight.dtype
    if kind is ValueError:
        sentence = (
            f"RNN input dtype ({mine}) does not match weight dtype ({others}). "
            f"Convert input: input.to({others}), or convert model: model.to({mine})"
        )
    else:
        sentence = same_dtype(value, weight)
    remedy = f"convert it with {name}.to({others}), or the module with module.to({mine})"
    expected = f"{name} of the weights' dtype {others}"
    raise refusal(kind, sentence, owner, expected, str(mine), remedy)


def check_devices(
    owner: str, x: Tensor, states: Sequence[tuple[str, Tensor]], weight: Tensor
) -> None:
    """RuntimeError unless the input and the states are where the weights are."""
    if x.is_cpu and weight.is_cpu and all(state.is_cpu for _, state in states):
        return
    others = [("hidden", name, state) for name, state in states]
    for kind, name, other in [*others, ("parameter", "input", weight)]:
        if x.device != other.device:
            sentence = (
                f"Input and {kind} tensors are not at the same device, found input tensor at "
                f"{x.device} and {kind} tensor at {other.device}"
            )
            wrong = ("input", x) if x.device != weight.device else (name, other)
            raise _elsewhere(sentence, owner, *wrong, weight)


def _elsewhere(sentence: str, owner: str, name: str, value: Tensor, weight: Tensor) -> Exception:
    expected = f"{name} on the weights' device {weight.device}"
    remedy = f"move it with {name}.to({str(weight.device)!r})"
    return refusal(RuntimeError, sentence, owner, expected, str(value.device), remedy)


def check_weights(
    owner: str,
    step: Step,
    names: Sequence[str | None],
    held: Sequence[Any],
    sizes: Sizes,
    asked: Asked | None = None,
) -> Tensor:
    """What a module holds as one layer's weights, in the order of ``step.parameters``; where it
    has none, the name is None. Returns the first of them.

    TypeError if something is no tensor, RuntimeError if there are more tensors or fewer, or if
    they are for states of other ``sizes``, then with what is ``asked`` for. All other shapes are
    checked where the input's is.
    """
    if len(held) != len(step.parameters):
        expected = f"the weights {', '.join(step.parameters)}"
        raise refusal(RuntimeError, "", owner, expected, str(len(held)), _CHANGED)
    for name, value in zip(names, held, strict=True):
        if type(value) is not Parameter and name is not None and not isinstance(value, Tensor):
            expected, got = f"{name} to be a Tensor", type(value).__name__
            raise refusal(TypeError, "", owner, expected, got, _REPLACED)
    for block in step.measures.values():
        place = step.parameters.index(block.parameter)
        if block.columns is INPUT:
            sizes = sizes.with_input(held[place].shape[-1])
        check_weight(owner, names[place], held[place], block.shape(sizes), asked)
    first: Tensor = next(value for value in held if value is not None)
    return first


def check_weight(
    owner: str, name: str | None, weight: Tensor, shape: tuple[int, ...], asked: Asked | None = None
) -> None:
    """Raises what is ``asked`` for, or a RuntimeError, unless a weight has this shape."""
    if weight.shape != shape:
        kind, sentence = (asked and raised_by(asked)) or (RuntimeError, "")
        expected, got = f"{name} of shape {shape}", str(tuple(weight.shape))
        raise refusal(kind, sentence, owner, expected, got, _REPLACED)


def ask_cell(gates: int, units: int, width: int, w_ih: Tensor, w_hh: Tensor) -> None:
    """What torch.nn's cells check of their weights, that of one gate in an order of its own."""

    def ask_features() -> None:
        if w_ih.size(1) != width:
            got = f"got {width} expected {w_ih.size(1)}"
            raise RuntimeError(f"input has inconsistent input_size: {got}")

    if gates > 1:
        ask_features()
    columns = w_hh.size(1)
    for name, weight in (("weight_ih", w_ih), ("weight_hh", w_hh)):
        rows, expected = weight.size(0), gates * columns
        if rows != expected:
            product = f"{gates} * hidden_size = {expected}"
            raise RuntimeError(f"{name} first dim must be {product}, but got {rows}")
    ask_features()
    if units != columns:
        raise RuntimeError(f"hidden0 has inconsistent hidden_size: got {units}, expected {columns}")


def no_sets(owner: str, layers: int, directions: int, found: int) -> Exception:
    """For a module that holds the weights of another number of layers."""
    expected = f"weights of {layers} layers in {directions} directions"
    return refusal(RuntimeError, "", owner, expected, f"{found} sets", _CHANGED)


_REPLACED = "something has replaced it"
_CHANGED = "make a new module instead of changing its attributes"
