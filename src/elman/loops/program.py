"""A traced body, ready to run."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import PyTree, TreeSpec, tree_flatten, tree_unflatten

from .. import batch
from ..batch import LayerArgs, Weights
from ..dispatch.layer import run_layer
from ..dispatch.select import set_path
from ..errors import FormulaError
from ..expr import walk
from ..pages import page
from ..rows import Rows
from .formula import Loop, loop_of
from .operators import ROWS
from .trace import Trace
from .values import CARRIED, GIVEN, Value, evaluate, place_of


class Program:
    """What ``elman.scan`` runs for tensors of one kind. ``read`` are the tensors that the body
    reads besides its arguments."""

    def __init__(
        self,
        body: Callable[[Any, Any], Any],
        carried: Sequence[Tensor],
        given: Sequence[Tensor],
        form: TreeSpec,
        xs_form: TreeSpec | None,
    ) -> None:
        trace = Trace()
        # Cells of elman show what they compute where no kernel runs.
        fakes = FakeTensorMode(allow_non_fake_inputs=True)
        with fakes, torch.no_grad(), set_path("reference"):
            states = [_fake(t, 1) for t in carried]
            inputs = [_fake(t, 2) for t in given]
            self._states = [_leaf(trace, "state", i, t, CARRIED) for i, t in enumerate(states)]
            self._given = [_leaf(trace, "given", i, t, GIVEN) for i, t in enumerate(inputs)]
            x = None if xs_form is None else tree_unflatten(inputs, xs_form)
            with trace:
                try:
                    found = body(tree_unflatten(states, form), x)
                except FormulaError as error:
                    said = f"scan: {error}{_place(error)}; see {page('guides/loops')}"
                    raise FormulaError(said) from None
            new, ys, self._y_form = _results(found, form, states)
        self._form, self.read = form, trace.read
        #: Of each tensor among the ys, how many dimensions it has at a step; None for None.
        self._dims = [None if y is None else y.dim() for y in ys]
        self._ys = [trace.value_of(y) for y in ys if y is not None]
        self._loop: Loop = loop_of(self._states, [trace.value_of(t) for t in new], self._ys)
        loop = self._loop
        before = [v for v in (*loop.inputs, loop.source) if v is not None]
        weights = [v for stack in loop.weights if stack for v in stack]
        every = walk([*before, *weights, *self._ys], lambda value: value.args)
        self._before = before
        self._tensors = [v for v in every if v.kind == "tensor"]

    def run(
        self, carried: Sequence[Tensor], given: Sequence[Tensor], T: int, read: Sequence[Tensor]
    ) -> tuple[PyTree, PyTree]:
        """The carry after the last step, and ``y`` of every step."""
        loop, step = self._loop, self._loop.step
        starts = [_with_units(t, 2) for t in carried]
        like, B = starts[0], starts[0].shape[0]
        lead = T, B
        known: dict[Value, Any] = {v: read[v.attr] for v in self._tensors}
        known |= {v: _with_units(t, 3) for v, t in zip(self._given, given, strict=True)}
        evaluate(self._before, known, lead, like)
        inputs = [known[v].to(like.dtype).expand(*lead, v.size) for v in loop.inputs]
        x = like.new_zeros(()).expand(*lead, 1) if loop.source is None else known[loop.source]
        weights = [self._weight(i, known, like) for i in range(len(step.parameters))]
        initial = [starts[i][None] for i in loop.states]
        tensors = LayerArgs(x, initial, inputs, [Weights.of(weights)]).flat()
        made, _ = run_layer(step, Rows(T, B, T * B), tensors)
        finals = made[1 : 1 + len(starts)]
        final = {i: h[0].view(carried[i].shape) for i, h in zip(loop.states, finals, strict=True)}
        for value, output in loop.outputs.items():
            known[value] = made[step.place(output)]
        for i, output in loop.before.items():
            known[self._states[i]] = torch.cat([starts[i][None], made[step.place(output)][:-1]])
        found = iter(evaluate(self._ys, known, lead, like))
        sizes = iter(max(1, value.size) for value in self._ys)
        shaped = [
            None if dims is None else _of_steps(next(found), lead, next(sizes), dims)
            for dims in self._dims
        ]
        carry = [final[i] for i in range(len(starts))]
        return tree_unflatten(carry, self._form), tree_unflatten(shaped, self._y_form)

    def _weight(self, index: int, known: dict[Value, Any], like: Tensor) -> Tensor | None:
        """A parameter of the step: parts above one another, or the tensor whose parts they are."""
        step, parts = self._loop.step, self._loop.weights[index]
        if parts is None:
            return None
        if not parts:  # it says nothing but how many units there are
            return like.new_zeros(self._loop.units)
        vector = step.parameters[index] not in self._loop.matrices
        whole = _whole(parts)
        if whole is not None:
            tensor: Tensor = evaluate([whole], known, (), like)[0]
            if tensor.shape[0] == sum(_rows(part) for part in parts):
                return tensor
        tensors = evaluate(parts, known, (), like)
        tensors = [t.reshape(-1) for t in tensors] if vector else tensors
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _place(error: BaseException) -> str:
    """The line of the body that an error comes from: the last one outside of torch and elman."""
    ours = tuple(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (torch, batch))
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""


def _results(found: Any, form: TreeSpec, states: Sequence[Tensor]) -> tuple[Any, Any, TreeSpec]:
    """The new carry and y that a body has returned."""
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(
            "scan: expected body(carry, x) to return a pair (carry, y), got "
            f"{type(found).__name__}: return None as y if there is none"
        )
    new, new_form = tree_flatten(found[0])
    if new_form != form:
        raise TypeError(
            f"scan: expected body to return a carry of the form of init, {form}, got {new_form}"
        )
    for i, (want, have) in enumerate(zip(states, new, strict=True)):
        if not isinstance(have, Tensor) or (have.shape, have.dtype) != (want.shape, want.dtype):
            raise RuntimeError(
                f"scan: expected tensor {i} of the new carry to be {_shown(want)} as in init, got "
                f"{_shown(have)}"
            )
    ys, y_form = tree_flatten(found[1])
    for y in ys:
        if y is not None and not isinstance(y, Tensor):
            raise TypeError(f"scan: expected tensors in y, got {type(y).__name__}")
    return new, ys, y_form


def _shown(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{value.dtype} of shape {('B', *value.shape[1:])}".replace("'", "")


def _fake(like: Tensor, lead: int) -> Tensor:
    """A tensor of rows as the body sees it at a step."""
    return torch.empty(ROWS, *like.shape[lead:], dtype=like.dtype)


def _leaf(trace: Trace, kind: str, index: int, tensor: Tensor, level: int) -> Value:
    size = tensor.shape[1] if tensor.dim() == 2 else 1
    value = trace.values.make(kind, attr=index, size=size, level=level)
    trace.note(tensor, value)
    return value


def _with_units(tensor: Tensor, dims: int) -> Tensor:
    return tensor if tensor.dim() == dims else tensor.unsqueeze(-1)


def _of_steps(value: Tensor, lead: tuple[int, ...], size: int, dims: int) -> Tensor:
    value = value.expand(*lead, size)
    return value if dims == 2 else value.squeeze(-1)


def _whole(parts: Sequence[Value]) -> Value | None:
    """What these are the parts of, one behind another from the first row on."""
    end = 0
    for part in parts:
        if part.kind != "part" or place_of(part) != (place_of(parts[0])[0], end):
            return None
        end = part.attr[2]
    return parts[0].args[0]


def _rows(part: Value) -> int:
    first, stop = part.attr[1:]
    return int(stop - first)
