"""What layers have beside their formula, in programs of ONNX: no size of the example stays."""

import traceback

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from tests import cells
from tests.onnx.exported import check, export

pytestmark = pytest.mark.sampled(3)

I, H, P = 3, 5, 4  # noqa: E741
BRC = elman.cells.BRC


def plain(T, B):
    torch.manual_seed(T)
    return {"input": torch.randn(T, B, I)}


def batch_first(T, B):
    return {"input": plain(T, B)["input"].transpose(0, 1).contiguous()}


def unbatched(T, B):
    return {"input": plain(T, 1)["input"][:, 0]}


def with_states(*sizes, lead=2):
    """Calls with a state of each of these sizes."""

    def call(T, B):
        hx = tuple(torch.rand(lead, B, size) for size in sizes)
        return plain(T, B) | {"hx": hx if len(hx) > 1 else hx[0]}

    return call


def unbatched_states(T, B):
    return unbatched(T, B) | {"hx": torch.rand(1, H)}


def of_each_layer(T, B):
    return plain(T, B) | {"hx": [torch.rand(1, B, size) for size in (H, 4)]}


def with_inputs(*sizes):
    def call(T, B):
        further = {
            name: torch.rand(T, B, n) for name, n in zip(("noise", "gap"), sizes, strict=True)
        }
        return plain(T, B) | {"inputs": further}

    return call


def one_step(T, B):
    return {"input": plain(1, B)["input"][0]}


def one_step_of_two_states(T, B):
    return one_step(T, B) | {"hx": (torch.rand(B, H), torch.rand(B, H))}


def stack(cell, **options):
    return elman.Recurrent(cell, I, H, **options)


def masked(cell):
    cell.masks = {"weight_hh": torch.eye(H)}
    return cell


#: A module, its calls, and the nodes that it becomes.
CASES = {
    "RNN, stacked": (lambda: elman.RNN(I, H, 2, "relu", bidirectional=True), plain, ["RNN"] * 2),
    "accelerated": (
        lambda: elman.accelerate(torch.nn.LSTM(I, H, 2, bidirectional=True)),
        plain,
        ["LSTM"] * 2,
    ),
    "RNN, no bias": (lambda: elman.RNN(I, H, bias=False), with_states(H, lead=1), ["RNN"]),
    "RNN, unbatched": (lambda: elman.RNN(I, H), unbatched, ["RNN"]),
    "RNN, unbatched, a state": (lambda: elman.RNN(I, H), unbatched_states, ["RNN"]),
    "LSTM, stacked": (
        lambda: elman.LSTM(I, H, 2, bidirectional=True, batch_first=True, dropout=0.5),
        batch_first,
        ["LSTM"] * 2,
    ),
    "LSTM, states": (lambda: elman.LSTM(I, H, 2), with_states(H, H), ["LSTM"] * 2),
    "LSTM, projected": (
        lambda: elman.LSTM(I, H, proj_size=P, bidirectional=True),
        with_states(P, H),
        ["Scan"] * 2,
    ),
    "GRU, states": (lambda: elman.GRU(I, H, bidirectional=True), with_states(H), ["GRU"]),
    "no bias": (lambda: stack(BRC, bias=False), plain, ["Scan"]),
    "stacked, dropout": (lambda: stack(BRC, num_layers=2, dropout=0.5), plain, ["Scan"] * 2),
    "batch first": (lambda: stack(BRC, batch_first=True), batch_first, ["Scan"]),
    "unbatched": (lambda: stack(BRC), unbatched, ["Scan"]),
    "unbatched, a state": (lambda: stack(BRC), unbatched_states, ["Scan"]),
    "both directions, merged": (
        lambda: stack(BRC, bidirectional=True, merge="mean"),
        with_states(H),
        ["Scan"] * 2,
    ),
    "residual": (lambda: stack(elman.cells.Elman, num_layers=3, residual=True), plain, ["RNN"] * 3),
    "learned states": (
        lambda: stack(elman.cells.PeepholeLSTM, learn_initial=True, bidirectional=True),
        plain,
        ["LSTM"],
    ),
    "learned states of a scan": (lambda: stack(BRC, learn_initial=True), plain, ["Scan"]),
    "masked": (lambda: stack(elman.cells.CoupledLSTM, mask=torch.eye(H)), plain, ["LSTM"]),
    "masks of the formula": (lambda: stack(masked(elman.cells.LSTM())), plain, ["LSTM"]),
    "masks, a scan": (
        lambda: stack(masked(elman.cells.LightGRU()), bidirectional=True),
        with_states(H),
        ["Scan"] * 2,
    ),
    "sizes": (
        lambda: elman.Recurrent(elman.cells.GRU, I, [H, 4]),
        of_each_layer,
        ["GRU"] * 2,
    ),
    "inputs": (lambda: stack(cells.Seer), with_inputs(H, H), ["Scan"]),
    "inputs, a number each": (
        lambda: stack(cells.Seer, num_layers=2),
        with_inputs(1, H),
        ["Scan"] * 2,
    ),
    "LSTMCell": (lambda: elman.LSTMCell(I, H), one_step_of_two_states, ["LSTM"]),
    "GRUCell": (lambda: elman.GRUCell(I, H), one_step, ["GRU"]),
    "RecurrentCell": (lambda: elman.RecurrentCell(BRC, I, H), one_step, []),
}


