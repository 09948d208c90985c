"""Recurrent modules as leaves of a graph that ``torch.fx.symbolic_trace`` records."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Proxy
from torch.fx.proxy import TraceError


def leaf(module: torch.nn.Module, *arguments: Any, **named: Any) -> Any:
    """The call of a module as one node of the graph, as with torch.nn's layers; None if no
    argument is a proxy."""
    found = _flat([*arguments, *named.values()])
    tracers: list[Any] = [value.tracer for value in found if isinstance(value, Proxy)]
    if not tracers:
        return None
    path = "" if module is tracers[0].root else tracers[0].path_of_module(module)
    if not path:
        kind = type(module).__name__
        raise TraceError(
            f"torch.fx cannot trace {kind} itself, only a module that contains it: a recurrent "
            "layer is one node of the graph, which calls it by its name"
        )
    given = {name: value for name, value in named.items() if value is not None}
    return tracers[0].create_proxy("call_module", path, arguments, given)


def _flat(values: Any) -> list[Any]:
    """The values with what tuples, lists and dicts among them hold."""
    if isinstance(values, dict):
        values = [*values.values()]
    if not isinstance(values, (tuple, list)):
        return [values]
    return [leaf for value in values for leaf in _flat(value)]
