"""Rows that are looked up by tokens: of an embedding, or of its products with a layer's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..expr import Node, node, walk, with_args
from ..nn.messages import refusal
from ..spaces import HIDDEN
from ..step import Step
from .session import Stream

LARGEST = 1 << 28  # bytes of a table of products


class Table:
    """A row of numbers for each token: ``embedding``, or ``weight @ embedding + bias``.

    A product is computed when its token comes for the first time. So it costs no more than without
    a table, and memory is used for the tokens that come.
    """

    def __init__(
        self, embedding: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        self._given = embedding, weight, bias
        self.tokens, self.width = len(embedding), len(embedding[0] if weight is None else weight)
        self._rows = embedding
        self._new = set[int]()
        if weight is not None:
            self._rows = embedding.new_empty(self.tokens, self.width)
            self._new.update(range(self.tokens))
        self._row_by_row = self._rows.numpy()

    def __reduce__(self) -> Any:
        return Table, self._given

    def rows(self, tokens: Tensor) -> Tensor:
        """Those of tokens of any shape, which comes before the rows' width.

        Raises:
            IndexError: a token that there is not.
        """
        self._learn(tokens.flatten().tolist())
        found = self._rows.index_select(0, tokens.flatten())
        return found.view(*tokens.shape, self.width)

    def copy_row(self, token: int, into: Any) -> None:
        """Writes a token's row into an array of NumPy's, in a third of the time."""
        if token in self._new or not 0 <= token < self.tokens:
            self._learn([token])
        into[...] = self._row_by_row[token]

    def _learn(self, tokens: Sequence[int]) -> None:
        """Computes the rows that have not been asked for before."""
        for token in tokens:
            if not 0 <= token < self.tokens:
                expected = f"tokens from 0 to {self.tokens - 1}"
                raise refusal(
                    IndexError, "index out of range in self", "Stream", expected, str(token)
                )
        embedding, weight, bias = self._given
        for token in self._new.intersection(tokens):
            if weight is not None:
                # One by one, so that a row has the same bits whichever others are asked for.
                row = self._rows[token]
                torch.mv(weight, embedding[token], out=row)
                if bias is not None:
                    row += bias
            self._new.discard(token)


class LookedUp(Stream):
    """A session of one layer on an embedding, whose input are rows of its :attr:`table`: the
    products ``W_ih x + b_ih``, which the cell reads as inputs of its own, one for each gate."""

    def __new__(cls, *_: Any) -> LookedUp:
        return object.__new__(cls)

    def __init__(
        self, module: Any, batch_size: int | None, weight_dtype: Any, embedding: Tensor
    ) -> None:
        self._embedding = embedding
        super().__init__(module, batch_size, weight_dtype)

    def _take_weights(self) -> None:
        super()._take_weights()
        (held,), step = self._held, self._step
        by_name = dict(zip(step.parameters, held, strict=True))
        weight, bias = (by_name.pop(name) for name in ("weight_ih", "bias_ih"))
        self.table = Table(self._embedding, weight, bias)
        self._step = looked_up(step)
        self._held = [[by_name.get(name) for name in step.parameters]]

    def given(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """An input that nothing reads, and the inputs that stand for it; of rows ``(..., W)``."""
        names = self._step.inputs
        parts = rows.split(rows.shape[-1] // len(names), -1)
        nothing = rows.new_zeros(()).expand(*rows.shape[:-1], self.module.input_size)
        return nothing, dict(zip(names, parts, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_embedding": self._embedding, "table": self.table}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._embedding = state["_embedding"]
        super().__setstate__(state)
        self.table = state["table"]


def can_look_up(module: Any, tokens: int) -> bool:
    """Whether products with an embedding of so many tokens take the place of a module's input."""
    step: Step = module._step()
    if not step.x_gates or step.inputs or step.reads_input or step.alike:
        return False
    if HIDDEN not in looked_up(step).measures:  # no other parameter says how many units there are
        return False
    weights = module._layer_weights(step)
    product: Tensor = weights[0][0]
    return len(weights) == 1 and tokens * len(product) * product.itemsize <= LARGEST


def looked_up(step: Step) -> Step:
    """The same formula on projected inputs, which are given for each gate that reads the input."""
    names = dict[str, str]()
    for gate in step.x_gates:
        names[gate] = f"x_{gate}"
        while names[gate] in step.inputs:
            names[gate] += "_"
    done: dict[Node, Node] = {}
    for old in walk([*step.new, *step.outputs.values()]):
        done[old] = (
            node("input", attr=names[old.attr], space=old.space)
            if old.op == "x"
            else with_args(old, *(done[a] for a in old.args))
        )
    return Step.of(
        (),
        step.u_gates,
        step.states,
        (*step.inputs, *names.values()),
        step.matrices,
        step.vectors,
        step.projection,
        tuple(done[value] for value in step.new),
        outputs={name: done[value] for name, value in step.outputs.items()},
        heads=step.heads,
        fixed=step.fixed,
        masks=step.masks,
    )
