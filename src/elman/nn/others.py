"""Modules that are recurrent but neither torch.nn's nor elman's: what they are, and where to go."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .ofcell import OfCell

_CELL = (
    "write its step as an elman.Cell and use elman.Recurrent (docs/cells.md), or elman.register it"
)
_KINDS = re.compile(r"RNN|LSTM|GRU|Recurren", re.IGNORECASE)
#: Names that weights of what recurs have in loops that people write.
_WEIGHTS = re.compile(
    r"weight_?hh|(^|_)(w|u|r)?_?hh(_|$)|h2h|hidden_to_hidden|hidden2hidden|recurrent", re.IGNORECASE
)


def described(module: torch.nn.Module) -> str:
    """What a module is that elman cannot take, and what to do instead; empty if it is nothing
    recurrent, or only contains what is."""
    home, kind = type(module).__module__, type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        original = str(getattr(module, "original_name", ""))
        if not (_KINDS.search(original) and any(True for _ in module.parameters(recurse=False))):
            return ""
        return (
            f"TorchScript has compiled this {original}: call elman.accelerate(model) on the "
            "Python model and torch.jit.trace or torch.export that, or load its weights into one"
        )
    if home.startswith(("torch.ao.nn.quant", "torch.nn.quant")):
        if not _KINDS.search(kind):
            return ""
        return (
            f"torch.ao's {kind} runs its own integer operators: elman takes the model that was "
            "quantized, or keeps weights as bfloat16 in elman.Stream(layer, weight_dtype=...)"
        )
    if home.startswith("torch.") or isinstance(module, torch.nn.Linear):
        return ""
    own = [*module._parameters, *_linears(module)]
    named = own and _KINDS.search(kind) and not _contains_layers(module)
    if named or any(_WEIGHTS.search(name) for name in own):
        return f"it is a recurrence written by hand: {_CELL}"
    return ""


def _contains_layers(module: torch.nn.Module) -> bool:
    parts = (m for m in module.modules() if m is not module)
    return any(isinstance(m, (RNNBase, RNNCellBase, OfCell)) for m in parts)


def _linears(module: torch.nn.Module) -> list[str]:
    """The names of the linear maps that a module itself applies."""
    return [n for n, child in module._modules.items() if isinstance(child, torch.nn.Linear)]


def inside(found: Any) -> torch.nn.Module:
    """The module of a model: itself, or what an estimator holds.

    Raises:
        TypeError: if it is no module and holds none.
    """
    if isinstance(found, torch.nn.Module):
        return found
    kind = type(found).__name__
    for name in _HOLDERS:
        held = getattr(found, name, None)
        if isinstance(held, torch.nn.Module):
            return held
    if named := [name for name in _HOLDERS if hasattr(found, name)]:
        raise TypeError(
            f"expected a torch.nn.Module, got {kind}, whose {named[0]} is none yet: fit it first, "
            "within elman.accelerated() if it is to run on elman"
        )
    raise TypeError(
        f"expected a torch.nn.Module, or an estimator that holds one as {', '.join(_HOLDERS)}, got "
        f"{kind}"
    )


#: Where estimators keep their module: skorch, Darts and GluonTS, Stable-Baselines3, others.
_HOLDERS = ("module_", "model", "policy", "module", "model_", "network", "prediction_net")
