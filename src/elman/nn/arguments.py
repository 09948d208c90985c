"""The arguments of a call, checked once and put into one normal form.

What is checked, and in which order, is torch.nn's; ``messages`` says how a call is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..rows import Rows
from ..step import Step
from .checks import check_dense, check_devices, check_dims, check_features, of_dtype
from .messages import described, no_tensor, raised_by, refusal, scalar_type
from .states import Named, check_shape, of_layers, states_of

_FEATURES = "input.size(-1) must be equal to input_size. Expected {size}, got {got}"


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
        """The input as ``(T, B, I)``, or ``(N, I)`` if it is packed."""
        if self.packed is not None:
            return self.packed.data
        if not self.batched:
            return x.unsqueeze(1)
        return x.transpose(0, 1) if self.batch_first else x

    def arrange_states(self, hx: Any, count: int) -> Sequence[Tensor | None]:
        """The initial states that a checked ``hx`` holds, each as ``(L*D, B, H)``."""
        if hx is None:
            return [None] * count
        return [s if s is None else self.order_state(s) for s in states_of(hx, count)]

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

    def restore_all(self, outputs: Sequence[Tensor]) -> list[Any]:
        """Several outputs in the form of the input."""
        return [self.restore(output, ())[0] for output in outputs]

    def order_state(self, state: Tensor) -> Tensor:
        """An initial state in the order of the rows, with a batch dimension."""
        if self.packed is not None and self.packed.sorted_indices is not None:
            return state.index_select(1, self.packed.sorted_indices)
        return state if self.batched else state.unsqueeze(1)


def read(
    module: Any, step: Step, input: Any, hx: Any, weight: Tensor
) -> tuple[Call, Tensor, Sequence[Named]]:
    """The normal form of a layer's call, its input and its initial states.

    The input becomes ``(T, B, I)``, or ``(N, I)`` if it is packed. The states are as they were
    given: none if ``hx`` is None, a list each where the layers' sizes differ."""
    if isinstance(input, PackedSequence):
        return _read_packed(module, step, input, hx, weight)
    owner, size, batch_first = type(module).__name__, module.input_size, module.batch_first
    lead = "B, T" if batch_first else "T, B"
    shapes = {2: f"(T, {size})", 3: f"({lead}, {size})"}
    dims = check_dims(owner, "input", "input", input, shapes)
    alike = isinstance(module.hidden_size, int)
    given = of_layers(owner, hx, len(step.states), dims == 3, alike)
    check_dense(owner, "input", input)
    x = of_dtype(owner, "input", input, weight, ValueError)
    check_features(owner, x, size, _FEATURES, "input_size=")
    T, B = (x.shape[0], 1) if dims == 2 else x.shape[1::-1] if batch_first else x.shape[:2]
    call = Call(Rows(T, B, T * B), None, dims == 3, batch_first)
    return call, call.arrange(x), given


def _read_packed(
    module: Any, step: Step, input: PackedSequence, hx: Any, weight: Tensor
) -> tuple[Call, Tensor, Sequence[Named]]:
    owner, size, count = type(module).__name__, module.input_size, len(step.states)
    if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export():
        raise RuntimeError(
            f"{owner}: expected padded input while torch.onnx.export follows the module, got a "
            "PackedSequence, whose sizes are data: use elman.Recurrent (of elman.cells.LSTM, for "
            "instance) with lengths=, or for RNN, LSTM and GRU torch.onnx.export(dynamo=False)"
        )
    sizes, x = input.batch_sizes, input.data
    # torch.nn's LSTM checks nothing of packed input: what meets another dtype refuses it.
    asked: Callable[[Any], object] = _zeros if hx is None else int if count == 1 else _nothing
    if not is_list(sizes):
        raise _no_batch_sizes(owner, sizes, asked)
    if not isinstance(x, Tensor):
        raise no_tensor(owner, "input", x, lambda value: value.dtype)
    x = of_dtype(owner, "input", x, weight, ValueError if count == 1 else RuntimeError)
    if x.dim() != 2:
        sentence = f"input must have 2 dimensions, got {x.dim()}"
        expected = f"the data of a PackedSequence to be 2-D (N, {size})"
        raise refusal(RuntimeError, sentence, owner, expected, described(x))
    check_dense(owner, "input", x)
    check_features(owner, x, size, _FEATURES, "input_size=")
    rows = ragged(owner, sizes, x.shape[0], asked)
    return Call(rows, input, True, module.batch_first), x, of_layers(owner, hx, count, None)


