"""What all single-step cells of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNCellBase

from ..batch import Rows
from ..spaces import HIDDEN, Sizes
from ..step import Step
from . import known, stack
from .checks import (
    ask_cell,
    check_dense,
    check_devices,
    check_weight,
    check_weights,
    of_dtype,
)
from .counterpart import Counterpart
from .leaf import leaf
from .messages import described, no_tensor, raised_by, refusal
from .states import hx_of, named, states_of

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_WITHOUT_BIASES = (*_NAMES[:2], None, None)


class Single(Counterpart, RNNCellBase):
    """One step with the parameters of torch.nn's cell. A subclass adds its formula."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        RNNCellBase.__init__(self, *arguments, **options)  # in front of the counterpart, see `face`

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The new states, in the form of ``hx``."""
        step, units = self._step(), self.hidden_size
        (held,) = self._held(step)

        def check() -> Checked:
            owner = type(self).__name__
            names = _NAMES if held[2] is not None or held[3] is not None else _WITHOUT_BIASES
            gates, width = len(step.x_gates), self.input_size

            def asked() -> None:
                ask_cell(gates, units, width, held[0], held[1])

            first = check_weights(owner, step, names, held, Sizes({HIDDEN: units}), asked)
            check_weight(owner, names[0], first, (gates * units, width), asked)
            sizes = [units] * len(step.states)
            return *read_rows(owner, input, hx, width, sizes, first), []

        def other() -> Any:
            if self._runs_torch(input, hx, held):
                return self._by_torch(input, hx, check)
            return leaf(self, input, hx)

        return run_step((step, self.input_size, units), input, hx, held, check, other)

    def _held(self, _: Step) -> list[list[Any]]:
        """The weights that the module holds now, in the order of ``step.parameters``."""
        plain: Any = self._parameters  # a parametrized weight is not there but an attribute
        try:
            return [[*map(plain.__getitem__, _NAMES)]]
        except KeyError:
            return [[getattr(self, name) for name in _NAMES]]


#: Input and states as the caller gave them, further inputs as ``(1, B, F)``; all of them checked.
Checked = tuple[Tensor, Sequence[Tensor | None], Sequence[Tensor]]


def run_step(
    module: tuple[Any, ...],
    input: Any,
    hx: Any,
    held: Sequence[Any],
    check: Callable[[], Checked],
    other: Callable[[], Any],
    remember: bool = True,
) -> Any:
    """One step of a module: the new states, in the form of ``hx``.

    Args:
        module: what ``check`` reads of the module, its formula first.
        held: its parameters, in the order of ``step.parameters``.
        check: is asked where such a call is not known, unless
        other: gives the results in another way; None if there is none.
        remember: whether it is known from then on.
    """
    step: Step = module[0]
    found, key, _ = known.find(module, input, hx, held) if remember else (None, None, None)
    states: Sequence[Tensor | None]
    inputs: Sequence[Tensor] = ()
    if found is None:
        results = other()
        if results is not None:
            return results
        x, states, inputs = check()
        bounds = stack.Bounds(1)
    else:
        x, states, bounds = input, states_of(hx, len(step.states)), found.bounds
    batched = x.dim() == 2
    if not batched:
        x, states = x[None], [s if s is None else s[None] for s in states]
    rows = Rows(1, x.shape[0], x.shape[0])
    initial = [s if s is None else s.unsqueeze(0) for s in states]
    _, new = stack.run(step, rows, x.unsqueeze(0), initial, [held], bounds, inputs=[inputs])
    if found is None:
        known.keep(key, None, bounds)
    # Whose gradient is a view; that of an index is a copy.
    return hx_of([s.squeeze(0) if batched else s.squeeze(0).squeeze(0) for s in new])


def read_rows(
    owner: str, input: Any, hx: Any, width: int, sizes: Sequence[int], weight: Tensor
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """The checked input of a step and its initial states of these sizes: ``(B, size)``, or
    ``(size,)``."""
    dims = _dims(owner, "input", "input", input, width)

    def asked() -> None:
        [value.dim() for value in hx] if dims == 2 else [hx[i].dim() for i in range(len(sizes))]
        if owner == "LSTMCell" and not isinstance(hx, (tuple, list)):
            kind, what = type(hx).__name__, "argument 'hx' (position 2)"
            raise TypeError(f"lstm_cell(): {what} must be tuple of Tensors, not {kind}")

    several = "lstm_cell expects two hidden states" if owner == "LSTMCell" else ""
    given = named(owner, hx, len(sizes), asked, several)
    for (name, value), size in zip(given, sizes if given else (), strict=True):
        _dims(owner, "hidden" if len(sizes) == 1 else name, name, value, size)
    for name, value in [("input", input), *given]:
        check_dense(owner, name, value)
    if input.shape[-1] != width:
        raise refusal(
            RuntimeError,
            f"input has inconsistent input_size: got {input.shape[-1]} expected {width}",
            owner,
            f"the last dimension of input to be {width}",
            f"{input.shape[-1]} in shape {tuple(input.shape)}",
        )
    B = (input.shape[0],) if dims == 2 else ()
    for i, (name, value) in enumerate(given):
        if value.shape != (*B, sizes[i]):
            kind, sentence = _of_shape(value, i, dims, input.shape[0], sizes[i])
            meaning = "(batch, hidden_size)" if B else "(hidden_size,)"
            expected = f"{name} of shape {(*B, sizes[i])}, {meaning}, as input is {dims}-D"
            raise refusal(kind, sentence, owner, expected, str(tuple(value.shape)))
    check_devices(owner, input, given, weight)
    x, *states = (of_dtype(owner, n, v, weight) for n, v in [("input", input), *given])
    return x, states or [None] * len(sizes)


def _dims(owner: str, torchs: str, name: str, value: Any, size: int) -> int:
    """The dimensions of a tensor of one step; ``torchs`` is what torch.nn calls it."""
    if not isinstance(value, Tensor):
        raise no_tensor(owner, name, value)
    dims = value.dim()
    if dims not in (1, 2):
        raise refusal(
            ValueError,
            f"{owner}: Expected {torchs} to be 1D or 2D, got {dims}D instead",
            owner,
            f"{name} to be 1-D ({size},) or 2-D (B, {size})",
            described(value),
        )
    return dims


def _of_shape(state: Tensor, i: int, dims: int, B: int, units: int) -> tuple[type[Exception], str]:
    """What torch.nn says of a state of another shape. It adds a batch dimension to it, if it adds
    one to the input, whatever it has."""
    rows, *rest = state.shape if dims == 2 else (1, *state.shape)
    if dims == 1:
        B = 1
    if rows != B:
        return RuntimeError, f"Input batch size {B} doesn't match hidden{i} batch size {rows}"
    if not rest:
        return raised_by(lambda: state.size(1)) or (RuntimeError, "")
    got = rest[0]
    return RuntimeError, f"hidden{i} has inconsistent hidden_size: got {got}, expected {units}"
