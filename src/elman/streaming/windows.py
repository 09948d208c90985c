"""Long sequences, trained on a window at a time: truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..nn.layers import LayerStack
from ..nn.states import hx_of


class Window(NamedTuple):
    """What a module makes of a window of a long sequence.

    Args:
        output: of the window's new steps, in the form of the input, such as ``(T, B, H)``.
        steps: these steps in the whole sequence.
        hx: the states after them, as the module returns them.

    >>> import elman, torch
    >>> for window in elman.windows(elman.GRU(2, 4), torch.rand(5, 1, 2), 3):
    ...     window.steps, window.output.shape
    (slice(0, 3, None), torch.Size([3, 1, 4]))
    (slice(3, 5, None), torch.Size([2, 1, 4]))
    """

    output: Tensor  # of the window's new steps
    steps: slice  # these steps in the whole sequence
    hx: Any  # the states after them


def windows(
    module: Callable[..., Any],
    input: Tensor,
    size: int,
    stride: int | None = None,
    *,
    hx: Any = None,
    lengths: Any = None,
    reset: Any = None,
    reset_to: Any = None,
    inputs: Mapping[str, Tensor] | None = None,
) -> Iterator[Window]:
    """Runs a module over a long sequence, a window of steps at a time.

    Each window begins with the states that the one before left, detached: gradients go back to the
    beginning of a window, and memory is that of one. The module runs when the next window is asked
    for, so with the weights of that moment.

    Args:
        module: a layer, called as elman's are: ``module(input, hx)``, and ``lengths=``, ``reset=``,
            ``reset_to=`` and ``inputs=`` where they are given here.
        input: the whole sequence, ``(T, B, I)``, ``(B, T, I)`` if the module has ``batch_first``,
            or ``(T, I)``.
        size: how many steps gradients go back; the steps of a window.
        stride: how many of them are new in each window, by default all. With a smaller stride
            windows overlap, and each step's loss reaches at least ``size - stride`` steps back
            (where there are so many).
        hx: the initial states, by default the module's. The first window's gradient reaches them.
        lengths: how many steps of each row count, ``(B,)``.
        reset: before which steps rows begin anew, ``(T, B)`` in the form of input.
        reset_to: the states that a reset returns to, by default ``hx``, else the module's.
        inputs: further inputs by name, in the form of input.

    Yields:
        :class:`Window`: ``output`` of the new steps in the form of input, their place ``steps`` in
        time, and the states ``hx`` after them.

    Raises:
        ValueError: a size or a stride that is no positive int, or a stride beyond the size; a
            module of two directions, the second of which begins at the end.
        TypeError: input that is no tensor.

    The guide is docs/guides/sequences.md.

    >>> import elman, torch
    >>> gru, head = elman.GRU(2, 4), torch.nn.Linear(4, 1)
    >>> optimiser = torch.optim.SGD([*gru.parameters(), *head.parameters()], lr=0.1)
    >>> x, y = torch.rand(1000, 3, 2), torch.rand(1000, 3, 1)
    >>> for window in elman.windows(gru, x, 50):
    ...     loss = (head(window.output) - y[window.steps]).square().mean()
    ...     loss.backward()
    ...     optimiser.step()
    ...     optimiser.zero_grad()
    """
    stride = size if stride is None else stride
    for name, value in (("size", size), ("stride", stride)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"windows: expected {name} to be a positive int, got {value!r}")
    if stride > size:
        raise ValueError(f"windows: expected a stride of at most size={size}, got {stride}")
    if not isinstance(input, Tensor):
        raise TypeError(
            f"windows: expected input to be a Tensor, got {type(input).__name__}: pad it, and give "
            "lengths="
        )
    if getattr(module, "bidirectional", False):
        raise ValueError("windows: expected one direction; the second one begins at the end")
    time = 1 if input.dim() == 3 and getattr(module, "batch_first", False) else 0
    whole = _Sequence(module, input, time, lengths, reset, reset_to, inputs)
    if reset is not None and reset_to is None and hx is not None:
        whole = whole._replace(reset_to=hx)
    return _walk(whole, size, stride, hx)


class _Sequence(NamedTuple):
    """A call over all steps."""

    module: Callable[..., Any]
    input: Tensor
    time: int  # the dimension of steps
    lengths: Any
    reset: Any
    reset_to: Any
    inputs: Mapping[str, Tensor] | None

    def run(self, first: int, stop: int, hx: Any) -> tuple[Tensor, Any]:
        """The output and the states of some of the steps."""

        def part(value: Tensor) -> Tensor:
            return value.narrow(self.time, first, stop - first)

        given: dict[str, Any] = {}
        if self.lengths is not None:
            lengths = torch.as_tensor(self.lengths)
            given["lengths"] = (lengths.clamp(max=stop) - first).clamp(min=0)
        if self.reset is not None:
            given["reset"] = part(torch.as_tensor(self.reset))
            given["reset_to"] = self.returns()
        elif self.reset_to is not None:
            given["reset_to"] = self.reset_to
        if self.inputs is not None:
            one = self.input.shape[self.time]
            given["inputs"] = {
                n: part(v) if v.shape[self.time] == one else v for n, v in self.inputs.items()
            }
        output, final = self.module(part(self.input), hx, **given)
        return output, final

    def returns(self) -> Any:
        """What a reset returns to, now that ``hx`` is what was carried on."""
        module: Any = self.module
        if self.reset_to is not None:
            return self.reset_to
        if not (isinstance(module, LayerStack) and module.learn_initial):
            return 0
        B = self.input.shape[1 - self.time] if self.input.dim() == 3 else 1
        learned = module._initial_states(module._step(), B)
        return hx_of(learned if self.input.dim() == 3 else tree_map(_unbatched, learned))


def _unbatched(state: Tensor) -> Tensor:
    return state.squeeze(1)


def _walk(whole: _Sequence, size: int, stride: int, hx: Any) -> Iterator[Window]:
    T, before, start = whole.input.shape[whole.time], 0, 0
    while before < T:
        stop = min(before + stride, T)
        # The next window begins here, within this one if they overlap.
        following, outputs, states = max(start, min(stop, stop + stride - size)), [], hx
        for first, last in ((start, following), (following, stop)):
            if first < last:
                output, states = whole.run(first, last, states)
                outputs.append(output)
            if last == following:
                hx = states if states is None else tree_map(torch.detach, states)
        output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, whole.time)
        new = output.narrow(whole.time, before - start, stop - before)
        yield Window(new, slice(before, stop), states)
        start, before = following, stop
