"""Modules that are recurrent but neither torch.nn's nor elman's: what they are, and where to go."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from ..pages import page
from .cellmodule import CellModule
from .counterpart import plain

_CELL = (
    f"write its step as an elman.Cell and use elman.Recurrent ({page('cells')}), or elman.register "
    "it"
)
_KINDS = re.compile(r"RNN|LSTM|GRU|Recurren", re.IGNORECASE)
#: Names that weights of what recurs have in loops that people write.
_WEIGHTS = re.compile(
    r"weight_?hh|(^|_)(w|u|r)?_?hh(_|$)|h2h|hidden_to_hidden|hidden2hidden|recurrent", re.IGNORECASE
)
#: Names of a linear map of the input and the state together, as PyTorch's tutorial has it; and of
#: the state among the arguments of ``forward``, by which it differs from a net without a loop.
_TOGETHER = re.compile(r"(^|_)(i|x|in|input)_?(2|to)_?(h|hid|hidden)(_|$)", re.IGNORECASE)
_STATE = re.compile(r"(^|_)(h|hx|hid|hidden|state)(_|\d|$)", re.IGNORECASE)
_HOME = RNNBase.__module__


def why_unsupported(module: torch.nn.Module) -> str:
    """What a module is that elman cannot take, and what to do instead; empty if it is nothing
    recurrent, or only contains what is."""
    cls = plain(type(module))
    home, kind = cls.__module__, cls.__name__
    if isinstance(module, torch.jit.ScriptModule):
        return _scripted(module)
    if isinstance(graph := getattr(module, "graph", None), torch.fx.Graph):
        return _captured(graph)
    if home.startswith(("torch.ao.nn.quant", "torch.nn.quant")):
        if not _KINDS.search(kind):
            return ""
        return (
            f"torch.ao's {kind} runs its own integer operators: elman takes the model that was "
            "quantized, or keeps weights as int8 in elman.Stream(layer, weight_dtype=torch.int8)"
        )
    if home.startswith("torch.") or isinstance(module, torch.nn.Linear):
        return ""
    own = [*module._parameters, *_linears(module)]
    named = own and _KINDS.search(kind) and not _contains_layers(module)
    if named or any(_WEIGHTS.search(name) for name in own) or _steps(module):
        return f"it is a recurrence written by hand: {_CELL}"
    return ""


def _scripted(module: torch.jit.ScriptModule) -> str:
    original = str(getattr(module, "original_name", ""))
    try:
        graph = str(module.graph)
    except RuntimeError:  # there is no forward, or several
        graph = ""
    if "elman::" in graph:
        return (
            f"TorchScript has compiled this {original}, which calls elman's operator: kernels run "
            "where they would in Python, in a process that has imported elman"
        )
    if not (_KINDS.search(original) and any(True for _ in module.parameters(recurse=False))):
        return ""
    start = f"TorchScript has compiled this {original}"
    if not hasattr(torch.nn, original):
        return f"{start}: in the Python model, {_CELL}"
    return (
        f"{start}, and runs torch's operator in elman's {original} as well: call "
        "elman.accelerate(model) on the Python model and torch.export that, or load its weights "
        "into one"
    )


def _captured(graph: torch.fx.Graph) -> str:
    """Which recurrent operators a captured graph calls, and for which layers."""
    ours: dict[str, None] = {}  # each layer once, in order
    theirs: dict[str, None] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        path, cls = [("", ""), *(node.meta.get("nn_module_stack") or {}).values()][-1]
        layer = str(cls).rpartition(".")[2] + (f" at {path}" if path else "")
        if getattr(node.target, "namespace", "") == "elman":
            ours[layer] = None
        elif str(cls).startswith(_HOME):
            theirs[layer] = None
    said = []
    if ours:
        said.append(
            f"this captured graph calls elman's operator ({', '.join(ours)}): kernels run where "
            "they would in Python"
        )
    if theirs:
        said.append(
            f"this captured graph has torch's own operators ({', '.join(theirs)}): call "
            "elman.accelerate(model) on the Python model and capture that"
        )
    return "; ".join(said)


def _steps(module: torch.nn.Module) -> bool:
    """Whether a module maps its input and a state, which ``forward`` is given, by one matrix."""
    if not any(_TOGETHER.search(name) for name in _linears(module)) or _contains_layers(module):
        return False
    names = [*inspect.signature(module.forward).parameters]
    return any(_STATE.search(name) for name in names[1:])


def _contains_layers(module: torch.nn.Module) -> bool:
    parts = (m for m in module.modules() if m is not module)
    return any(isinstance(m, (RNNBase, RNNCellBase, CellModule)) for m in parts)


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
    if (module := _held(found, _DEPTH)) is not None:
        return module
    if named := [name for name in _HOLDERS if hasattr(found, name)]:
        held = getattr(found, named[0])
        what = "is none yet" if held is None else f"is a {type(held).__name__} that holds none yet"
        raise TypeError(
            f"expected a torch.nn.Module, got {kind}, whose {named[0]} {what}: fit it first, "
            "within elman.accelerated() if it is to run on elman"
        )
    raise TypeError(
        f"expected a torch.nn.Module, or an estimator that holds one as {', '.join(_HOLDERS)}, got "
        f"{kind}"
    )


def _held(found: Any, depth: int) -> torch.nn.Module | None:
    """The module that an object holds; else the one that an estimator in it holds."""
    held = [getattr(found, name, None) for name in _HOLDERS]
    if modules := [m for m in held if isinstance(m, torch.nn.Module)]:
        return modules[0]
    deeper = (_held(h, depth - 1) for h in held if h is not None and depth > 1)
    return next((m for m in deeper if m is not None), None)


#: Where estimators keep their module: skorch, Darts and GluonTS, Stable-Baselines3, others, and
#: ``torch.export``'s programs.
_HOLDERS = (
    *("module_", "model", "policy", "module", "model_", "network", "prediction_net"),
    *("graph_module",),
)
_DEPTH = 3  # of estimators in estimators