@pytest.mark.parametrize("name", CASES)
def test_a_module_takes_other_sizes_than_those_it_was_exported_with(name):
    torch.manual_seed(0)
    make, call, wanted = CASES[name]
    net = make()
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    check(net, call, wanted)


@pytest.mark.parametrize("cell", [elman.cells.LSTM, elman.cells.LayerNormGRU])
def test_float64_is_a_scan_as_onnx_runtime_has_no_other(cell):
    """The exporter rounds a formula's numbers to float32."""
    net = stack(cell, bidirectional=True).double()

    def call(T, B):
        return {"input": plain(T, B)["input"].double()}

    check(net, call, ["Scan"] * 2, tolerance=1e-7)


@pytest.mark.parametrize("make", [elman.GRU, lambda *s: elman.Recurrent(BRC, *s)])
def test_float16_is_computed_in_float32(make):
    net = make(I, H).half()

    def call(T, B):
        return {"input": plain(T, B)["input"].half()}

    check(net, call, ["GRU" if make is elman.GRU else "Scan"], tolerance=1e-3)


def test_bfloat16_is_computed_in_float32():
    """Its inputs are no arrays of NumPy: a model of them converts its own."""

    class Narrow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = elman.LSTM(I, H).bfloat16()

        def forward(self, input):
            return self.net(input.bfloat16())[0].float()

    check(Narrow(), plain, ["LSTM"], tolerance=1e-2)


def test_a_packed_sequence_is_refused():
    class Packing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = elman.GRU(I, H)

        def forward(self, input):
            return self.net(pack_padded_sequence(input, [4, 2]))[0].data

    with pytest.raises(torch.onnx.OnnxExporterError) as caught:
        export(Packing(), lambda T, B: {"input": torch.randn(4, 2, I)})
    said = "".join(traceback.format_exception(caught.value))
    assert "got a PackedSequence, whose sizes are data: use elman.Recurrent" in said


def test_states_that_are_one_tensor_twice():
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = stack(elman.cells.QRNN)

        def forward(self, input, h):
            return self.net(input, (h, h))

    check(Shared(), lambda T, B: plain(T, B) | {"h": torch.rand(1, B, H)}, ["Scan"])


def test_a_model_around_layers():
    """An encoder whose last state begins a decoder, which takes its own output."""

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(11, I)
            self.encoder = elman.GRU(I, H, batch_first=True)
            self.decoder = elman.Recurrent(elman.cells.MGU, I, H, batch_first=True)
            self.out = torch.nn.Linear(H, 11)

        def forward(self, tokens):
            x = self.embed(tokens)
            output, state = self.decoder(x, self.encoder(x)[1])
            return self.out(output).argmax(-1), state

    check(Both(), lambda T, B: {"tokens": torch.randint(0, 11, (B, T))}, ["GRU", "Scan"])


class States(torch.nn.Module):
    """A layer that returns its states at every step."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: torch.Tensor) -> object:
        return self.layer(input, return_states=True)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: elman.GRU(I, H, 2, bidirectional=True), ["GRU"] * 2),
        (lambda: elman.LSTM(I, H, 2), ["Scan"] * 2),  # ONNX's LSTM gives out no c
        (lambda: elman.Recurrent(cells.CELLS["Gauge"], I, H, bidirectional=True), ["Scan"] * 2),
    ],
    ids=["GRU", "LSTM", "outputs"],
)
def test_states_at_every_step(make, wanted):
    torch.manual_seed(0)
    check(States(make()), plain, wanted)
