"""Malformed calls of every recurrent module, made from tables: run as a program, in a process.

``python -m tests.nn.malformed elman FILE`` makes all calls on elman's modules, on either path,
``python -m tests.nn.malformed torch.nn FILE`` those on torch.nn's that leave the process alive; the
results are written to the file. ``test_malformed.py`` does both and compares.
"""

import contextlib
import importlib
import pickle
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils.rnn import PackedSequence

from tests.nn.malformed_values import B, Call, H, I, T, no_storage, others, values


class Kind(NamedTuple):
    """What has to be known of a module to call it wrongly."""

    layer: bool  # or a cell of one step
    states: int = 1  # hx is a tensor, or a tuple of so many
    options: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # further arguments, with bad values


#: The modules that are called, by name. A further one is a further row.
KINDS = {
    "RNN": Kind(layer=True, options=(("nonlinearity", ("elu", None, 3, ["tanh"])),)),
    "RNNCell": Kind(layer=False, options=(("nonlinearity", ("elu", None, 3, ["tanh"])),)),
    "LSTM": Kind(layer=True, states=2),
    "LSTMCell": Kind(layer=False, states=2),
    "GRU": Kind(layer=True),
    "GRUCell": Kind(layer=False),
}

#: Calls that end the process in torch.nn, by a pattern of their names.
CRASHES = (
    "(RNN|GRU): .* by_data jagged",
    "(RNN|GRU|LSTM)Cell: bias_.* by_data jagged",
    "LSTM: (weight|bias)_.*",  # wrong weights corrupt its memory, and the process ends later
    "LSTM: attribute .*",
    "LSTMCell: hx .* freed storage",
)

VALUES = (-1, 0, 1, 1.5, "3", None, [2], (2,), float("nan"), 10**30, True, b"2", object)
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "input_size": VALUES,
    "hidden_size": VALUES,
    "bias": ("", "no", None, 2, [0]),
    "device": ("nowhere", 3.5, "cpu:7", "meta", ()),
    "dtype": (torch.int64, torch.complex64, torch.bool, "float32", 3, torch.bfloat16),
    "size": (3,),
}
LAYER_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "num_layers": tuple(v for v in VALUES if v != 10**30),  # which would be made one by one
    "dropout": (*VALUES, -0.1, 1.1, float("inf"), 1 + 0j, np.float64(2)),
    "batch_first": ("", "no", None, [0]),
    "bidirectional": ("", "no", None, 2),
    "proj_size": (-1, 0, 2, 7, 1.5, "1", None),
}
#: Attributes of a module that someone sets afterwards.
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "input_size": (3, 0, "4"),
    "hidden_size": (4, 6, 0, "5"),
    "bias": (False,),
}
LAYER_ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "num_layers": (0, 2, "1"),
    "bidirectional": (True,),
    "batch_first": (True, None),
    "dropout": (2.0, "0.5"),
}


