"""Block-diagonal matrices: heads of whole vectors, which have sums of their own, and other ones."""

import pytest
import torch

import elman
from elman import Cell, FormulaError, sigmoid, tanh
from elman.compiler.formats import Format
from elman.compiler.isa import by_name
from elman.compiler.plan import plan_of
from elman.compiler.target import target_of
from tests.compiler.problem import RAGGED, Problem, check
from tests.compiler.targets import each_isa, force

pytestmark = pytest.mark.sampled(5)

SIZES = {  # the first of whole vectors on every instruction set, the others on some
    "whole": {"H": 64},
    "three vectors": {"H": 96, "T": 3},
    "small": {"H": 24},
    "odd": {"H": 10},
    "one unit": {"H": 2},
    "one row": {"H": 64, "B": 1},
    "one odd row": {"H": 22, "B": 1},
    "one step": {"H": 64, "T": 1},
    "ragged, both directions": {"H": 40, "D": 2, "lengths": RAGGED},
    "recomputed": {"H": 32, "recompute": True, "T": 9},
}


class Several(Cell):
    """An LSTM with as many heads as one wants."""

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def __init__(self, heads):
        self.heads = heads

    def step(self, x, u, s):
        c = sigmoid(x.f + u.f) * s.c + sigmoid(x.i + u.i) * tanh(x.g + u.g)
        return sigmoid(x.o + u.o) * tanh(c), c


@each_isa
@pytest.mark.parametrize("cell", ["Headed", "HeadedProjected"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_all_gradients_are_the_references(row, cell, sizes):
    with force(row):
        for dtype in (torch.float64, torch.float32):
            check(Problem(cell, dtype=dtype, **sizes))


def of(heads, units, single=False):
    plan = plan_of(Several(heads).trace())
    return target_of(plan, "float", Format("float"), by_name("avx2"), units, single)


def test_heads_of_whole_vectors_have_blocks_of_their_own():
    assert [of(4, units).heads for units in (32, 64, 96, 36, 48)] == [4, 4, 4, 1, 1]
    assert [of(4, units, single=True).heads for units in (32, 36)] == [4, 1]
    assert of(4, 160, single=True).step.widths[0] in (1, 5)  # of five vectors


@pytest.mark.parametrize(("heads", "units"), [(2, 64), (3, 96), (4, 160), (5, 40), (3, 33)])
def test_a_row_has_the_same_bits_in_any_batch(heads, units):
    torch.manual_seed(0)
    net, x = elman.Recurrent(Several(heads), 4, units), torch.randn(9, 6, 4)
    cell = elman.RecurrentCell(Several(heads), 4, units)
    cell.load_state_dict({k.replace("_l0", ""): v for k, v in net.state_dict().items()})
    with torch.no_grad():
        output, state = net(x)[0], None
        for row in range(6):
            assert torch.equal(net(x[:, row : row + 1])[0], output[:, row : row + 1])
        for now, expected in zip(x, output, strict=True):
            state = cell(now, state)
            assert torch.equal(state[0], expected)


def test_products_of_bfloat16_have_heads_too():
    torch.manual_seed(0)
    net, x = elman.Recurrent(Several(2), 4, 64), torch.randn(9, 6, 4)
    expected = net(x)[0]
    found = net.bfloat16()(x.bfloat16())[0]
    assert (found.float() - expected).abs().max() < 0.02


def test_a_session_keeps_panels_of_heads():
    torch.manual_seed(0)
    net, x = elman.Recurrent(Several(2), 4, 32), torch.randn(5, 3, 4)
    expected = net(x)[0]
    for narrow in (None, torch.bfloat16):
        stream = elman.Stream(net, batch_size=3, weight_dtype=narrow)
        for now, wanted in zip(x, expected, strict=True):
            assert (stream.step(now) - wanted).abs().max() < (1e-6 if narrow is None else 0.02)


def test_one_head_is_a_whole_matrix():
    assert Several(1).trace() is not Several(2).trace()
    assert elman.Recurrent(Several(4), 3, 8).weight_hh_l0.shape == (32, 2)
    assert elman.Recurrent(Several(1), 3, 8).weight_hh_l0.shape == (32, 8)


@pytest.mark.parametrize("heads", [0, -1, 1.0, True, "2", None])
def test_heads_are_a_whole_number(heads):
    with pytest.raises(FormulaError, match="heads must be an int of at least 1"):
        Several(heads).trace()


def test_units_are_a_multiple_of_heads():
    with pytest.raises(
        ValueError, match="hidden_size to be a multiple of the cell's heads=3, got 8"
    ):
        elman.Recurrent(Several(3), 2, 8)


def test_captured_programs_have_heads(tmp_path):
    torch.manual_seed(0)
    net, x = elman.Recurrent(Several(2), 3, 8), torch.randn(5, 2, 3)
    program = torch.export.export(net, (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    found = torch.export.load(tmp_path / "program.pt2").module()(x)
    assert torch.equal(found[0], net(x)[0])
