"""PyTorch's own samples of calls of its recurrent modules, made on elman's: run as a program.

``python module_inputs.py FILE`` writes what is wrong, for each class, to the file. It is a process
of its own since PyTorch's test kit changes global settings. ``test_module_inputs.py`` runs it.
"""

import json
import pickle
import re
import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import elman

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


def module_infos() -> dict[str, Any]:
    """What PyTorch's test kit knows of each class. Of ``expecttest`` it needs a base class only."""
    stand_in = types.ModuleType("expecttest")
    stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
    sys.modules.setdefault("expecttest", stand_in)
    from torch.testing._internal.common_modules import module_db

    return {info.module_cls.__name__: info for info in module_db if info.module_cls in CLASSES}


CLASSES = [getattr(torch.nn, name) for name in NAMES]


def made(given: Any, function: Any) -> Any:
    return function(*given.args, **given.kwargs)


def with_gradients(module: torch.nn.Module, results: Any) -> list[Tensor]:
    """Results, and the gradients of the parameters."""
    leaves = [t for t in tree_leaves(results) if isinstance(t, Tensor)]
    total = sum((t * torch.ones_like(t).cumsum(-1)).sum() for t in leaves)
    return [*leaves, *torch.autograd.grad(total, list(module.parameters()))]


def of_input(name: str, sample: Any) -> Iterator[str]:
    """What is wrong with a call that has to succeed."""
    ours = made(sample.constructor_input, getattr(elman, name))
    theirs = made(sample.constructor_input, getattr(torch.nn, name))
    assert repr(ours) == repr(theirs)
    ours.to(torch.float64).load_state_dict(theirs.to(torch.float64).state_dict())
    call = sample.forward_input
    found = with_gradients(ours, made(call, ours))
    copy = pickle.loads(pickle.dumps(ours))
    others = {
        "torch.nn": with_gradients(theirs, made(call, theirs)),
        "a copy": with_gradients(copy, made(call, copy)),
        "a batch of one": with_gradients(
            ours, sample.reference_fn(ours, *call.args, **call.kwargs)
        ),
    }
    for what, expected in others.items():
        for mine, other in zip(found, expected, strict=True):
            if mine.shape != other.shape or not torch.allclose(mine, other, rtol=1e-9, atol=1e-10):
                yield f"other numbers than {what}: {ours}, {call}"


def of_error(name: str, error: Any) -> Iterator[str]:
    """What is wrong with a call that has to be refused."""
    sample = error.module_error_input
    on_call = error.error_on.name == "FORWARD_ERROR"
    try:
        module = made(sample.constructor_input, getattr(elman, name))
        if not on_call:
            yield f"constructed: {sample.constructor_input}"
            return
        made(sample.forward_input, module)
        yield f"not refused: {sample.forward_input}"
    except error.error_type as raised:
        if type(raised) is not error.error_type or not re.match(
            rf"(\w+: )?(?:{error.error_regex})", str(raised)
        ):
            yield f"{type(raised).__name__}: {raised}, expected {error.error_regex}"


def main(where: str) -> None:
    warnings.simplefilter("ignore")
    found = {}
    for name, info in module_infos().items():
        wrong: list[str] = []
        given: dict[str, Any] = {"device": "cpu", "requires_grad": True, "training": True}
        inputs = list(info.module_inputs_func(info, dtype=torch.float64, **given))
        errors = list(info.module_error_inputs_func(info, dtype=torch.float32, **given))
        for sample in inputs:
            wrong += of_input(name, sample)
        for error in errors:
            wrong += of_error(name, error)
        found[name] = {"inputs": len(inputs), "errors": len(errors), "wrong": wrong}
    with open(where, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
