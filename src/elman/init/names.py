"""Initialisations by name, as the option ``init`` of a module takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from . import gates, matrices, schemes

#: Every initialisation by its name.
BY_NAME: dict[str, Callable[..., Any]] = {
    function.__name__.rstrip("_"): function
    for function in (
        *(schemes.keras_, schemes.flax_, schemes.irnn_),
        *(matrices.orthogonal_, matrices.eye_, matrices.unit_norm_, matrices.lecun_normal_),
        *(matrices.xavier_uniform_, matrices.xavier_normal_),
        *(matrices.kaiming_uniform_, matrices.kaiming_normal_),
        *(matrices.sparse_, matrices.spectral_radius_),
        *(gates.bias_, gates.forget_bias_, gates.chrono_, gates.initial_states_),
    )
}


def apply(module: torch.nn.Module, init: Any) -> None:
    """Initialises a module by what its option ``init`` says.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        init: None; a name, such as ``"orthogonal"``; a function of the module; a mapping of names
            to their arguments, in order; or a sequence of all these.

    Raises:
        TypeError: for an ``init`` of another kind, or arguments that do not fit.
        ValueError: for an unknown name, and what the initialisation raises.

    >>> import elman, torch
    >>> rnn = torch.nn.RNN(1, 2)
    >>> elman.init.apply(rnn, ["orthogonal", {"bias": {"value": 0.5}}])
    >>> rnn.bias_ih_l0.tolist()
    [0.5, 0.5]
    """
    owner = type(module).__name__
    if init is None:
        return
    if isinstance(init, str):
        init = {init: {}}
    if isinstance(init, Mapping):
        for name, arguments in init.items():
            _call(owner, module, name, arguments)
    elif callable(init):
        init(module)
    elif isinstance(init, Sequence):
        for part in init:
            apply(module, part)
    else:
        raise TypeError(
            f"{owner}: expected init to be a name, a function of the module, a mapping of names to "
            f"arguments or a sequence of these, got {init!r}"
        )


def _call(owner: str, module: torch.nn.Module, name: Any, arguments: Any) -> None:
    function = BY_NAME.get(name) if isinstance(name, str) else None
    if function is None:
        raise ValueError(f"{owner}: init must be one of {', '.join(BY_NAME)}, got {name!r}")
    if not isinstance(arguments, Mapping):
        raise TypeError(
            f"{owner}: expected the arguments of init {name!r} as a mapping of their names, got "
            f"{arguments!r}"
        )
    try:
        inspect.signature(function).bind(module, **arguments)
    except TypeError as error:
        raise TypeError(
            f"{owner}: init {name!r}: {error}: give its arguments as in "
            f"init={{{name!r}: {{'name': value}}}}"
        ) from None
    function(module, **arguments)
