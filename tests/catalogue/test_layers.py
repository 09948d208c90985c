"""Every cell of the catalogue as a stack of layers, as one step, and as an exported program."""

import pytest
import torch

import elman
from elman.cells import CATALOGUE
from elman.spaces import INPUT
from tests.nn.kinds import assert_same_bits, loss_of, tensors

pytestmark = pytest.mark.sampled(3)

T, B, I, H, P = 4, 3, 3, 5, 4  # noqa: E741
each_name = pytest.mark.parametrize("name", CATALOGUE)


def made(module, name, **options):
    """A module of the cell in float64, with the same numbers every time."""
    torch.manual_seed(0)
    cell = elman.cells.by_name(name)
    step, units = cell.trace(), H
    if step.projection:
        options["proj_size"] = P
    if any(step.space(state) is INPUT for state in step.states):
        units = I  # each layer takes as many features
        options |= {"merge": "sum"} if "bidirectional" in options else {}
    return module(cell, I, units, **options).double()


def further(net):
    """What the cell reads beside the input, the same in every call."""
    names = net.cell.trace().inputs
    return {name: torch.linspace(0, 1, T, dtype=torch.float64).view(T, 1, 1) for name in names}


@each_name
def test_a_stack_of_both_directions_is_what_the_reference_says(name):
    net = made(elman.Recurrent, name, num_layers=2, bidirectional=True)
    results = []
    for path in ("kernel", "reference"):
        torch.manual_seed(1)
        x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
        with elman.set_path(path):
            found = tensors(net(x, lengths=torch.tensor([2, 4, 3]), inputs=further(net) or None))
            leaves = [x, *net.parameters()]
            results.append([*found, *torch.autograd.grad(loss_of(found), leaves)])
    assert all(g.abs().sum() > 0 for g in results[0][:2])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)


@each_name
def test_single_steps_give_the_bits_of_the_layer(name):
    net, cell = made(elman.Recurrent, name), made(elman.RecurrentCell, name)
    x, state = torch.randn(T, B, I, dtype=torch.float64), None
    given = further(net)
    output, final = net(x, inputs=given or None)
    for t, (now, expected) in enumerate(zip(x, output, strict=True)):
        state = cell(now, state, inputs={name: value[t] for name, value in given.items()} or None)
        assert_same_bits([tensors(state)[0]], [expected])
    assert_same_bits(tensors(state), [s[0] for s in tensors(final)])


@each_name
def test_frozen_modules_give_the_same_bits(name):
    net, cell = made(elman.Recurrent, name, num_layers=2), made(elman.RecurrentCell, name)
    given, x = further(net), torch.randn(T, B, I, dtype=torch.float64)
    for module, arguments in (
        (net.eval(), (x, None, None, given or None)),
        (cell.eval(), (x[0], None, {k: v[0] for k, v in given.items()} or None)),
    ):
        with torch.no_grad():
            expected = tensors(module(*arguments))
            elman.freeze(module)
            for _ in range(3):
                assert_same_bits(tensors(module(*arguments)), expected)
        assert elman.explain(module).layers[0].frozen.endswith(" bytes")


@pytest.mark.parametrize("name", ["multiplicativelstm", "layernormgru", "peepholelstm"])
def test_exported_programs_take_any_length(name):
    net = made(elman.Recurrent, name, num_layers=2).eval()
    sizes = {0: torch.export.Dim("T", min=2, max=90)}
    x = torch.randn(T, B, I, dtype=torch.float64)
    program = torch.export.export(net, (x,), dynamic_shapes={"input": sizes})
    longer = torch.randn(40, B, I, dtype=torch.float64)
    for given in (x, longer):
        assert_same_bits(tensors(program.module()(given)), tensors(net(given)))