def read_states(
    owner: str,
    call: Call,
    x: Tensor,
    given: Sequence[Named],
    shapes: Sequence[tuple[int, int, int]],
    weight: Tensor,
    layers: str = "num_layers * directions",
) -> list[Tensor]:
    """The initial states of a layer's call in normal form, and the last checks of its input.

    ``shapes`` are those of the states, ``(layers, B, size)``.
    """
    found: list[tuple[str, Tensor]] = []
    for (name, value), shape in zip(given, shapes, strict=True) if given else ():
        check_shape(owner, name, value, shape, call.batched, layers)
        check_dense(owner, name, value)
        found.append((name, value))
    check_devices(owner, x, found, weight)
    if call.rows.T == 0:
        as_given = call.arrange(x) if call.batched else x.squeeze(1)
        sentence = "Expected sequence length to be larger than 0 in RNN"
        expected, got = "input to have at least one time step", f"shape {tuple(as_given.shape)}"
        raise refusal(RuntimeError, sentence, owner, expected, got)
    return [call.order_state(of_dtype(owner, name, value, weight)) for name, value in found]


def of_state(change: Callable[..., Any], *states: Any) -> Any:
    """What becomes of a state, which is one tensor for all layers, or a list of one for each."""
    if isinstance(states[0], list):
        return [change(*parts) for parts in zip(*states, strict=True)]
    return change(*states)


def _zeros(size: Any) -> Tensor:
    """What torch.nn makes an initial state with."""
    return torch.zeros(0, size, 1, device="cpu")


def _nothing(_: Any) -> None:
    pass


def ragged(owner: str, sizes: Tensor, total: int, asked: Callable[[Any], object] = _zeros) -> Rows:
    """The rows of a PackedSequence; its parts may come from anywhere, so they are checked.

    ``asked`` is what torch.nn does with the first of the sizes.
    """
    rows = rows_of(sizes, total)
    if rows is None:
        raise _no_batch_sizes(owner, sizes, asked, total)
    return rows


def rows_of(sizes: Tensor, total: int) -> Rows | None:
    """The rows that a list of batch sizes stands for; None unless they fall and add up to all."""
    counts = sizes.tolist()
    falling = counts == sorted(counts, reverse=True)
    if not counts or counts[-1] <= 0 or not falling or sum(counts) != total:
        return None
    sizes = sizes.clone()  # what has been checked, and not what the caller makes of it
    return Rows(len(counts), counts[0], total, sizes, sizes.cumsum(0) - sizes)


def is_list(sizes: Any) -> bool:
    """Whether batch sizes are a list of integers on the CPU."""
    whole = isinstance(sizes, Tensor) and sizes.dim() == 1 and sizes.dtype == torch.int64
    return whole and sizes.is_cpu


def _no_batch_sizes(
    owner: str, sizes: Any, asked: Callable[[Any], object], total: int | None = None
) -> Exception:
    """For batch sizes that are none. torch.nn takes the first one for that of the batch, and
    leaves the others to its kernels."""
    what = "batch_sizes of a PackedSequence"
    if not isinstance(sizes, Tensor):
        return no_tensor(owner, what, sizes, lambda value: value[0])
    sentence = ""
    if sizes.dtype != torch.int64:
        sentence = f"expected scalar type Long but found {scalar_type(sizes)}"
    kind, sentence = raised_by(lambda: asked(sizes[0])) or (RuntimeError, sentence)
    rows = "the rows" if total is None else f"the {total} rows"
    got = str(sizes.flatten()[:20].tolist()) if sizes.is_cpu else f"a tensor on {sizes.device}"
    numbers = f"positive, falling and to add up to {rows} of its data (int64, on the CPU)"
    remedy = "make it with torch.nn.utils.rnn.pack_padded_sequence"
    return refusal(kind, sentence, owner, f"{what} to be {numbers}", got, remedy)
