"""The arguments of a call, checked once and put into one normal form.

The exceptions are of the types that torch.nn raises; each message names the argument, what was
expected, what came, and how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils.rnn import PackedSequence

from ..batch import Rows
from ..step import Step


class Call(NamedTuple):
    """A call in normal form: time first, a batch dimension, rows in the order of their length."""

    rows: Rows
    packed: PackedSequence | None
    batched: bool
    batch_first: bool

    @property
    def plain(self) -> bool:
        """Whether the caller's form is the normal one."""
        return self.batched and not self.batch_first and self.packed is None

    def arrange(self, x: Tensor) -> Tensor:
        """A padded input as ``(T, B, I)``."""
        if not self.batched:
            return x.unsqueeze(1)
        return x.transpose(0, 1) if self.batch_first else x

    def arrange_states(self, hx: Any, count: int) -> Sequence[Tensor | None]:
        """The initial states of padded rows, which ``hx`` holds, each as ``(L*D, B, H)``."""
        if hx is None:
            return [None] * count
        given = states_of(hx, count)
        return given if self.batched else [s if s is None else s.unsqueeze(1) for s in given]

    def restore(self, output: Tensor, states: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        """The output in the form of the input, the final states in the order of the caller's rows;
        a state is one tensor for all layers, or a list of one for each."""
        if self.packed is not None:
            order = self.packed.unsorted_indices
            if order is not None:
                states = [of_state(lambda s: s.index_select(1, order), s) for s in states]
            rest = self.packed.batch_sizes, self.packed.sorted_indices, order
            return PackedSequence(output, *rest), states
        if not self.batched:
            return output.squeeze(1), [of_state(lambda s: s.squeeze(1), s) for s in states]
        return output.transpose(0, 1) if self.batch_first else output, states

    def order_state(self, owner: str, name: str, state: Tensor) -> Tensor:
        """An initial state in the order of the rows, with a batch dimension."""
        dims, kind = (3, "batched 3-D") if self.batched else (2, "unbatched 2-D")
        if state.dim() != dims:
            raise RuntimeError(
                f"{owner}: expected {name} to be {dims}-D for {kind} input, got {state.dim()}-D of "
                f"shape {tuple(state.shape)}; its batch dimension is the second, with batch_first "
                "as without"
            )
        if self.packed is not None and self.packed.sorted_indices is not None:
            if state.shape[1] != self.rows.B:
                return state  # the check of the size that follows says what is wrong
            return state.index_select(1, self.packed.sorted_indices)
        return state if self.batched else state.unsqueeze(1)


def of_state(change: Callable[..., Any], *states: Any) -> Any:
    """What becomes of a state, which is one tensor for all layers, or a list of one for each."""
    if isinstance(states[0], list):
        return [change(*parts) for parts in zip(*states, strict=True)]
    return change(*states)


def read(
    owner: str, input: Tensor | PackedSequence, size: int, batch_first: bool, weight: Tensor
) -> tuple[Call, Tensor]:
    """The normal form of a layer's call, and its input as ``(T, B, I)``, or ``(N, I)`` if it is
    packed. ``size`` is the layer's ``input_size``."""
    if isinstance(input, PackedSequence):
        if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export():
            raise RuntimeError(
                f"{owner}: expected padded input while torch.onnx.export follows the module, got a "
                "PackedSequence, whose lengths no program of ONNX takes: export it on padded input"
            )
        x = tensor(owner, "input", input.data, weight, ValueError)
        if x.dim() != 2:
            raise RuntimeError(
                f"{owner}: expected the data of a PackedSequence to be 2-D, (N, {size}), got "
                f"shape {tuple(x.shape)}"
            )
        _check_features(owner, x, size)
        return Call(ragged(owner, input.batch_sizes, x.shape[0]), input, True, batch_first), x
    x = tensor(owner, "input", input, weight, ValueError)
    dims = x.dim()
    if dims != 3 and dims != 2:
        raise ValueError(
            f"{owner}: expected input to be 2-D (T, {size}) or 3-D "
            f"{f'(B, T, {size})' if batch_first else f'(T, B, {size})'}, got {dims}-D of shape "
            f"{tuple(x.shape)}"
        )
    T, B = (x.shape[0], 1) if dims == 2 else x.shape[1::-1] if batch_first else x.shape[:2]
    call = Call(Rows(T, B, T * B), None, dims == 3, batch_first)
    features = x.shape[-1]
    if features != size:
        _check_features(owner, x, size)
    if T == 0:
        raise RuntimeError(
            f"{owner}: expected input to have at least one time step, got shape "
            f"{tuple(input.shape)}"
        )
    return call, call.arrange(x)


def tensor(
    owner: str,
    name: str,
    value: Tensor,
    weight: Tensor,
    error: type[Exception] = RuntimeError,
) -> Tensor:
    """A tensor argument of the weights' dtype and device; converted only under autocast.

    ``error`` is raised for another dtype: torch.nn's layers and cells differ there.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{owner}: expected {name} to be a Tensor, got {type(value).__name__}")
    if value.layout is not torch.strided or value.is_nested:
        kind = "nested" if value.is_nested else value.layout
        raise RuntimeError(
            f"{owner}: expected {name} to be a dense tensor, got a {kind} one; "
            + (
                "pad it with to_padded_tensor(0.0), or use a PackedSequence"
                if value.is_nested
                else f"convert it with {name}.to_dense()"
            )
        )
    if (
        value.requires_grad
        and not torch.compiler.is_compiling()
        and value.is_inference()
        and torch.is_grad_enabled()
    ):
        raise RuntimeError(  # a view of it would lose its gradient without a word
            f"{owner}: Inference tensors cannot be saved for backward, and {name} is one that "
            f"requires a gradient; give {name}.detach().clone()"
        )
    if value.dtype != weight.dtype:
        if not torch._C._is_any_autocast_enabled():
            raise error(
                f"{owner}: expected {name} of the weights' dtype {weight.dtype}, got "
                f"{value.dtype}; convert it with {name}.to({weight.dtype}), or the module with "
                f"module.to({value.dtype})"
            )
        value = value.to(weight.dtype)
    if not (value.is_cpu and weight.is_cpu) and value.device != weight.device:
        raise RuntimeError(
            f"{owner}: expected {name} on the weights' device {weight.device}, got "
            f"{value.device}; move it with {name}.to({str(weight.device)!r})"
        )
    return value


def states_of(hx: Any, count: int) -> Sequence[Tensor | None]:
    """The initial states that a checked ``hx`` holds: none, one, or a tuple of them."""
    return [None] * count if hx is None else [hx] if isinstance(hx, Tensor) else hx


def hx_of(states: Sequence[Any]) -> Any:
    """States in the form of ``hx``: one itself, or a tuple of several."""
    return tuple(states) if len(states) > 1 else states[0]


def states(owner: str, hx: Any, count: int) -> Sequence[tuple[str, Any]]:
    """The initial states as ``hx`` holds them, with their names: itself, or a tuple of several.

    All are None if it is. TypeError if it is no tuple, RuntimeError if it is one of another length.
    """
    if count == 1:
        return [("hx", hx)]
    if hx is None:
        return [("hx", None)] * count
    if not isinstance(hx, (tuple, list)):
        raise TypeError(
            f"{owner}: expected hx to be a tuple of {count} tensors, got {type(hx).__name__}"
        )
    if len(hx) != count:
        raise RuntimeError(
            f"{owner}: expected hx to be a tuple of {count} tensors, got one of {len(hx)}"
        )
    return [(f"hx[{i}]", state) for i, state in enumerate(hx)]


def check_weights(
    owner: str,
    step: Step,
    names: Sequence[str | None],
    held: Sequence[Any],
    units: int,
    output: int,
) -> Tensor:
    """What a module holds as one layer's weights, in the order of ``step.parameters``; where it
    has none, the name is None. Returns the first of them.

    ``units`` and ``output`` are the sizes of the hidden state and of the first one. TypeError if
    something is no tensor, RuntimeError if there are more tensors or fewer, or if they are for
    states of other sizes. The other sizes are checked where the input's are.
    """
    if len(held) != len(step.parameters):
        raise RuntimeError(
            f"{owner}: expected the weights {', '.join(step.parameters)}, got {len(held)}: make a "
            "new module instead of changing its attributes"
        )
    for name, value in zip(names, held, strict=True):
        if type(value) is Parameter or name is None or isinstance(value, Tensor):
            continue
        raise TypeError(
            f"{owner}: expected {name} to be a Tensor, got {type(value).__name__}: something has "
            "replaced it"
        )
    w_ih, w_hh, _, _, *more = held
    if w_hh is not None:
        _check_weight(owner, names[1], w_hh, (len(step.u_gates) * units, output))
    else:
        _check_weight(owner, names[0], w_ih, (len(step.x_gates) * units, w_ih.shape[-1]))
    if step.projection:
        place = list(step.matrices).index(step.projection)
        _check_weight(owner, names[4 + place], more[place], (output, units))
    first: Tensor = w_hh if w_ih is None else w_ih
    return first


def _check_weight(owner: str, name: str | None, weight: Tensor, shape: tuple[int, int]) -> None:
    if weight.shape != shape:
        raise RuntimeError(
            f"{owner}: expected {name} of shape {shape}, got {tuple(weight.shape)}: something has "
            "replaced it"
        )


def check_shape(owner: str, name: str, value: Tensor, shape: Sequence[int], meaning: str) -> None:
    """RuntimeError if a state's shape is not the expected one."""
    if tuple(value.shape) != tuple(shape):
        raise RuntimeError(
            f"{owner}: expected {name} of shape {tuple(shape)}, {meaning}, got {tuple(value.shape)}"
        )


def _check_features(owner: str, x: Tensor, size: int) -> None:
    if x.shape[-1] != size:
        raise RuntimeError(
            f"{owner}: expected the last dimension of input to be input_size={size}, got "
            f"{x.shape[-1]} in shape {tuple(x.shape)}"
        )


def ragged(owner: str, sizes: Tensor, total: int) -> Rows:
    """The rows of a PackedSequence; its parts may come from anywhere, so they are checked."""
    if not isinstance(sizes, Tensor):
        raise TypeError(
            f"{owner}: expected batch_sizes of a PackedSequence to be a Tensor, got "
            f"{type(sizes).__name__}"
        )
    valid = sizes.dim() == 1 and sizes.dtype == torch.int64 and sizes.device.type == "cpu"
    counts = sizes.tolist() if valid else []
    falling = counts == sorted(counts, reverse=True)
    if not counts or counts[-1] <= 0 or not falling or sum(counts) != total:
        shown = sizes.flatten()[:20].tolist()
        raise RuntimeError(
            f"{owner}: expected batch_sizes of a PackedSequence to be positive, falling and to "
            f"add up to the {total} rows of its data, got {shown}; make it with "
            "torch.nn.utils.rnn.pack_padded_sequence"
        )
    sizes = sizes.clone()  # what has been checked, and not what the caller makes of it
    return Rows(len(counts), counts[0], total, sizes, sizes.cumsum(0) - sizes)
