"""What a body computes, found by running it once on tensors without data."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from ..errors import FormulaError
from .operators import DRAWN, FILLED, ROWS, RULES, Operands, has_rows, no_number
from .values import Value, Values

#: What gives Python a number of a tensor.
_ASKING = "_local_scalar_dense", "is_nonzero", "equal", "_is_all_true"


class Trace(TorchDispatchMode):
    """Runs under ``FakeTensorMode``, and notes which value every tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.values = Values()
        #: Tensors that the body reads besides its arguments.
        self.read: list[Tensor] = []
        self._known: dict[int, tuple[Tensor, Value | None]] = {}

    # -- which tensor has which value

    def note(self, tensor: Tensor, value: Value | None) -> None:
        """None: it has none any more."""
        self._known[id(tensor)] = tensor, value  # the tensor stays, so its id is no other's

    def value_of(self, given: Any) -> Value:
        if isinstance(given, (bool, int, float)):
            return self.values.number(given)
        if id(given) not in self._known:
            if has_rows(given):
                raise FormulaError("a tensor of rows comes from nowhere")
            index = len(self.read)
            self.read.append(given)
            size = 0 if given.dim() == 0 else given.shape[-1]
            self.note(given, self.values.make("tensor", attr=index, size=size))
        value = self._known[id(given)][1]
        if value is None:
            raise FormulaError("a tensor is read after a part of it was changed in place")
        return value

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if func.namespace == "prim":
            return func(*args, **kwargs)
        rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        rows = any(self.value_of(t).level or has_rows(t) for t in tensors)
        if rows and rule is None:
            made = self._decomposed(func, args, kwargs)
            if made is not NotImplemented:
                return made
            raise FormulaError(
                f"torch.{name} of values of the loop has no counterpart in a formula"
            )
        if name in _ASKING:
            raise no_number()
        if func._schema.is_mutable and not rows:
            raise FormulaError("the body changes a tensor in place that it does not make")
        result = func(*args, **kwargs)
        if any(isinstance(r, Tensor) and has_rows(r) for r in tree_leaves(result)) and not rows:
            if name not in FILLED and name not in DRAWN:
                raise FormulaError(f"torch.{name} makes rows of nothing: pass them as an argument")
            rows = True
        if not rows:
            self._note_call(func, args, kwargs, result)
            return result
        if rule is None:
            rule = FILLED.get(name) or DRAWN[name]
        operands = Operands(self.values, self.value_of, result, name)
        found = rule(operands, *args, **kwargs)
        for tensor, value in zip(tree_leaves(result), tree_leaves(found), strict=True):
            if name.endswith("_") and tensor is args[0]:
                self._overwrite(tensor)
            self.note(tensor, value)
        return result

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operation in terms of others, if PyTorch knows such terms."""
        from torch._decomp import core_aten_decompositions

        table = core_aten_decompositions()
        if func not in table:
            return NotImplemented
        with self:
            return table[func](*args, **kwargs)

    def _note_call(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """An operation on tensors without rows: it is called again, for the tensors at hand."""
        given, spec = tree_flatten((args, kwargs))
        tensors = [g for g in given if isinstance(g, Tensor)]
        operands = [self.value_of(t) for t in tensors]
        places = [i for i, g in enumerate(given) if isinstance(g, Tensor)]

        def call(*now: Tensor) -> Any:
            filled = list(given)
            for place, tensor in zip(places, now, strict=True):
                filled[place] = tensor
            arguments, named = tree_unflatten(filled, spec)
            return func(*arguments, **named)

        for place in places:
            given[place] = None
        make = self.values.make
        if isinstance(result, Tensor):
            turned = func._schema.name == "aten::t" and result.dim() == 2
            made = (
                self.values.turned(operands[0], result.shape[-1])
                if turned
                else make("call", *operands, attr=call, size=_size(result))
            )
            self.note(result, made)
            return
        every = make("call", *operands, attr=call, size=0)
        for i, tensor in enumerate(tree_leaves(result)):
            one = make("call", every, attr=functools.partial(_item, i), size=_size(tensor))
            self.note(tensor, one)

    def _overwrite(self, changed: Tensor) -> None:
        """Other tensors that share memory with one that is changed in place have no value now."""
        mine = changed.untyped_storage()._cdata
        others = [tensor for tensor, _ in self._known.values() if tensor is not changed]
        for other in filter(has_rows, others):
            same = other.untyped_storage()._cdata == mine
            if same and _places(other) & _places(changed):
                self.note(other, None)


def _item(index: int, every: Any) -> Any:
    return tree_leaves(every)[index]


def _size(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.dim() else 0


def _places(tensor: Tensor) -> set[int]:
    """Where the numbers of the first two rows lie in memory."""
    found = {int(tensor.storage_offset())}
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count = 2 if size == ROWS else size
        found = {place + i * stride for place in found for i in range(count)}
    return found
