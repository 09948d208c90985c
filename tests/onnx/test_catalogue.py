"""Every cell of the tests and of the catalogue as a program of ONNX."""

import pytest
import torch

import elman
from tests import cells
from tests.onnx.exported import check
from tests.sizes import layer_sizes

pytestmark = pytest.mark.sampled(5)

I, H, P = 3, 6, 4  # noqa: E741

#: The operators of ONNX that compute a cell; all others are a Scan.
OPERATORS = {
    **dict.fromkeys(("tanh", "relu", "elman", "irnn"), "RNN"),
    **dict.fromkeys(("LSTM", "lstm", "lstm, chosen", "Peephole", "peepholelstm"), "LSTM"),
    "coupledlstm": "LSTM",
    **dict.fromkeys(("GRU", "GRUBefore", "gru", "gru, before", "gru, chosen"), "GRU"),
}


def layer(cell, **options):
    """A layer whose parameters all differ, also those that a cell lets begin alike."""
    torch.manual_seed(0)
    if cell.trace().projection:
        options["proj_size"] = P
    net = elman.Recurrent(cell, I, I if cell.trace().alike else H, **options)
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return net


def calls(step, D):
    """The arguments of a call: input, the states, and further inputs."""

    def call(T, B):
        torch.manual_seed(T)
        size = layer_sizes(I, I if step.alike else H, P)
        hx = tuple(torch.rand(D, B, size[step.space(s)]) for s in step.states)
        given = {"input": torch.randn(T, B, I), "hx": hx if len(hx) > 1 else hx[0]}
        if step.inputs:
            units = {name: size[step.input_space(name)] for name in step.inputs}
            given["inputs"] = {name: torch.randn(T, B, n) for name, n in units.items()}
        return given

    return call


@pytest.mark.parametrize("name", cells.CATALOGUE)
def test_onnx_runtime_computes_a_cell_of_the_catalogue(name):
    """An operator in both directions, since they share a node. A Scan has one direction, whatever
    its body is; test_layers.py and the random formulas of tests/fuzz have two."""
    step, D = cells.CATALOGUE[name].trace(), 2 if name in OPERATORS else 1
    net = layer(cells.CATALOGUE[name], bidirectional=D == 2)
    check(net, calls(step, D), [OPERATORS.get(name, "Scan")])


@pytest.mark.parametrize("name", cells.CELLS)
def test_onnx_runtime_computes_a_cell(name):
    step = cells.CELLS[name].trace()
    check(layer(cells.CELLS[name]), calls(step, 1), [OPERATORS.get(name, "Scan")])
