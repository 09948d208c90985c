"""The older exporter, which records the operations of one call."""

import numpy as np
import onnx
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree

import elman
from elman.cells import GRU, CoupledLSTM, Elman, PeepholeLSTM
from tests.onnx.exported import SIZES, record, run

I, H = 3, 5  # noqa: E741


#: A module, the node that its layers become, whether states are given, and how many there are.
CASES = {
    "RNN": (lambda: elman.RNN(I, H, 2, bidirectional=True), ["RNN"] * 2, 0),
    "LSTM": (lambda: elman.LSTM(I, H, bidirectional=True), ["LSTM"], 2),
    "GRU": (lambda: elman.GRU(I, H), ["GRU"], 1),
    "activation": (lambda: elman.Recurrent(Elman("elu"), I, H), ["RNN"], 1),
    "peepholes": (
        lambda: elman.Recurrent(PeepholeLSTM, I, H, 2, bidirectional=True),
        ["LSTM"] * 2,
        0,
    ),
    "coupled": (lambda: elman.Recurrent(CoupledLSTM, I, H, bidirectional=True), ["LSTM"], 2),
    "reset before": (lambda: elman.Recurrent(GRU(reset_after=False), I, H, bias=False), ["GRU"], 0),
    "learned states": (lambda: elman.Recurrent(GRU, I, H, learn_initial=True), ["GRU"], 0),
}


@pytest.mark.parametrize("path", ["auto", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_layers_are_operators_of_any_sizes(name, path):
    torch.manual_seed(0)
    make, wanted, states = CASES[name]
    net = make()
    D, axes = 2 if net.bidirectional else 1, {"x": {0: "T", 1: "B"}}

    def call(T, B):
        hx = tuple(torch.rand(D, B, H) for _ in range(states))
        return (torch.randn(T, B, I), *([hx if states > 1 else hx[0]] if states else []))

    names = ["x", *(f"h{i}" for i in range(states))]
    axes |= {label: {1: "B"} for label in names[1:]}
    with elman.set_path(path):
        program = record(net, call(5, 3), names, axes)
    nodes = [n.op_type for n in onnx.load_model_from_string(program).graph.node]
    assert [n for n in nodes if n in ("RNN", "LSTM", "GRU")] == wanted
    for T, B in SIZES:
        given = call(T, B)
        with torch.no_grad():
            expected = pytree.tree_leaves(net(*given))
        for actual, right in zip(run(program, given), expected, strict=True):
            np.testing.assert_allclose(actual, right.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "net", [elman.Recurrent(elman.cells.BRC, I, H), elman.Recurrent(GRU, I, H).double()]
)
def test_a_formula_that_is_no_operator_is_refused(net):
    x = torch.rand(4, 2, I, dtype=next(net.parameters()).dtype)
    with pytest.raises(RuntimeError, match=r"would keep the 4 steps.*dynamo=True"):
        record(net, (x,), ["x"], {"x": {0: "T"}})


class Packing(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, lengths):
        output, state = self.net(pack_padded_sequence(x, lengths))
        return pad_packed_sequence(output)[0], state


class WithLengths(Packing):
    def forward(self, x, lengths):
        return self.net(x, lengths=lengths)


LENGTHS = [
    (lambda: Packing(elman.GRU(I, H)), "GRU"),
    (lambda: Packing(elman.LSTM(I, H, 2, bidirectional=True)), "LSTM"),
    (lambda: WithLengths(elman.Recurrent(elman.cells.LSTM, I, H)), "LSTM"),
]


@pytest.mark.parametrize(("make", "wanted"), LENGTHS)
def test_lengths_are_data(make, wanted):
    torch.manual_seed(0)
    net = make()

    def call(T, B):
        return torch.randn(T, B, I), torch.tensor([T, *(max(T - i, 1) for i in range(1, B))])

    program = record(net, call(5, 3), ["x", "n"], {"x": {0: "T", 1: "B"}, "n": {0: "B"}})
    nodes = [n.op_type for n in onnx.load_model_from_string(program).graph.node]
    assert {*nodes} & {"RNN", "LSTM", "GRU", "Scan"} == {wanted}
    for T, B in SIZES:
        given = call(T, B)
        with torch.no_grad():
            expected = pytree.tree_leaves(net(*given))
        for actual, right in zip(run(program, given), expected, strict=True):
            np.testing.assert_allclose(actual, right.numpy(), rtol=1e-5, atol=1e-5)


def test_packed_input_of_a_formula_is_refused():
    net = Packing(elman.Recurrent(GRU, I, H))
    with pytest.raises(RuntimeError, match="got a PackedSequence: give padded input with lengths="):
        record(net, (torch.rand(4, 2, I), torch.tensor([4, 2])), ["x", "n"], {"x": {0: "T"}})


def test_one_step_of_any_formula_is_no_loop():
    net = elman.RecurrentCell(elman.cells.BRC, I, H)
    program = record(net, (torch.rand(4, I),), ["x"], {"x": {0: "B"}})
    x = torch.rand(7, I)
    (found,) = run(program, x)
    np.testing.assert_allclose(found, net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
