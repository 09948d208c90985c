"""Which formulas are operators of ONNX, whatever their cells call them."""

import itertools

import pytest

import elman
from elman.cells import Elman
from elman.onnx_nodes import cells
from elman.onnx_nodes.cells import FUNCTIONS, GRU, LSTM, RNN, activation
from elman.onnx_nodes.match import find

HARD = activation("HardSigmoid", 0.3, 0.4)


class OtherOrder(elman.Cell):
    """An LSTM with other names, whose sums and products are written the other way round."""

    gates = ("out", "new", "keep", "write")
    states = ("y", "memory")
    vectors = ("see",)

    def step(self, x, u, s):
        keep = elman.sigmoid(self.vector("see") * s.memory + (u.keep + x.keep))
        memory = elman.tanh(u.new + x.new) * elman.sigmoid(u.write + x.write) + s.memory * keep
        return elman.tanh(memory) * elman.sigmoid(x.out + u.out), memory


class WithoutPeephole(OtherOrder):
    vectors = ()

    def step(self, x, u, s):
        keep = elman.sigmoid(u.keep + x.keep)
        memory = elman.tanh(u.new + x.new) * elman.sigmoid(u.write + x.write) + s.memory * keep
        return elman.tanh(memory) * elman.sigmoid(x.out + u.out), memory


class Same(elman.Cell):
    """A GRU whose gates have the same rows of ``weight_ih``."""

    gates = ("a", "b", "c")

    def step(self, x, u, s):
        z, r = elman.sigmoid(x.a + u.a), elman.sigmoid(x.a + u.b)
        return (1 - z) * elman.tanh(x.c + r * u.c) + z * s.h


class TwoFunctions(elman.Cell):
    """Gates of different functions are no operator of ONNX."""

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def step(self, x, u, s):
        i, f = elman.sigmoid(x.i + u.i), elman.hardsigmoid(x.f + u.f)
        c = f * s.c + i * elman.tanh(x.g + u.g)
        return elman.sigmoid(x.o + u.o) * elman.tanh(c), c


def clipped(limit):
    return Elman(lambda v: elman.tanh(elman.clamp(v, -limit, limit)))


ALIKE = {
    **{name: name.capitalize() for name in ("tanh", "relu", "sigmoid", "softsign", "softplus")},
    "elu": "Elu",
    "leaky_relu": "LeakyRelu",
    "identity": "Affine",
}
OTHERS = ["lightgru", "mgu", "ugrnn", "janet", "indrnn", "star"]

#: A cell, and the operator that it is.
FORMULAS = [
    *((Elman(name), RNN((activation(theirs),))) for name, theirs in ALIKE.items()),
    (Elman("hardsigmoid"), RNN((activation("HardSigmoid", 1 / 6, 0.5),))),
    (Elman(lambda v: 0.5 + 0.25 * v), RNN((activation("Affine", 0.25, 0.5),))),
    (clipped(3.0), RNN(clip=3.0)),
    (Elman(lambda v: elman.tanh(elman.clamp(v, -3, 2))), None),
    (Elman(lambda v: elman.tanh(2 * v)), None),
    *((Elman(name), None) for name in ("gelu", "silu", "sin", "hardswish", "hardtanh")),
    (elman.cells.LSTM(), LSTM()),
    (elman.cells.PeepholeLSTM(), LSTM(peepholes=True)),
    (elman.cells.CoupledLSTM(), LSTM(input_forget=True)),
    (elman.cells.LSTM(projection=True), None),
    (elman.cells.GRU(), GRU(linear_before_reset=True)),
    (elman.cells.GRU(reset_after=False), GRU()),
    (WithoutPeephole(), LSTM()),
    (OtherOrder(), None),
    (Same(), GRU(linear_before_reset=True)),
    (TwoFunctions(), None),
    *((elman.cells.by_name(name), None) for name in OTHERS),
]


@pytest.mark.parametrize(("cell", "operator"), FORMULAS, ids=range(len(FORMULAS)))
def test_a_formula_is_found_out(cell, operator):
    found = find(cell.trace())
    assert repr(found and found.cell) == repr(operator)


def test_names_of_the_formula_are_found_out():
    found = find(WithoutPeephole().trace())
    assert found.inputs == found.products == {"i": "write", "o": "out", "f": "keep", "c": "new"}
    found = find(Same().trace())
    assert found.inputs == {"z": "a", "r": "a", "h": "c"}
    assert found.products == {"z": "a", "r": "b", "h": "c"}


OPTIONS = [
    *((RNN, {"activations": (activation(name),)}) for name in FUNCTIONS),
    *((RNN, {"activations": (activation(name, 0.3, 0.7),)}) for name in FUNCTIONS),
    (RNN, {"clip": 0.5}),
    *(
        (LSTM, {"peepholes": seeing, "input_forget": coupled, "clip": clip})
        for seeing, coupled, clip in itertools.product((False, True), (False, True), (None, 2.0))
    ),
    (LSTM, {"activations": (HARD, activation("Elu", 0.5), activation("Affine", 0.5, 0.1))}),
    *(
        (GRU, {"linear_before_reset": after, "clip": clip})
        for after, clip in itertools.product((False, True), (None, 2.0))
    ),
    (GRU, {"activations": (HARD, activation("ScaledTanh", 0.5, 2.0))}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_an_operator_is_found_out_as_itself(kind, options):
    cell = kind(**options)
    assert repr(find(cell.trace()).cell) == repr(cell)
    assert isinstance(cell, cells.Operator)
