"""Sequences that arrive step by step: a session that keeps weights packed and states in place."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from ..dispatch.select import unfit
from ..dispatch.weight_dtypes import check_formula, check_weight_dtype, copies, narrow_of
from ..launch.packed import PackedWeights
from ..nn.base import RecurrentModule
from ..nn.inputs import read as read_inputs
from ..nn.inputs import spread
from ..nn.recorded import recorded
from ..runtime.tensors import new
from ..step import Step
from .chunk import Chunk
from .resets import pieces
from .resets import read as read_reset
from .states import States

_LENGTHS = 4  # of chunks that a session is ready for at a time, single steps aside
TAKEN = "Stream: another thread is using this session; give each thread one of its own"


class Owner:
    """Lets one thread at a time use a session; who comes meanwhile is refused."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise RuntimeError(TAKEN)

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Stream:
    """Runs a module over streams that never end, one step or one chunk of steps at a time.

    What each call of the module does anew is done once: weights are copied and packed, states lie
    where the kernel reads and writes them, the output has its place. A step is one native call (one
    a layer if the module adds residuals), without PyTorch's operators, without allocation, and
    without Python's global lock. The results have the bits of one call of the module over the whole
    sequence, outside of autocast, which a session does not follow.

    Args:
        module: a layer or cell of elman in one direction (``elman.accelerate`` makes torch.nn's
            one), on the CPU. Dropout is left out, as in evaluation. A module of bfloat16 or
            float16 takes and returns such tensors; it is computed in float32, products too, and
            its states stay float32 between calls. Or, of float32 or float64, a
            ``torch.nn.Sequential`` of such layers, ``Linear`` and activations behind it, perhaps
            on an ``Embedding``, see below.
        batch_size: how many streams run side by side, B; None for a single one, whose tensors lack
            the batch dimension.
        weight_dtype: what the weight matrices of a float32 module are packed as; None leaves them
            as they are. Fewer bytes are faster where reading them is what a step waits for: a
            single stream, and some 128 units or more (docs/decisions/int8-weights.md has figures).
            Biases, states and all arithmetic stay float32.

            - ``torch.bfloat16``: half the bytes. The results have the bits of a module whose
              matrices were rounded before, ``w.bfloat16().float()``.
            - ``torch.int8``: a quarter of the bytes, and the fastest from some 512 units on. Each
              row of a matrix becomes whole numbers up to 127 times a scale, its largest weight /
              127: ``(w / scale).round() * scale``. The results are those of a module with such
              matrices but for the rounding of sums, and always have the same bits.

    A Sequential is one native call a step, with a linear layer's output in its place. On an
    ``Embedding`` the input are tokens: ``(B,)``, or ``()`` for a single stream, for which a Python
    int is faster; in chunks ``(T, B)``, ``(B, T)`` or ``(T,)``. If a single layer is on it, the
    product of its weights with a token's row is computed once and then looked up: the last bit may
    differ from the module's. Such a table takes V x gates x units
    numbers, at most 256 MiB; a larger one is left out. States are a tuple, of each recurrent layer.

    Changes of the module's weights count from the next :meth:`refresh` on. A session belongs to
    one thread at a time.

    Raises:
        TypeError: a module that is none of elman's layers and cells.
        ValueError: a module of two directions; a batch size that is none; another
            ``weight_dtype``, or one for a module that is not float32; for ``torch.int8`` weights
            that are infinite or NaN; modules in another order, a cell with further inputs.
        IndexError: a token that the embedding doesn't have.
        PathError: kernels cannot run here, or not on such weights.

    The guide is docs/serving.md.

    >>> import elman, torch
    >>> gru = elman.GRU(2, 4)
    >>> stream = elman.Stream(gru)
    >>> x = torch.rand(6, 2)
    >>> first = [stream.step(row).clone() for row in x[:4]]
    >>> rest = stream.chunk(x[4:])
    >>> torch.equal(torch.cat([torch.stack(first), rest]), gru(x)[0])
    True
    >>> for dtype in (torch.bfloat16, torch.int8):
    ...     smaller = elman.Stream(gru, weight_dtype=dtype)
    ...     assert torch.allclose(smaller.chunk(x), gru(x)[0], atol=0.02)

    A model that reads tokens:

    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 2), gru, torch.nn.Linear(4, 9))
    >>> stream = elman.Stream(model)
    >>> scores = stream.step(5)
    >>> scores.shape, int(scores.argmax()) in range(9)
    (torch.Size([9]), True)
    """

    _sessions: ClassVar[dict[type, type[Stream]]] = {}

    def __init_subclass__(cls, of: type[torch.nn.Module] | None = None) -> None:
        """A session of modules ``of`` exactly this class is one that ``Stream(module)`` makes."""
        super().__init_subclass__()
        if of is not None:
            Stream._sessions[of] = cls

    def __new__(
        cls,
        module: torch.nn.Module,
        batch_size: int | None = None,
        weight_dtype: torch.dtype | None = None,
    ) -> Stream:
        return object.__new__(cls._sessions.get(type(module), cls) if cls is Stream else cls)

    def __init__(
        self,
        module: torch.nn.Module,
        batch_size: int | None = None,
        weight_dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(module, RecurrentModule):
            raise TypeError(
                f"Stream: expected a layer or cell of elman, got {type(module).__name__}; "
                "elman.accelerate turns torch.nn's into elman's"
            )
        if getattr(module, "bidirectional", False):
            raise ValueError("Stream: expected one direction; the second one begins at the end")
        valid = isinstance(batch_size, int) and not isinstance(batch_size, bool) and batch_size > 0
        if batch_size is not None and not valid:
            raise ValueError(
                f"Stream: expected batch_size to be a positive int or None, got {batch_size!r}"
            )
        check_weight_dtype("Stream", weight_dtype)
        self.module: Any = module
        self.batch_size, self.weight_dtype = batch_size, weight_dtype
        self._lead = () if batch_size is None else (batch_size,)
        self._batch_first = bool(self._lead) and getattr(module, "batch_first", False)
        self._mine = Owner()
        self._take_weights()
        with torch.inference_mode(False), torch.no_grad():  # states are written in either mode
            self._states = States(module, self._step, self._held, self._lead)
        self._get_ready()
        self.reset()

    @overload
    def step(
        self, input: Tensor, inputs: Mapping[str, Tensor] | None = None, reset: Any = None
    ) -> Tensor: ...

    @overload
    def step(self, input: int, inputs: None = None, reset: Any = None) -> Tensor: ...

    def step(
        self, input: Any, inputs: Mapping[str, Tensor] | None = None, reset: Any = None
    ) -> Tensor:
        """One step of every stream.

        Args:
            input: ``(B, I)``, or ``(I,)`` for a session without ``batch_size``. Of a model on an
                ``Embedding``: tokens ``(B,)``; ``()`` or an int.
            inputs: the cell's further inputs by name, ``(B, H)`` or ``(B, 1)``.
            reset: which streams begin anew with this step, a bool for each, ``(B,)``; a single
                one for a session without ``batch_size``.

        Returns:
            The output, ``(B, H)``. It is the session's memory, which the next step writes: clone
            what is to stay. States and the cell's ``outputs`` come from a :meth:`chunk` of one
            step.
        """
        self._check(input, self._expected)
        if reset is not None:
            self._reset_some(read_reset(reset, self._lead))
        further = self._further(inputs, 1, False) if inputs is not None or self._step.inputs else ()
        self._run(self._one, input, (0, *input.stride()), self._output, further)
        return self._output

    @overload
    def chunk(
        self,
        input: Tensor,
        inputs: Mapping[str, Tensor] | None = None,
        reset: Any = None,
        *,
        return_states: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def chunk(
        self,
        input: Tensor,
        inputs: Mapping[str, Tensor] | None = None,
        reset: Any = None,
        *,
        return_states: Literal[True],
    ) -> tuple[Tensor, Any]: ...

    def chunk(
        self,
        input: Tensor,
        inputs: Mapping[str, Tensor] | None = None,
        reset: Any = None,
        *,
        return_states: bool = False,
    ) -> Any:
        """Several steps of every stream.

        Args:
            input: ``(T, B, I)``, also for a cell; ``(B, T, I)`` for a module with ``batch_first``;
                ``(T, I)`` for a session without ``batch_size``.
            inputs: the cell's further inputs by name, in the form of ``input``.
            reset: before which steps which streams begin anew, bools in the form of ``input``:
                ``(T, B)``, ``(B, T)`` or ``(T,)``. The steps between two resets take one call.
            return_states: whether to return what the cell's ``step`` returns, of every layer at
                every step.

        Returns:
            The output, in the form of ``input``: a new tensor. With ``return_states`` also the
            states and then the cell's ``outputs``, in the form of :class:`elman.Recurrent`:
            ``(num_layers, T, B, H)`` each.
        """
        if return_states is not False and return_states is not True:
            raise TypeError(f"Stream: return_states must be True or False, got {return_states!r}")
        if reset is not None:
            return self._chunk_in_pieces(input, inputs, reset, return_states)
        known = self._giving if return_states else self._chunks
        chunk = known.get(input.shape) if type(input) is Tensor else None
        if chunk is None:
            T = self._length_of(input)
            with self._mine:
                chunk = self._prepare(T, return_states)
        else:
            self._check(input)
        steps = input.transpose(0, 1) if self._batch_first else input
        many = inputs is not None or self._step.inputs
        further = self._further(inputs, chunk.T, True) if many else ()
        output = new(chunk.spec)
        if return_states:
            return self._with_states(chunk, steps, output, further)
        self._run(chunk, steps, steps.stride(), output, further)
        return output.transpose(0, 1) if self._batch_first else output

    def _with_states(self, chunk: Chunk, steps: Tensor, output: Tensor, further: Any) -> Any:
        """A chunk's output, and what each layer gave out."""
        every: list[list[Tensor]] = []
        with torch.no_grad():
            self._run(chunk, steps, steps.stride(), output, further, every)
            if self._batch_first:
                output = output.transpose(0, 1)
                every = [[t.transpose(0, 1) for t in mine] for mine in every]
            alike = isinstance(self.module.hidden_size, int)
            return output, recorded(self._step.full, every, 1, alike)

    def reset(self, rows: Any = None) -> None:
        """Sets the states of some streams to the module's initial ones, by default of all.

        ``rows`` is what indexes a dimension of a tensor: a number, a list of them, a slice, a mask.
        """
        if rows is not None and self.batch_size is None:
            raise ValueError("Stream: a session without batch_size has no rows: leave them out")
        with self._mine:
            self._states.reset(rows)

    def _chunk_in_pieces(self, input: Tensor, inputs: Any, reset: Any, return_states: bool) -> Any:
        """A chunk with resets, after each of which another call begins."""
        T, time = self._length_of(input), 1 if self._batch_first else 0
        found = read_reset(reset, self._shape_of(T)[:-1])
        if inputs is not None:
            self._further(inputs, T, True)
        run: Any = self.chunk
        anew, results = found.T if self._batch_first else found, []
        for first, stop in pieces(anew):

            def part(value: Tensor, first: int = first, stop: int = stop) -> Tensor:
                return value if value.shape[time] != T else value.narrow(time, first, stop - first)

            self._reset_some(anew[first])
            given = part(input), inputs and tree_map(part, dict(inputs))
            results.append(run(*given, return_states=return_states))
        if not return_states:
            return torch.cat(results, time)
        # Of the states, layers come first.
        states = tree_map(lambda *parts: torch.cat(parts, time + 1), *(s for _, s in results))
        return torch.cat([output for output, _ in results], time), states

    def _reset_some(self, reset: Tensor) -> None:
        if reset.any():
            self.reset(reset if self._lead else None)

    def snapshot(self) -> Any:
        """A copy of the states, in the form in which the module takes and returns them; of float32
        for a module of bfloat16 or float16."""
        with self._mine:
            copy: Any = tree_map(Tensor.clone, self._states.whole)
            return copy

    def restore(self, states: Any) -> None:
        """Goes on from states that :meth:`snapshot` or the module has returned, in the dtype of
        either."""
        (mine, form), (given, theirs) = tree_flatten(self._states.whole), tree_flatten(states)
        if form != theirs or not all(isinstance(g, Tensor) for g in given):
            raise TypeError(f"Stream: expected states in the form of snapshot(), {form}")
        for have, want in zip(given, mine, strict=True):
            if have.shape != want.shape or have.dtype not in (want.dtype, self._like.dtype):
                raise RuntimeError(
                    f"Stream: expected a state of shape {tuple(want.shape)} and {want.dtype}, got "
                    f"{tuple(have.shape)} and {have.dtype}"
                )
        with self._mine, torch.no_grad():
            for have, want in zip(given, mine, strict=True):
                want.copy_(have)

    def refresh(self) -> None:
        """Takes over the weights that the module holds now. The states stay; where kernels cannot
        run on such weights, all stays."""
        with self._mine:
            before = self.__dict__.copy()
            try:
                self._take_weights()
                self._get_ready()
            except BaseException:
                self.__dict__.update(before)
                raise

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.module,)

    def __getstate__(self) -> dict[str, Any]:
        """A copy goes on where this session is, with the weights that this one has."""
        names = ("module", "batch_size", "weight_dtype", "_held")
        mine = {name: self.__dict__[name] for name in names}
        return mine | {"states": self.snapshot(), "initial": self._states.initial}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Stream.__init__(self, state["module"], state["batch_size"], state["weight_dtype"])
        self._held, self._packed = state["_held"], PackedWeights()
        self._get_ready()
        self._states.begin_at(state["initial"])
        self.restore(state["states"])

    def _take_weights(self) -> None:
        step = self.module._step()
        check_formula("Stream", step, self.weight_dtype)
        with torch.no_grad():
            names, weights = self.module._weight_names(step), self.module._layer_weights(step)
            layers = zip(names, weights, strict=True)
            held = [copies("Stream", step, *layer, self.weight_dtype) for layer in layers]
        like = next(t for t in held[0] if t is not None)
        self._held, self._step, self._like = held, step, like
        self._packed = PackedWeights()
        self._expected = torch.Size((*self._lead, self.module.input_size))

    def _get_ready(self) -> None:
        """For single steps, with the weights that it has now."""
        self._chunks: dict[torch.Size, Chunk] = {}
        self._giving: dict[torch.Size, Chunk] = {}  # those that return states
        self._one = self._prepare(1)
        self._output = new(self._one.spec).view(*self._lead, -1)
        with torch.no_grad():
            self._states.begin_with(self.module, self._step)

    def _run(
        self,
        chunk: Chunk,
        x: Tensor,
        strides: tuple[int, ...],
        output: Tensor,
        further: Any,
        every: list[list[Tensor]] | None = None,
    ) -> None:
        if not self._mine.lock.acquire(blocking=False):  # `with` adds a tenth to the smallest step
            raise RuntimeError(TAKEN)
        try:
            chunk.run(x, strides, output, further, every)
        finally:
            self._mine.lock.release()

    def _prepare(self, T: int, return_states: bool = False) -> Chunk:
        """Gets ready for chunks of T steps."""
        step, chunks = self._step, self._chunks
        if return_states:
            step, chunks = step.full, self._giving
        if len(chunks) > _LENGTHS:
            del chunks[next(reversed(chunks))]  # the first is that of single steps
        made = chunks[self._shape_of(T)] = self._made(T, step)
        return made

    def _made(self, T: int, step: Step) -> Chunk:
        width, residual = self.module.input_size, getattr(self.module, "residual", False)
        states, narrow = self._states.by_layer, narrow_of(self.weight_dtype)
        of = self._held, states, self._lead, residual, narrow, self._packed
        return Chunk(step, T, width, *of)

    def _shape_of(self, T: int) -> torch.Size:
        """That of an input of T steps."""
        return torch.Size(
            (*self._expected[:-1], T, self._expected[-1])
            if self._batch_first
            else (T, *self._expected)
        )

    def _length_of(self, input: Any) -> int:
        """How many steps an input has."""
        self._check(input)
        time = 1 if self._batch_first else 0
        T = input.shape[time] if input.dim() > time else 0
        if T == 0:
            raise RuntimeError("Stream: expected input to have at least one time step, got none")
        self._check(input, self._shape_of(T))
        return T

    def _further(self, inputs: Any, T: int, many: bool) -> list[list[Tensor]]:
        """The cell's further inputs by layer, each ``(T, B, H)``; ``many`` are those of a chunk."""
        B, batch_first = self.batch_size or 1, many and self._batch_first

        def arrange(value: Tensor) -> Tensor:
            value = value if self._lead else value.unsqueeze(-2)
            value = value if value.dim() == 3 else value[None]
            return value.transpose(0, 1) if batch_first else value

        dims = len(self._expected) + many
        found = read_inputs("Stream", self._step, inputs, self._like, (T, B), dims, arrange)
        return spread("Stream", self._step, found, self.module._layer_sizes() if found else ())

    def _check(self, input: Any, shape: torch.Size | None = None) -> None:
        if (
            type(input) is Tensor
            and (shape is None or input.shape == shape)
            and input.dtype is self._like.dtype
            and input.is_cpu
            and not input.is_neg()
        ):
            return
        if not isinstance(input, Tensor):
            raise TypeError(f"Stream: expected input to be a Tensor, got {type(input).__name__}")
        if shape is not None and input.shape != shape:
            raise RuntimeError(
                f"Stream: expected input of shape {tuple(shape)}, got {tuple(input.shape)}"
            )
        if why := unfit([self._like, input]):
            plain = f"a plain tensor of {self._like.dtype} on the CPU"
            raise RuntimeError(f"Stream: expected input to be {plain}: {why}")