def modules(name: str, kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", {}
    if kind.layer:
        yield "stacked ", {"num_layers": 2, "bidirectional": True, "batch_first": True}


def make(nn: ModuleType, name: str, *args: Any, **options: Any) -> torch.nn.Module:
    torch.default_generator.manual_seed(0)  # torch.manual_seed looks for devices, a quarter of all
    return getattr(nn, name)(*(args or (I, H)), **options)


def grouped(kind: Kind, states: Iterable[Any]) -> Any:
    states = tuple(states)
    return states if kind.states > 1 else states[0]


def of_constructor(name: str, kind: Kind) -> Iterator[tuple[str, Call]]:
    arguments = ARGUMENTS | (LAYER_ARGUMENTS if kind.layer else {}) | dict(kind.options)
    width = {"input_size": 0, "hidden_size": 1}
    for argument, wrong in arguments.items():
        for value in wrong:

            def call(nn: ModuleType, argument: str = argument, value: Any = value) -> Any:
                args, options = [I, H], {argument: value}
                if argument in width:
                    args[width[argument]] = options.pop(argument)
                module = make(nn, name, *args, **options)
                features = value if argument == "input_size" else I
                weight = next(module.parameters())
                shape = (T, B, features) if kind.layer else (B, features)
                return module, module(torch.ones(shape, dtype=weight.dtype, device=weight.device))

            yield f"constructor {argument}={value!r}", call
    for args in ((), (I,), (I, H) + (1,) * 12):
        yield f"constructor {args}", lambda nn, args=args: getattr(nn, name)(*args)


def of_call(name: str, kind: Kind) -> Iterator[tuple[str, Call]]:
    for prefix, options in modules(name, kind):
        count = options.get("num_layers", 1) * (2 if options else 1)
        shape: tuple[int, ...] = (B, I)
        state: tuple[int, ...] = (B, H)
        if kind.layer:
            shape, state = ((B, T, I) if options else (T, B, I)), (count, B, H)
        for what, other in others(*shape):

            def wrong_input(nn: ModuleType, other: Any = other, options: Any = options) -> Any:
                module = make(nn, name, **options)
                return module, module(other())

            yield f"{prefix}input {what}", wrong_input
        for which in range(kind.states):
            for what, other in others(*state):

                def wrong_state(
                    nn: ModuleType,
                    other: Any = other,
                    which: int = which,
                    options: Any = options,
                    shape: tuple[int, ...] = shape,
                    state: tuple[int, ...] = state,
                ) -> Any:
                    states = [other() if i == which else values(*state) for i in range(kind.states)]
                    module = make(nn, name, **options)
                    return module, module(values(*shape), grouped(kind, states))

                yield f"{prefix}hx {which} {what}", wrong_state
    unbatched = ((T, I), (1, H)) if kind.layer else ((I,), (H,))
    for what, other in others(*unbatched[0]):

        def lone_input(nn: ModuleType, other: Any = other) -> Any:
            module = make(nn, name)
            return module, module(other())

        yield f"unbatched input {what}", lone_input
    for what, other in others(*unbatched[1]):

        def lone_state(nn: ModuleType, other: Any = other) -> Any:
            module = make(nn, name)
            states = [other() for _ in range(kind.states)]
            return module, module(values(*unbatched[0]), grouped(kind, states))

        yield f"unbatched hx {what}", lone_state
    for n in (0, 1, 2, 3):  # where hx is a tuple, one or three are wrong; elsewhere each

        def several(nn: ModuleType, n: int = n) -> Any:
            module = make(nn, name)
            shape, state = ((T, B, I), (1, B, H)) if kind.layer else ((B, I), (B, H))
            return module, module(values(*shape), (values(*state),) * n)

        yield f"hx a tuple of {n}", several
    good = (T, B, I) if kind.layer else (B, I)
    yield "no input at all", lambda nn: make(nn, name)()
    yield "too many arguments", lambda nn: make(nn, name)(values(*good), None, None)
    yield "unknown argument", lambda nn: make(nn, name)(values(*good), masks=3)
    for mode in ("inference_mode", "no_grad"):

        def in_mode(nn: ModuleType, mode: str = mode) -> Any:
            module = make(nn, name)
            x = values(*good).requires_grad_()
            with getattr(torch, mode)():
                return module, module(x)

        yield f"requires grad in {mode}", in_mode


def of_weights(name: str, kind: Kind) -> Iterator[tuple[str, Call]]:
    good = (T, B, I) if kind.layer else (B, I)
    suffix = "_l0" if kind.layer else ""
    shapes = {
        k + suffix: tuple(p.shape)
        for k, p in zip(
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
            make(torch.nn, name).parameters(),
            strict=True,
        )
    }

    def by_data(module: torch.nn.Module, at: str, value: Any) -> None:
        getattr(module, at).data = value

    def by_setattr(module: torch.nn.Module, at: str, value: Any) -> None:
        plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
        setattr(module, at, Parameter(value, value.is_floating_point()) if plain else value)

    def by_deleting(module: torch.nn.Module, at: str, value: Any) -> None:
        delattr(module, at)
        if value is not None:
            setattr(module, at, value)

    for put in (by_data, by_setattr, by_deleting):
        for at, shape in shapes.items():
            for what, other in others(*shape):

                def call(nn: ModuleType, put: Any = put, at: str = at, other: Any = other) -> Any:
                    module = make(nn, name)
                    put(module, at, other())
                    return module, module(values(*good))

                yield f"{at} {put.__name__} {what}", call
    attributes = ATTRIBUTES | (LAYER_ATTRIBUTES if kind.layer else {}) | dict(kind.options)
    for attribute, wrong in attributes.items():
        for value in wrong:

            def changed(nn: ModuleType, attribute: str = attribute, value: Any = value) -> Any:
                module = make(nn, name)
                setattr(module, attribute, value)
                return module, module(values(*good))

            yield f"attribute {attribute}={value!r}", changed


def of_packed(name: str, kind: Kind) -> Iterator[tuple[str, Call]]:
    def counts(*sizes: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(sizes, dtype=dtype)

    right = {"data": values(6, I), "batch_sizes": counts(3, 2, 1)}
    order = counts(2, 0, 1)
    wrong: dict[str, dict[str, Any]] = {"right": {}}
    for sizes in (
        *((1, 2, 3), (3, 3, 3), (3, 2), (6, 0), (0, 6), (7, -1), (-1, 7), (2, 4), (6,), (7,), ()),
        *((2**62, 2**62, 2**62), (2**63 - 1, 7), (4, 1, 1), (1,) * 6, (1,) * 7, (3, 0, 3)),
    ):
        wrong[f"batch_sizes {sizes}"] = {"batch_sizes": counts(*sizes)}
    for dtype in (torch.int32, torch.float32, torch.bool, torch.uint8, torch.complex64):
        wrong[f"batch_sizes {dtype}"] = {"batch_sizes": counts(3, 2, 1).to(dtype)}
    wrong |= {
        "batch_sizes 2-D": {"batch_sizes": counts(3, 2, 1)[None]},
        "batch_sizes 0-D": {"batch_sizes": torch.tensor(6)},
        "batch_sizes list": {"batch_sizes": [3, 2, 1]},
        "batch_sizes None": {"batch_sizes": None},
        "batch_sizes strided": {"batch_sizes": counts(3, 9, 2, 9, 1, 9)[::2]},
        "batch_sizes freed": {"batch_sizes": no_storage(counts(3, 2, 1))},
        "batch_sizes sparse": {"batch_sizes": counts(3, 2, 1).to_sparse()},
        "batch_sizes swapped with data": {
            "data": counts(3, 2, 1),
            "batch_sizes": values(6, I),
        },
        "data None": {"data": None},
        "data of lists": {"data": values(6, I).tolist()},
        "nested packed": {"data": PackedSequence(**right)},
    }
    for what, other in others(6, I):
        wrong[f"data {what}"] = {"data": other}
    bad_orders = {
        "beyond": counts(3, 0, 1),
        "far beyond": counts(2**40, 0, 1),
        "negative": counts(-1, 0, 1),
        "twice": counts(0, 0, 0),
        "short": counts(0, 1),
        "long": counts(0, 1, 2, 0),
        "2-D": order[None],
        "0-D": torch.tensor(0),
        "empty": counts(),
        "int32": order.int(),
        "float": order.float(),
        "bool": order.bool(),
        "list": [2, 0, 1],
        "meta": order.to("meta"),
        "freed": no_storage(counts(2, 0, 1)),
    }
    hx = lambda: grouped(kind, [values(1, 3, H)] * kind.states)  # noqa: E731
    for what, parts in wrong.items():

        def call(nn: ModuleType, parts: Any = parts) -> Any:
            module = make(nn, name)
            parts = {k: v() if callable(v) else v for k, v in parts.items()}
            return module, module(PackedSequence(**(right | parts)))

        yield f"packed {what}", call
    for what, bad in bad_orders.items():
        for which in ("sorted_indices", "unsorted_indices"):

            def ordered(nn: ModuleType, which: str = which, bad: Any = bad) -> Any:
                module = make(nn, name)
                parts = {"sorted_indices": order, "unsorted_indices": counts(1, 2, 0)}
                # As a tuple, which computes nothing from what it is given.
                packed = tuple.__new__(
                    PackedSequence, (*right.values(), *(parts | {which: bad}).values())
                )
                return module, module(packed, hx())

            yield f"packed {which} {what}", ordered


def cases(name: str) -> dict[str, Call]:
    """All calls of one kind of module, by what is wrong with them."""
    kind = KINDS[name]
    parts = [of_constructor, of_call, of_weights] + ([of_packed] if kind.layer else [])
    return {what: call for part in parts for what, call in part(name, kind)}


def crashes(name: str, what: str) -> bool:
    return any(re.fullmatch(pattern, f"{name}: {what}") for pattern in CRASHES)


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, PackedSequence):
        return [value.data]
    return [t for v in value for t in flat(v)] if isinstance(value, tuple) else [value]


def plain(tensor: Tensor) -> tuple[str, tuple[int, ...], Any]:
    """A result that outlives its process: dtype, shape, numbers."""
    numbers = None if tensor.is_meta else tensor.detach().to(torch.float64).tolist()
    return str(tensor.dtype), tuple(tensor.shape), numbers


def outcome(nn: ModuleType, call: Call) -> tuple[str, Any]:
    """The exception's type and text, or ``""`` and the results with their gradients."""
    try:
        found = call(nn)
        if not isinstance(found, tuple):
            return "", []
        module, results = found[0], flat(found[1:])
        sums = [t.float().sum() for t in results if t.requires_grad]
        if sums:
            leaves = [p for p in module.parameters() if p.requires_grad]
            grads = torch.autograd.grad(sum(sums), leaves, allow_unused=True)
            results += [g for g in grads if g is not None]
        return "", [plain(t) for t in results]
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error).__name__, str(error)


def main(library: str, where: str) -> None:
    warnings.simplefilter("ignore")
    nn = importlib.import_module(library)
    torch.set_num_threads(1)
    paths: dict[str, Any] = {"": contextlib.nullcontext}
    if library == "elman":
        from elman.runtime.memory import set_poison

        set_poison(True)
        paths = {p: lambda p=p: nn.set_path(p) for p in ("auto", "reference")}
    torch._C._set_deterministic_algorithms(True)  # fills new memory with NaN
    found = {}
    for name in KINDS:
        for what, call in cases(name).items():
            if library == "torch.nn" and crashes(name, what):
                continue
            for path, chosen in paths.items():
                print(f"{name}: {what} {path}", flush=True)
                with chosen():
                    found[name, what, path] = outcome(nn, call)
    Path(where).write_bytes(pickle.dumps(found))  # torch.save looks at every number by itself


if __name__ == "__main__":
    main(*sys.argv[1:])
