"""A call of a single step, from the caller's arguments to the results in their form."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor
from torch.nn.modules.rnn import RNNCellBase

from ..dispatch.autograd import run
from ..dispatch.executable import Executable
from ..dispatch.layer import run_layer
from ..dispatch.transforms import captured
from ..rows import Rows
from ..spaces import HIDDEN, Sizes
from ..step import Step
from . import cached
from .base import RecurrentModule
from .checks import (
    ask_cell,
    check_dense,
    check_devices,
    check_dims,
    check_features,
    check_weight,
    check_weights,
    of_dtype,
)
from .counterpart import Counterpart
from .masks import Recipe
from .messages import raised_by, refusal
from .regularise import Drawn, Regularisation
from .states import hx_of, named, states_of

#: Input and states as the caller gave them, further inputs as ``(B, F)``; all of them checked.
Checked = tuple[Tensor, Sequence[Tensor | None], Sequence[Tensor]]
State = TypeVar("State")


class StepModule(RecurrentModule):
    """A module that runs one step."""

    def _read(self, step: Step, input: Any, hx: Any, weights: Any, inputs: Any = None) -> Checked:
        """The arguments of a call, checked."""
        raise NotImplementedError

    def _run_step(
        self,
        step: Step,
        found: cached.Found,
        input: Any,
        hx: Any,
        inputs: Any = None,
        drawn: Drawn | None = None,
        return_states: bool = False,
    ) -> Any:
        """A call that is not plain. It is checked first, and then stored, unless one like it was
        ``found``. With ``drawn`` it is one of training, whose random values that says. If it is to
        ``return_states``, the step is that which gives them out (``step.full``)."""
        known, key, _ = found
        weights = self._layer_weights(step)
        x, states = input, states_of(hx, len(step.states))
        further: Sequence[Tensor] = ()
        held = None
        if known is None:
            x, states, further = self._read(step, input, hx, weights, inputs)
            held = self._held(step, x, states, weights)
        batched, flat = x.dim() == 2, not captured()
        if not batched:
            x, states = x[None], [s if s is None else s[None] for s in states]
        rows = Rows(1, x.shape[0], x.shape[0], flat=flat)
        if not flat:  # a recorded call is one of layers
            x, further = x[None], [v[None] for v in further]
            states = [s if s is None else s[None] for s in states]
        if drawn is not None:
            recipe = Recipe(drawn, Regularisation(), self._layer_sizes()[0], 0, 1)
            further = [*further, *recipe.draw(rows, x).inner]
        tensors = [x, *states, *further, *weights[0]]
        if known is None:
            results, executable = run_layer(step, rows, tensors, held=held)
            cached.keep(key, None, rows, executable, batched and not return_states)
        else:
            assert isinstance(known.executables, Executable)
            results = run(known.executables, rows, tensors)
        if not return_states:
            _, *results = results  # the output is the first new state
        if not flat:  # the gradient of this is a view, that of an index a copy
            results = [s.squeeze(0) for s in results]
        results = results if batched else [s.squeeze(0) for s in results]
        if not return_states:
            return hx_of(results)
        first, *others = results
        new = others[: len(step.states)]
        given = [first, *others[len(new) :]]
        return hx_of(new), hx_of([given[i] for i in step.returned])


class StepCall(Protocol[State]):
    """A call for type checkers: the new states, in the form of ``hx``."""

    def __call__(self, input: Tensor, hx: State | None = None) -> State: ...


class TorchCell(Counterpart, StepModule, RNNCellBase):
    """It takes the arguments of ``torch.nn.{name}`` and has its parameters. A cell that is called
    step after step gives the bits of the layer with the same weights. A cell of bfloat16 or float16
    is computed in float32, and its states are rounded.

    Args:
        input_size: features of the input, I.
        hidden_size: units of the state, H.
        bias: whether there are ``bias_ih`` and ``bias_hh``.

    Raises:
        ValueError: input or ``hx`` neither 1-D nor 2-D.
        RuntimeError: a shape or dtype that does not fit the cell.
        AttributeError: input or ``hx`` that is no tensor.

    The guide is docs/guides/loops.md.
    """

    # The docstring is a part of those of RNNCell, LSTMCell and GRUCell, which add the formula.

    _options: ClassVar = attrgetter("input_size", "hidden_size")
    _flat_weights_names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]  # noqa: RUF012
    _all_weights = (_flat_weights_names,)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        RNNCellBase.__init__(self, *arguments, **options)  # in front of the counterpart, see `face`

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The new states, in the form of ``hx``."""
        step = self._step()
        results, found = self._repeat(self, step, input, hx)
        if results is not None:
            return results[1]
        if found[0] is None:
            results = self._run_elsewhere(step, found[2], input, hx)
        return self._run_step(step, found, input, hx) if results is None else results

    def _read(self, step: Step, input: Any, hx: Any, weights: Any, _: Any = None) -> Checked:
        owner, units, width = type(self).__name__, self.hidden_size, self.input_size
        (mine,), names = weights, self._flat_weights_names
        if mine[2] is None and mine[3] is None:
            names = [*names[:2], None, None]
        gates = len(step.x_gates)

        def asked() -> None:
            ask_cell(gates, units, width, mine[0], mine[1])

        first = check_weights(owner, step, names, mine, Sizes({HIDDEN: units}), asked)
        check_weight(owner, names[0], first, (gates * units, width), asked)
        sizes = [units] * len(step.states)
        return *read_rows(owner, input, hx, width, sizes, first), ()


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
    torchs = "input has inconsistent input_size: got {got} expected {size}"
    check_features(owner, input, width, torchs)
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
    """The dimensions of a tensor of one step."""
    return check_dims(owner, torchs, name, value, {1: f"({size},)", 2: f"(B, {size})"})


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
