"""A session of a model: an embedding, recurrent layers and linear ones, one behind another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..dispatch.select import arithmetic, unfit
from ..errors import PathError
from ..launch.calls import NativeCall
from ..nn.messages import refusal
from ..nn.parts import check_fits, is_dense, parts_of
from .lookup import LookedUp, Table, can_look_up
from .resets import read as read_reset
from .session import TAKEN, Owner, Stream

_TOKENS = (torch.int64, torch.int32)


class ModelStream(Stream, of=torch.nn.Sequential):
    """What ``Stream(torch.nn.Sequential(...))`` makes: a session for each layer, whose steps are
    one native call (one a layer, if a layer adds residuals).

    What a step reads, a token's row or numbers, is first copied to ``_row``, where the call
    expects it.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        batch_size: int | None = None,
        weight_dtype: torch.dtype | None = None,
    ) -> None:
        self.module, self.batch_size, self.weight_dtype = module, batch_size, weight_dtype
        self._mine = Owner()
        with torch.inference_mode(False), torch.no_grad():  # states are written in either mode
            self._take_parts()
            self._connect()

    def step(self, input: Tensor | int, inputs: Any = None, reset: Any = None) -> Tensor:
        if inputs is not None:
            raise _none_of("inputs")
        if reset is not None:
            self._reset_some(read_reset(reset, self._lead))
        if not self._mine.lock.acquire(blocking=False):
            raise RuntimeError(TAKEN)
        try:
            if type(input) is int and self._table is not None and not self._lead:
                self._table.copy_row(input, self._array)
            else:
                self._copy(input)
            for run in self._runs:
                run()
        finally:
            self._mine.lock.release()
        return self._output

    def chunk(
        self, input: Tensor, inputs: Any = None, reset: Any = None, *, return_states: Any = False
    ) -> Any:
        if inputs is not None:
            raise _none_of("inputs")
        if return_states is not False:
            raise _none_of("return_states=True")
        with self._mine, torch.no_grad():
            x = self._steps(input)
            if reset is not None:
                reset = read_reset(reset, input.shape[: 1 + len(self._lead)])
            for stream in self._streams:
                turned = stream._batch_first is not self._batch_first
                given, anew = (x, reset) if not turned else (_turned(x), _turned(reset))
                further = None
                if isinstance(stream, LookedUp):
                    given, further = stream.given(given)
                x = stream.chunk(given, further, anew)
                x = _turned(x) if turned else x
        return x

    def reset(self, rows: Any = None) -> None:
        with self._mine:
            for stream in self._streams:
                stream.reset(rows)

    def snapshot(self) -> Any:
        with self._mine:
            return tuple(stream.snapshot() for stream in self._recurrent)

    def restore(self, states: Any) -> None:
        mine = self._recurrent
        if not isinstance(states, tuple) or len(states) != len(mine):
            raise TypeError(
                f"Stream: expected states in the form of snapshot(), a tuple of {len(mine)}"
            )
        before = self.snapshot()
        with self._mine:
            try:
                for stream, state in zip(mine, states, strict=True):
                    stream.restore(state)
            except BaseException:
                for stream, state in zip(mine, before, strict=True):
                    stream.restore(state)
                raise

    def refresh(self) -> None:
        states = self.snapshot()
        new = ModelStream(self.module, self.batch_size, self.weight_dtype)
        new.restore(states)
        with self._mine:
            self.__dict__.update(new.__dict__ | {"_mine": self._mine})

    def __getstate__(self) -> dict[str, Any]:
        names = ("module", "batch_size", "weight_dtype", "_streams", "_table")
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._mine = Owner()
        with torch.inference_mode(False), torch.no_grad():
            self._connect()

    def _take_parts(self) -> None:
        """A session for each part, and the table."""
        embedding, layers = parts_of("Stream", self.module)
        weight = None if embedding is None else embedding.weight.detach().clone()
        if why := _unfit([weight]):
            raise PathError(f"Stream: kernels are not possible here: {why}")
        features = None if weight is None else weight.shape[1]
        self._streams: list[Stream] = []
        for layer, pool in layers:
            if pool:
                raise ValueError("Stream: expected modules that read step by step, got a pooling")
            check_fits("Stream", layer, features)
            own: Any = layer
            if weight is not None and not self._streams and can_look_up(own, len(weight)):
                made: Stream = LookedUp(own, self.batch_size, self.weight_dtype, weight)
            else:
                made = Stream(own, self.batch_size, self.weight_dtype)
            self._streams.append(made)
            if further := own._step().given_inputs:
                raise ValueError(
                    "Stream: expected modules that read their input alone, got one whose cell has "
                    f"the inputs {list(further)}: give it a session of its own"
                )
            features = made._output.shape[-1]
        if why := _unfit([weight, *(stream._like for stream in self._streams)]):
            raise RuntimeError(
                f"Stream: expected a module of one dtype, torch.float32 or torch.float64: {why}"
            )
        first, self._table = self._streams[0], None
        if weight is not None:
            self._table = first.table if isinstance(first, LookedUp) else Table(weight)

    def _connect(self) -> None:
        """Makes one call of the steps of all sessions."""
        first, B, residual = self._streams[0], self.batch_size or 1, False
        self._recurrent = [s for s in self._streams if not is_dense(s.module)]
        self._lead, self._like = first._lead, first._like
        self._batch_first = any(stream._batch_first for stream in self._streams)
        width = first.module.input_size if self._table is None else self._table.width
        x = self._like.new_zeros(1, B, width)
        self._row, self._array = x.view(*self._lead, width), x.numpy().reshape(-1)
        self._expected = torch.Size(self._lead if self._table is not None else self._row.shape)
        places, tensors, each = list[Any](), list[Tensor | None](), list[Callable[[], None]]()
        for stream in self._streams:
            chunk, further = stream._made(1, stream._step), list[Tensor]()
            if isinstance(stream, LookedUp):
                x, inputs = stream.given(x)
                further = [*inputs.values()]
            output = self._like.new_zeros(1, B, stream._output.shape[-1])
            each.append(partial(chunk.run, x, x.stride(), output, [further] * bool(further)))
            begin = len(tensors)
            tensors += chunk.bring(x, output, further)
            for run, its in chunk.groups[0]:
                places.append((run, range(begin + its.start, begin + its.stop)))
            residual = residual or len(chunk.groups) > 1
            x = output
        self._output = x.view(*self._lead, -1)
        self._runs = each if residual else [partial(NativeCall(places).run, tensors)]

    def _copy(self, input: Any) -> None:
        """Copies what a step reads."""
        given = self._checked(input, self._expected)
        if self._table is None:
            self._row.copy_(given)
        elif self._lead:
            self._row.copy_(self._table.rows(given))
        else:
            self._table.copy_row(int(given), self._array)

    def _checked(self, input: Any, shape: torch.Size) -> Tensor:
        """What is read, if it can be."""
        if self._table is None:
            self._check(input, shape)
        elif not isinstance(input, Tensor):
            kind = type(input).__name__
            sentence = f"embedding(): argument 'indices' (position 2) must be Tensor, not {kind}"
            raise refusal(TypeError, sentence, "Stream", "tokens to be a Tensor", kind)
        elif input.dtype not in _TOKENS:
            sentence = (
                "Expected tensor for argument #1 'indices' to have one of the following scalar "
                f"types: Long, Int; but got {input.type()} instead (while checking arguments for "
                "embedding)"
            )
            expected = "tokens of torch.int64 or torch.int32"
            raise refusal(RuntimeError, sentence, "Stream", expected, str(input.dtype))
        elif input.shape != shape or not input.is_cpu:
            raise RuntimeError(
                f"Stream: expected tokens of shape {tuple(shape)} on the CPU, got "
                f"{tuple(input.shape)} on {input.device}"
            )
        found: Tensor = input
        return found

    def _steps(self, input: Any) -> Tensor:
        """The rows of several steps, which a layer reads."""
        if self._table is None:
            self._length_of(input)
            rows: Tensor = input
            return rows
        time, dims = int(self._batch_first), 1 + len(self._lead)
        T = input.shape[time] if isinstance(input, Tensor) and input.dim() == dims else 1
        if T == 0:
            raise RuntimeError("Stream: expected input to have at least one time step, got none")
        shape = (*self._lead, T) if self._batch_first else (T, *self._lead)
        return self._table.rows(self._checked(input, torch.Size(shape)))


def _unfit(tensors: Sequence[Tensor | None]) -> str:
    """Why there is no session of a model with these tensors, in words; empty if there is one."""
    if why := unfit(tensors):
        return why
    narrow = next((t.dtype for t in tensors if t is not None and arithmetic([t])), None)
    return f"there are no kernels for {narrow} here, only for its layers alone" if narrow else ""


def _turned(given: Any) -> Any:
    """With time in the place of rows, if there is anything."""
    return None if given is None else given.transpose(0, 1)


def _none_of(what: str) -> ValueError:
    return ValueError(f"Stream: a torch.nn.Sequential has no {what}: leave it out")
