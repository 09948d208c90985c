"""The tutorial prints the same with elman as with torch.nn: parameters, numbers, gradients."""

import pytest
import torch
from torch.testing import assert_close

import elman
from examples import tutorial

NAMESPACES = pytest.mark.parametrize("nn", [torch.nn, elman], ids=["torch.nn", "elman"])
LISTINGS = pytest.mark.parametrize("listing", tutorial.LISTINGS, ids=lambda f: f.__name__)

# Results agree up to rounding in float32; torch and elman add in different orders.
SAME = {"rtol": 0, "atol": 1e-6}
# Figures as torch prints them, with four decimals.
PRINTED = {"rtol": 0, "atol": 6e-5}

SHAPES = {  # listing: (output, h_n)
    "one_layer": ((3, 1, 4), (1, 1, 4)),
    "batch_in_front": ((1, 3, 4), (1, 1, 4)),
    "two_layers": ((3, 1, 4), (2, 1, 4)),
    "both_directions": ((3, 1, 6), (2, 1, 3)),
    "dropout_between_layers": ((3, 1, 3), (2, 1, 3)),
    "whole_sequence": ((3, 2, 6), (1, 2, 6)),
    "step_by_step": ((3, 2, 6), (2, 6)),
}

TWO_SEQUENCES = [
    [
        [0.6295, -0.5197, 0.2157, -0.0886, 0.6734, -0.1085],
        [0.7314, -0.3738, 0.0418, -0.2117, 0.5020, 0.1213],
    ],
    [
        [0.4572, -0.2470, 0.1893, -0.0327, 0.3821, 0.2097],
        [0.5103, -0.3171, 0.3264, 0.1896, 0.6496, -0.0635],
    ],
    [
        [0.5079, -0.2033, -0.0015, -0.0311, 0.5142, 0.0714],
        [0.6826, -0.1805, -0.0191, 0.0802, 0.5302, 0.1724],
    ],
]

FIGURES = {  # listing: (output, h_n)
    "both_directions": (
        [
            [[0.3936, 0.7608, -0.1589, -0.0829, 0.1864, -0.5768]],
            [[0.1960, 0.6819, -0.0645, 0.1314, 0.1977, -0.5505]],
            [[0.3993, 0.7820, -0.0925, -0.2763, 0.5750, -0.3795]],
        ],
        [[[0.3993, 0.7820, -0.0925]], [[-0.0829, 0.1864, -0.5768]]],
    ),
    "dropout_between_layers": (
        [[[-0.2268, 0.3460, 0.2462]], [[-0.3804, 0.3879, 0.4195]], [[-0.3119, 0.5080, 0.4192]]],
        [[[-0.1296, 0.6708, 0.0078]], [[-0.3119, 0.5080, 0.4192]]],
    ),
    "whole_sequence": (TWO_SEQUENCES, [TWO_SEQUENCES[-1]]),
    "step_by_step": (TWO_SEQUENCES, TWO_SEQUENCES[-1]),
}


@LISTINGS
def test_elman_agrees_with_torch(listing):
    expected, actual = listing(torch.nn), listing(elman)
    assert type(actual.layer).__module__.startswith("elman.")
    assert repr(actual.layer) == repr(expected.layer)
    assert_close(actual.inputs, expected.inputs, rtol=0, atol=0)
    assert_close(actual.output, expected.output, **SAME)
    assert_close(actual.h_n, expected.h_n, **SAME)

    for run in (expected, actual):
        (run.output.sum() + run.h_n.square().sum()).backward()
    expected_parameters = dict(expected.layer.named_parameters())
    actual_parameters = dict(actual.layer.named_parameters())
    assert list(actual_parameters) == list(expected_parameters)
    for name, parameter in expected_parameters.items():
        assert torch.equal(actual_parameters[name], parameter), name
        assert_close(actual_parameters[name].grad, parameter.grad, rtol=1e-5, atol=1e-5)


@LISTINGS
@NAMESPACES
def test_shapes(listing, nn):
    run = listing(nn)
    assert (tuple(run.output.shape), tuple(run.h_n.shape)) == SHAPES[listing.__name__]


@pytest.mark.parametrize("name", FIGURES)
@NAMESPACES
def test_printed_figures(name, nn):
    run = getattr(tutorial, name)(nn)
    output, h_n = (torch.tensor(figures) for figures in FIGURES[name])
    assert_close(run.output, output, **PRINTED)
    assert_close(run.h_n, h_n, **PRINTED)


@NAMESPACES
def test_batch_in_front_is_only_a_view_of_the_same_numbers(nn):
    time_first, batch_first = tutorial.one_layer(nn), tutorial.batch_in_front(nn)
    assert_close(batch_first.output.transpose(0, 1), time_first.output, **SAME)


@NAMESPACES
def test_dropout_acts_in_training_only(nn):
    run = tutorial.dropout_between_layers(nn)
    first, second = run.layer.eval()(run.inputs), run.layer(run.inputs)
    assert torch.equal(first[0], second[0])
    assert not torch.allclose(first[0], run.output, atol=1e-3)


def test_the_cell_step_by_step_gives_the_bits_of_the_layer():
    layer, cell = tutorial.whole_sequence(elman), tutorial.step_by_step(elman)
    assert torch.equal(cell.output, layer.output)
    assert torch.equal(cell.h_n, layer.h_n[0])


@pytest.mark.parametrize("arguments", [[], ["torch.nn"]], ids=["elman", "torch.nn"])
def test_script_prints_the_figures(arguments, capsys):
    tutorial.main(arguments)
    printed = capsys.readouterr().out
    assert "0.3936,  0.7608, -0.1589, -0.0829,  0.1864, -0.5768" in printed
    assert "0.6295, -0.5197,  0.2157, -0.0886,  0.6734, -0.1085" in printed
