"""What a cell's ``sizes`` may say, and what follows from them."""

import pytest
import torch

import elman
from elman import Cell, FormulaError, tanh
from elman.step import read
from tests.cells import CELLS


def test_parameters_and_states_have_their_sizes():
    net = elman.Recurrent(CELLS["Sized"], 3, 8, num_layers=2, bidirectional=True)
    shapes = {n: tuple(p.shape) for n, p in net.named_parameters() if n.endswith("_l1")}
    assert shapes["weight_down_l1"] == (2, 8)
    assert shapes["weight_up_l1"] == (8, 2)
    assert shapes["weight_shift_l1"] == (3,)
    assert shapes["weight_scale_l1"] == (1,)
    output, final = net(torch.rand(5, 4, 3))
    assert output.shape == (5, 4, 16)
    assert [tuple(state.shape) for state in final] == [(4, 4, 8), (4, 4, 3), (4, 4, 1)]
    given = net(torch.rand(5, 4, 3), final)
    assert [tuple(state.shape) for state in given[1]] == [(4, 4, 8), (4, 4, 3), (4, 4, 1)]


def test_a_layer_reads_the_size_of_the_one_below():
    net = elman.Recurrent(CELLS["SizedOutput"], 3, 8, num_layers=2, bidirectional=True)
    assert net.weight_ih_l1.shape == (16, 4)
    assert net.weight_hh_l1.shape == (16, 2)
    assert net(torch.rand(5, 4, 3))[0].shape == (5, 4, 4)


@pytest.mark.parametrize("name", ["Sized", "SizedOutput"])
def test_steps_sessions_and_files_have_them_too(name, tmp_path):
    torch.manual_seed(0)
    net = elman.Recurrent(CELLS[name], 3, 8)
    x = torch.rand(5, 4, 3)
    expected = net(x)[0]
    stream = elman.Stream(net, batch_size=4)
    for now, wanted in zip(x, expected, strict=True):
        assert torch.equal(stream.step(now), wanted)
    program = torch.export.export(net, (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    assert torch.equal(torch.export.load(tmp_path / "program.pt2").module()(x)[0], expected)
    step = CELLS[name].trace()
    assert read.__wrapped__(step.text).text == step.text


class Numbers(Cell):
    gates = ("a",)
    states = ("h", "m")
    vectors = ("v",)

    def __init__(self, sizes, **options):
        self.sizes = sizes
        for option, value in options.items():
            setattr(self, option, value)

    def step(self, x, u, s):
        h = tanh(x.a + u.a) + elman.sum(self.vector("v"))
        return h, 0.5 * s.m + elman.sum(h)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"m": 0}, "whole numbers of at least 1, got 0"),
        ({"m": True}, "whole numbers of at least 1, got True"),
        ({"m": "3"}, "whole numbers of at least 1, got '3'"),
        ({"n": 3}, "sizes are for .*got one for 'n'"),
        (3, "sizes must be a dict"),
        ({"h": 3}, "the new 'h' has hidden units, expected 3 units"),
        ({"v": 1}, "takes a value with units"),
    ],
)
def test_what_sizes_cannot_be(sizes, message):
    with pytest.raises(FormulaError, match=message):
        Numbers(sizes).trace()


def test_no_value_has_more_units_than_the_layer():
    assert (
        elman.Recurrent(Numbers({"m": 4, "v": 3}), 2, 4)(torch.rand(3, 2, 2))[1][1].shape[-1] == 4
    )
    with pytest.raises(
        ValueError, match="hidden_size to be at least that of what has 4 units, got 3"
    ):
        elman.Recurrent(Numbers({"m": 4, "v": 3}), 2, 3)


def test_values_of_two_sizes_do_not_mix():
    class Mixed(Numbers):
        def step(self, x, u, s):
            return tanh(x.a + u.a) + s.m, s.m * elman.sum(self.vector("v"))

    with pytest.raises(FormulaError, match="as many units each, got hidden units and 4 units"):
        Mixed({"m": 4}).trace()


def test_a_changed_size_is_another_formula():
    cell = Numbers({"m": 4})
    before = cell.trace()
    cell.sizes["m"] = 5
    assert cell.trace() is not before
    assert cell.trace() is Numbers({"m": 5}).trace()
