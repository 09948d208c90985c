"""What every recurrent module is: a formula, and weights by layer and direction."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.fx.proxy import TraceError

from ..dispatch.layer import Held
from ..spaces import Sizes
from ..step import Step
from . import cached
from .checks import check_weights


class RecurrentModule:
    """A module that runs a formula; mixed into modules of PyTorch.

    Weights are read from the module at each call, whatever put them there: an optimiser,
    ``load_state_dict``, a parametrization, pruning.
    """

    input_size: int
    #: What a call reads of the module besides its formula and tensors.
    _options: ClassVar[attrgetter[tuple[Any, ...]]]
    #: The names of all weights, and those of each layer and direction, as in ``RNNBase``; None may
    #: stand for those that there are not.
    _flat_weights_names: Any
    _all_weights: Any
    _parameters: Any

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def _weight_names(self, step: Step) -> Sequence[Sequence[str | None]]:
        """The names of the weights of each layer and direction, in the order of
        ``step.parameters``; None for those that there are not."""
        every = len(step.parameters)
        if self._all_weights and len(self._all_weights[0]) == every:
            return self._all_weights
        return [
            [*names[:2], None, None, *names[2:]] if len(names) == every - 2 else names
            for names in self._all_weights
        ]

    def _layer_weights(self, step: Step) -> list[list[Any]]:
        """The weights of each layer and direction, in the order of ``step.parameters``."""
        plain = self._parameters  # a parametrized weight is not there but an attribute
        return [
            [None if n is None else plain[n] if n in plain else getattr(self, n) for n in names]
            for names in self._weight_names(step)
        ]

    def _weights(self, step: Step) -> list[Any]:
        """:meth:`_layer_weights` in one list, at once for most modules."""
        plain, names = self._parameters, self._flat_weights_names
        try:
            every = [*(plain.values() if [*plain] == names else map(plain.__getitem__, names))]
        except KeyError:
            every = []
        if len(every) == len(self._all_weights) * len(step.parameters):
            return every
        return [t for mine in self._layer_weights(step) for t in mine]

    @staticmethod
    def _repeat(
        module: Any, step: Step, input: Any, hx: Any, dropout: float = 0.0
    ) -> tuple[Any, cached.Found]:
        """The output and the final states of a call that is like an earlier one, if an executable
        takes its tensors as they are, else None; and what is known of such calls.

        A frozen module has something of its own in this place (``frozen.py``)."""
        found = known, _, tensors = cached.find(module, step, input, hx, module._weights(step))
        return None if known is None else known.repeat(tensors, dropout), found

    def _full(self, step: Step, return_states: Any) -> Step:
        """The step of a call that is to return states; a proxy of ``torch.fx`` does not say."""
        if return_states is not True and not isinstance(return_states, Proxy):
            owner = type(self).__name__
            raise TypeError(f"{owner}: return_states must be True or False, got {return_states!r}")
        return step.full

    def _held(self, step: Step, *tensors: Any) -> Held | None:
        """What makes an executable read packed weights, in a call of these tensors of which nothing
        is known; None if the module is not frozen, or not for such calls."""
        frozen = self.__dict__.get("_repeat")
        found: Held | None = None if frozen is None else frozen.held_for(self, step, tensors)
        return found

    def _slow_forward(self, *given: Any, **named: Any) -> Any:
        """What ``torch.jit`` records. The older exporter to ONNX gives by position all that has a
        default, also what has to be named."""
        module: Any = self
        parameters = inspect.signature(module.forward).parameters.values()
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        count = len(parameters) - len(keywords)
        if keywords and torch.onnx.is_in_onnx_export() and len(given) == len(parameters):
            named = dict(zip(keywords, given[count:], strict=True)) | named
            named["return_states"] = bool(named["return_states"])
            given = given[:count]
        below: Any = super()
        return below._slow_forward(*given, **named)

    def _leaf(self, *arguments: Any, **named: Any) -> Any:
        """The call as one node of the graph that ``torch.fx.symbolic_trace`` records, as with
        torch.nn's layers; None if no argument is a proxy."""
        found = flat([*arguments, *named.values()])
        tracers: list[Any] = [value.tracer for value in found if isinstance(value, Proxy)]
        if not tracers:
            return None
        path = "" if self is tracers[0].root else tracers[0].path_of_module(self)
        if not path:
            kind = type(self).__name__
            raise TraceError(
                f"torch.fx cannot trace {kind} itself, only a module that contains it: a recurrent "
                "layer is one node of the graph, which calls it by its name"
            )
        given = {name: value for name, value in named.items() if value is not None}
        return tracers[0].create_proxy("call_module", path, arguments, given)

    def _layer_sizes(self) -> Sequence[Sizes]:
        """The sizes of each layer and direction."""
        raise NotImplementedError

    def _check_weights(
        self, step: Step, weights: Sequence[Sequence[Any]], sizes: Sequence[Sizes]
    ) -> Tensor:
        """Checks the weights of all layers; returns one that stands for their dtype and device."""
        owner, names = type(self).__name__, self._weight_names(step)
        first, *_ = [
            check_weights(owner, step, *each) for each in zip(names, weights, sizes, strict=True)
        ]
        return first


def flat(values: Any) -> list[Any]:
    """The values with what tuples, lists and dicts among them hold."""
    if isinstance(values, dict):
        values = [*values.values()]
    if not isinstance(values, (tuple, list)):
        return [values]
    return [part for value in values for part in flat(value)]
