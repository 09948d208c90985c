"""``lengths`` as an input of a program: ``sequence_lens``, or states that are held."""

import numpy as np
import onnx
import pytest
import torch
from torch.utils import _pytree as pytree

import elman
from elman.cells import BRC, GRU, RAN, CoupledLSTM
from tests import cells
from tests.onnx.exported import SIZES, check, record, run

I, H = 3, 5  # noqa: E741


def lengths(T, B):
    """The first row has no step, if there are others; the last one has all."""
    found = torch.arange(B) * T // max(1, B - 1)
    return found if B > 1 else torch.tensor([T])


def calls(states=0, lead=2, inputs=(), reset=False):
    def call(T, B):
        torch.manual_seed(T)
        given = {"input": torch.randn(T, B, I), "lengths": lengths(T, B)}
        if states:
            hx = tuple(torch.rand(lead, B, H) for _ in range(states))
            given["hx"] = hx if states > 1 else hx[0]
        if inputs:
            given["inputs"] = {name: torch.randn(T, B, H) for name in inputs}
        if reset:
            given["reset"] = torch.rand(T, B) < 0.4
        if reset and states:
            given["reset_to"] = torch.rand(lead, B, H)
        names = ("input", "hx", "lengths", "inputs", "reset", "reset_to")
        return {k: given[k] for k in names if k in given}

    return call


def stack(cell, **options):
    return elman.Recurrent(cell, I, H, **options)


CASES = {
    "LSTM": (lambda: stack(CoupledLSTM, bidirectional=True), calls(2), ["LSTM"]),
    "LSTM, no states": (lambda: stack(CoupledLSTM, num_layers=2), calls(), ["LSTM"] * 2),
    "GRU": (lambda: stack(GRU, bidirectional=True), calls(1), ["GRU"]),
    "scan": (lambda: stack(RAN, bidirectional=True), calls(2), ["Scan"] * 2),
    "scan, no states": (lambda: stack(BRC, num_layers=2), calls(), ["Scan"] * 2),
    "scan, inputs": (lambda: stack(cells.Seer), calls(inputs=("noise", "gap")), ["Scan"]),
    "resets": (lambda: stack(GRU, bidirectional=True), calls(1, reset=True), ["Scan"] * 2),
    "resets, no states": (lambda: stack(BRC), calls(reset=True), ["Scan"]),
    "scan without an input": (lambda: stack(cells.Blind), calls(1, lead=1), ["Scan"]),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_of_any_lengths(name):
    torch.manual_seed(0)
    make, call, wanted = CASES[name]
    check(make(), call, wanted)


def test_the_older_exporter_has_them_too():
    torch.manual_seed(0)
    net, call = stack(CoupledLSTM, bidirectional=True), calls(2)
    axes = {"x": {0: "T", 1: "B"}, "h": {1: "B"}, "c": {1: "B"}, "lengths": {0: "B"}}
    program = record(net, tuple(call(5, 3).values()), list(axes), axes)
    (node,) = [n for n in onnx.load_model_from_string(program).graph.node if n.op_type == "LSTM"]
    assert node.input[4]
    for T, B in SIZES:
        given = call(T, B)
        with torch.no_grad():
            expected = pytree.tree_leaves(net(**given))
        for actual, right in zip(run(program, given), expected, strict=True):
            np.testing.assert_allclose(actual, right.numpy(), rtol=1e-5, atol=1e-5)


def test_layers_with_lengths_come_back():
    torch.manual_seed(0)
    net, call = stack(GRU(reset_after=False), bidirectional=True), calls(1)
    (layer,) = elman.from_onnx(check(net, call, ["GRU"])).values()
    given = call(6, 4)
    assert isinstance(layer, elman.Recurrent)
    for actual, right in zip(layer(**given), net(**given), strict=True):
        torch.testing.assert_close(actual, right, rtol=1e-5, atol=1e-6)
