"""The options that regularise as a module has them: to be read, and to be changed between calls."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..dispatch.autograd import run
from ..rows import Rows
from ..step import Step
from . import cached
from .cellmodule import CellModule
from .layers import LayerStack
from .masks import LayerMasks, Recipe, beside, drop_weights, masked
from .regularise import Drawn, Regularisation, evaluation, training
from .states import hx_of

_NONE = Regularisation()


class _Option:
    """One option of a module, which is checked where it is changed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, _: Any = None) -> Any:
        return self if module is None else getattr(module._regular, self.name)

    def __set__(self, module: Any, value: Any) -> None:
        changed = module._regular._replace(**{self.name: value})
        module._regularise(changed.check(type(module).__name__, module.cell.states))


class Regularised(LayerStack, CellModule):
    """A module with the options of :class:`Regularisation`."""

    _regular = _NONE
    _every_option: ClassVar[attrgetter[tuple[Any, ...]]]  # what ``_options`` reads, and these

    input_dropout = _Option("input_dropout")
    state_dropout = _Option("state_dropout")
    output_dropout = _Option("output_dropout")
    recurrent_dropout = _Option("recurrent_dropout")
    weight_dropout = _Option("weight_dropout")
    zoneout = _Option("zoneout")
    state_noise = _Option("state_noise")
    state_clip = _Option("state_clip")
    grad_clip = _Option("grad_clip")

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_regular": tuple(self._regular)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_regular": Regularisation(*state.get("_regular", ()))})

    def _regularise(self, options: Regularisation) -> None:
        before, self._regular = self._regular, options
        try:
            self._keep(self.cell.trace())
        except ValueError:
            self._regular = before
            raise

    def _variants(self) -> tuple[Step, Drawn | None]:
        self.__dict__.pop("_options", None)
        options = self._regular
        if options == _NONE:
            evaluated, drawn = super()._variants()
        else:
            evaluated = evaluation(self._formula, options)
            drawn = training(type(self).__name__, self.cell, options)
            ends = options.input_dropout or options.output_dropout or options.weight_dropout
            drawn = drawn if drawn.draws or ends else None
            # Layers of other options may not take this module's way through a call.
            self.__dict__["_options"] = self._every_option
        each, D = self._layer_sizes(), self._directions()
        self._recipes = [Recipe(drawn, options, s, s.width, D) for s in each[::D] if drawn]
        return evaluated, drawn

    def _draw(
        self, drawn: Drawn, weights: Sequence[Any], rows: Rows, x: Tensor
    ) -> tuple[Sequence[Any], Sequence[LayerMasks]]:
        if torch.onnx.is_in_onnx_export():
            raise RuntimeError(
                f"{type(self).__name__}: torch.onnx.export takes a module in evaluation, got one "
                "in training, which draws random numbers: call module.eval() first"
            )
        return self._draw_known(drawn, weights, rows, x)

    def _draw_known(
        self, drawn: Drawn, weights: Sequence[Any], rows: Rows, x: Tensor
    ) -> tuple[Sequence[Any], Sequence[LayerMasks]]:
        """What :meth:`_draw` gives, for a call that is like an earlier one: nobody records it."""
        p = self._regular.weight_dropout
        weights = drop_weights(drawn.step, weights, p) if p else weights
        return weights, [recipe.draw(rows, x) for recipe in self._recipes]

    @staticmethod
    def _repeat_drawn(
        module: Any, step: Step, input: Any, hx: Any, dropout: float
    ) -> tuple[Any, cached.Found]:
        """What :meth:`_repeat` does, of a call of training that draws."""
        found = known, _, tensors = cached.find(module, step, input, hx, module._weights(step))
        if known is None or known.plain is None or module._drawn is None:
            return None, found
        x, first = tensors[0], step.first_input
        weights, masks = module._draw_known(module._drawn, tensors[first:], known.rows, x)
        every = [masked(x, masks[0].input), *tensors[1:first], *beside(masks, weights)]
        output, *final = run(known.plain, known.rows, every, dropout)
        return (masked(output, masks[0].output), hx_of(final)), found
