"""Wrong arguments and calls of modules of any cell, and what their errors say."""

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from elman import Recurrent
from tests.cells import CELLS
from tests.nn.kinds import (
    RAGGED,
    B,
    H,
    I,
    Leaky,
    T,
)

pytestmark = pytest.mark.usefixtures("kernel_path")


@pytest.mark.parametrize(
    ("error", "message", "cell", "sizes", "options"),
    [
        (TypeError, "expected cell to be an elman.Cell or its class, got 3", 3, (I, H), {}),
        (
            TypeError,
            "hidden_size should be of type int, got: float; Recurrent: .*got 2.0",
            Leaky,
            (I, 2.0),
            {},
        ),
        (
            ValueError,
            "^hidden_size must be greater than zero; Recurrent: .* got 0$",
            Leaky,
            (I, 0),
            {},
        ),
        (
            ValueError,
            "^input_size must be greater than zero; Recurrent: .* got -1$",
            Leaky,
            (-1, H),
            {},
        ),
        (
            ValueError,
            "^num_layers must be greater than zero; Recurrent: .* got 0$",
            Leaky,
            (I, H, 0),
            {},
        ),
        (ValueError, "one size for each of the 3 layers, got 2", Leaky, (I, [2, 3], 3), {}),
        (
            ValueError,
            r"dropout should be a number in range \[0, 1\] .*, got 1.5",
            Leaky,
            (I, H),
            {"dropout": 1.5},
        ),
        (ValueError, "merge must be one of .* got 'max'", Leaky, (I, H), {"merge": "max"}),
        (
            ValueError,
            "layer 0 to that of layer 1, which have 2 and 3 features",
            Leaky,
            (I, [2, 3]),
            {"residual": True},
        ),
        (ValueError, "does not project its state", Leaky, (I, H), {"proj_size": 2}),
        (ValueError, "projects its state, got proj_size=0", CELLS["Projected"], (I, H), {}),
        (ValueError, "at most hidden_size=5, got 6", CELLS["Narrow"], (I, H), {"proj_size": 6}),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)
def test_wrong_arguments_are_named(
    error: type[Exception], message: str, cell: Any, sizes: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        Recurrent(cell, *sizes, **options)


X = torch.ones(T, B, I)
KEEP = {"keep": torch.ones(T, B, 1)}
PACKED = pack_padded_sequence(X, RAGGED, enforce_sorted=False)


@pytest.mark.parametrize(
    ("error", "message", "x", "options"),
    [
        (ValueError, r"names \['keep'\].* got \[\]", X, {"inputs": None}),
        (ValueError, r"names \['keep'\].* got \['keep', 'x'\]", X, {"inputs": {**KEEP, "x": X}}),
        (TypeError, "inputs to be a dict of tensors by name, got list", X, {"inputs": [X]}),
        (
            RuntimeError,
            r"inputs\['keep'\] to have the 3 .*\(6, 4\)",
            X,
            {"inputs": {"keep": X[..., 0]}},
        ),
        (RuntimeError, r"its sizes or 1 .*\(5, 4, 3\)", X, {"inputs": {"keep": X[:5]}}),
        (RuntimeError, "1 or hidden_size=5, got 3", X, {"inputs": {"keep": X}}),
        (
            RuntimeError,
            r"inputs\['keep'\] of the weights' dtype",
            X,
            {"inputs": {"keep": X.double()}},
        ),
        (TypeError, r"inputs\['keep'\] to be a PackedSequence", PACKED, {}),
        (
            ValueError,
            "lengths between 0 and the 6 steps of input, got 7",
            X,
            {"lengths": [1, 7, 2, 1]},
        ),
        (ValueError, "lengths between 0 .* got -1", X, {"lengths": [1, -1, 2, 1]}),
        (ValueError, "lengths to be integers, got torch.float32", X, {"lengths": torch.ones(B)}),
        (RuntimeError, r"lengths of shape \(4,\), .* got \(3,\)", X, {"lengths": [1, 2, 3]}),
        (ValueError, "got unbatched input", X[:, 0], {"lengths": [1]}),
        (
            ValueError,
            "got a PackedSequence",
            PACKED,
            {"lengths": RAGGED, "inputs": {"keep": PACKED}},
        ),
        (RuntimeError, r"hx of shape \(1, 4, 5\)", X, {"hx": torch.ones(1, B, 4)}),
        (
            RuntimeError,
            "^For batched 3-D input, hx should also be 3-D but got 2-D tensor; Recurrent: ",
            X,
            {"hx": torch.ones(B, H)},
        ),
        (RuntimeError, r"^input.size\(-1\) must be .*input_size=3, got 2", X[..., :2], {}),
        (ValueError, "input of the weights' dtype", X.double(), {}),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)
def test_wrong_calls_are_named(
    error: type[Exception], message: str, x: Any, options: dict[str, Any]
) -> None:
    net = Recurrent(CELLS["Reset"], I, H)
    with pytest.raises(error, match=message):
        net(x, **{"inputs": KEEP, **options})


def test_wrong_states_of_layers_of_other_sizes_are_named() -> None:
    net, (h, small) = Recurrent(Leaky, I, [4, 6]), (torch.ones(1, B, 4), torch.ones(1, B, 5))
    for error, message, hx in (
        (TypeError, "hx to be a list of one tensor for each layer", h),
        (RuntimeError, "hx to have one tensor for each of the 2 layers, got 1", [h]),
        (RuntimeError, r"hx\[1\] of shape \(1, 4, 6\), .* got \(1, 4, 5\)", [h, small]),
    ):
        with pytest.raises(error, match=message):
            net(X, hx)


def test_replaced_weights_are_named() -> None:
    net = Recurrent(Leaky, I, H)
    net.bidirectional = True
    with pytest.raises(RuntimeError, match="1 layers in 2 directions, got 1 sets"):
        net(X)
    net.bidirectional = False
    net.weight_hh_l0 = torch.nn.Parameter(torch.ones(4, 4))
    with pytest.raises(RuntimeError, match=r"weight_hh_l0 of shape \(5, 5\), got \(4, 4\)"):
        net(X)
