"""Programs that were captured before they are exported: they hold elman's own operators."""

import io
import warnings

import numpy as np
import pytest
import torch

import elman
from tests.onnx.exported import SIZES, operators, run

I, H = 3, 5  # noqa: E741
D = torch.export.Dim


class WithLengths(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = elman.Recurrent(elman.cells.LSTM, I, H)

    def forward(self, x, lengths):
        return self.layer(x, lengths=lengths)[0]


#: A module, and the nodes that its layers become.
CASES = {
    "GRU": (lambda: elman.GRU(I, H), ["GRU"]),
    "LSTM": (lambda: elman.LSTM(I, H, 2, bidirectional=True), ["LSTM"] * 2),
    "any formula": (
        lambda: elman.Recurrent(elman.cells.MGU, I, H, bidirectional=True),
        ["Scan"] * 2,
    ),
    "float64": (lambda: elman.GRU(I, H).double(), ["Scan"]),
    "float16": (lambda: elman.GRU(I, H).half(), ["GRU"]),
    "lengths": (WithLengths, ["LSTM"]),
}


def arguments(name, T, B):
    dtype = {"float64": torch.float64, "float16": torch.float16}.get(name, torch.float32)
    lengths = [torch.arange(B) % (T + 1)] if name == "lengths" else []
    return (torch.randn(T, B, I, dtype=dtype), *lengths)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_an_exported_program_becomes_the_same_nodes(name, strict):
    torch.manual_seed(0)
    make, wanted = CASES[name]
    net = make().eval()
    free = ({0: D.DYNAMIC, 1: D.DYNAMIC}, *[{0: D.DYNAMIC}] * (name == "lengths"))
    captured = torch.export.export(net, arguments(name, 5, 3), dynamic_shapes=free, strict=strict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own code
        program = torch.onnx.export(captured, dynamo=True, verbose=False)
    assert operators(program) == wanted
    tolerance = 1e-3 if name == "float16" else 1e-5
    for T, B in SIZES:
        given = arguments(name, T, B)
        with torch.no_grad():
            expected = torch.utils._pytree.tree_leaves(net(*given))
        found = run(program.model_proto.SerializeToString(), given)
        for actual, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(actual, right.numpy(), rtol=tolerance, atol=tolerance)


def test_a_program_of_torch_jit_trace_is_refused():
    net, x = elman.Recurrent(elman.cells.LSTM, I, H).eval(), torch.rand(5, 3, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are deprecated
        traced = torch.jit.trace(net, x)
        with pytest.raises(RuntimeError, match="give the module that was traced"):
            torch.onnx.export(traced, (x,), io.BytesIO(), dynamo=False)
