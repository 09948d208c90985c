"""Biases by what their gate does, for torch.nn's layers and every cell of the catalogue."""

import math

import pytest
import torch

import elman
from elman.cells import CATALOGUE, by_name
from elman.init import bias_, chrono_, forget_bias_, initial_states_
from tests.init.modules import MODULES, H, I, changed, values

#: By module: the numbers of the forget gate and the input gate among those of the biases.
GATES = {
    "torch-lstm": (4, 1, 0),
    "torch-lstm-projected": (4, 1, 0),
    "torch-lstm-cell": (4, 1, 0),
    "torch-gru": (3, 1, None),
    "torch-gru-cell": (3, 1, None),
    "elman-lstm": (4, 1, 0),
    "elman-gru-before": (3, 1, None),
    "elman-gru-cell": (3, 1, None),
    "recurrent-lstm": (4, 1, 0),
    "recurrent-one-way": (3, 1, None),
    "recurrent-cell": (3, 1, None),
}
#: The catalogue's cells without a forget gate that has a bias of its own.
WITHOUT = {
    *("elman", "irnn", "indrnn", "mirnn", "atr", "nascell", "leaky", "ctrnn", "scrn", "mgu2"),
    *("cfc", "ltc", "lru", "deltanet", "odernn", "cornn", "unicornn"),
    *("antisymmetricrnn", "gatedantisymmetricrnn"),
}


def sums(module, count):
    """By layer and direction the sums of both biases of each gate."""
    found = []
    for name, p in module.named_parameters():
        if name.startswith("bias_ih"):
            both = p.detach() + module.get_parameter(name.replace("_ih", "_hh")).detach()
            found.append(both.chunk(count))
    assert found
    return found


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("value", [1.0, -0.5])
def test_the_sum_of_both_biases_of_the_forget_gate_counts(name, value):
    count, forget, _ = GATES[name]
    module = MODULES[name].make()
    before, old = values(module), sums(module, count)
    assert forget_bias_(module, value) is module
    for then, now in zip(old, sums(module, count), strict=True):
        for gate in range(count):
            wanted = torch.full_like(now[gate], value) if gate == forget else then[gate]
            assert torch.equal(now[gate], wanted)
    assert all(name.startswith("bias") for name in changed(before, module))


@pytest.mark.parametrize("name", GATES)
def test_chrono_draws_the_logarithm_of_a_duration_for_each_unit(name):
    torch.manual_seed(0)
    count, forget, write = GATES[name]
    module = MODULES[name].make()
    old = sums(module, count)
    assert chrono_(module, 30) is module
    drawn = []
    for then, now in zip(old, sums(module, count), strict=True):
        steps = now[forget].exp()
        drawn += steps.tolist()
        assert 1 <= steps.min() < steps.max() <= 29
        for gate in range(count):
            wanted = then[gate] if gate != write else -now[forget]
            assert gate == forget or torch.equal(now[gate], wanted)
    assert len({*drawn}) == len(drawn)
    assert min(drawn) < 8
    assert max(drawn) > 18


def test_chrono_of_two_steps_is_zero():
    gru = chrono_(torch.nn.GRU(I, H), 2)
    assert torch.equal((gru.bias_ih_l0 + gru.bias_hh_l0)[H : 2 * H], torch.zeros(H))


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - WITHOUT))
def test_a_state_stays_where_the_gates_say_so(name):
    """The formula itself says whether ``keeps`` and ``writes`` are true."""
    torch.manual_seed(0)
    cell = by_name(name)
    proj = {"proj_size": 3} if cell.projection else {}
    layer = elman.RecurrentCell(cell, I, H, dtype=torch.float64, **proj)
    states, (size,) = cell.trace().states, layer._layer_sizes()
    units = [size[cell.trace().space(state)] for state in states]
    given = [torch.rand(4, n, dtype=torch.float64) + 0.5 for n in units]
    x = torch.randn(4, I, dtype=torch.float64)
    inputs = {name: torch.ones(4, 1, dtype=torch.float64) for name in cell.inputs}
    if "gap" in inputs:
        inputs["gap"].zero_()  # nothing decays

    def distance():
        """How far the state is from the one before, or its tanh, which some cells apply."""
        with elman.set_path("reference"):
            new = layer(x, tuple(given) if len(states) > 1 else given[0], inputs or None)
        pairs = zip(new if len(states) > 1 else [new], given, strict=True)
        return min(
            min((a - b).abs().max().item(), (a - b.tanh()).abs().max().item()) for a, b in pairs
        )

    assert distance() > 0.1
    chrono_(layer, 1e18)
    assert distance() < 0.05
    forget_bias_(layer, -40)
    assert distance() > 0.1


@pytest.mark.parametrize("name", sorted(WITHOUT))
@pytest.mark.parametrize("function", [forget_bias_, lambda module: chrono_(module, 9)])
def test_a_cell_without_forget_gate_is_refused(name, function):
    net = elman.Recurrent(by_name(name), I, H)
    kind = type(by_name(name)).__name__
    message = (
        rf"expected every layer to have a forget gate, got Recurrent of {kind}: give the other"
    )
    with pytest.raises(ValueError, match=message):
        function(net)


@pytest.mark.parametrize("make", [lambda: torch.nn.LSTM(I, H, bias=False), "lem", "mgu3"])
def test_layers_without_biases(make):
    if make == "mgu3":  # whose bias is a vector
        net = forget_bias_(elman.Recurrent(by_name(make), I, H, bias=False), 2.0)
        assert torch.equal(net.weight_f_l0, torch.full((H,), -2.0))
        return
    net = elman.Recurrent(by_name(make), I, H, bias=False) if isinstance(make, str) else make()
    with pytest.raises(ValueError, match=r"to have a bias, got .* without any: make it with bias"):
        forget_bias_(net)
    before = values(net)
    assert changed(before, bias_(net, 1.0)) == set()


def test_a_cell_of_ones_own_names_its_gates():
    class Mine(elman.Cell):
        gates = ("a", "b")
        keeps = ("a",)

        def step(self, x, u, s):
            a = elman.sigmoid(x.a + u.a)
            return a * s.h + (1 - a) * elman.tanh(x.b)

    net = forget_bias_(elman.Recurrent(Mine, I, H), 3.0)
    assert torch.equal(net.bias_ih_l0[:H], torch.full((H,), 3.0))
    assert torch.equal(net.bias_hh_l0, torch.zeros(H))


@pytest.mark.parametrize("given", ["a", 0.9, ("1",)])
def test_names_of_gates_are_a_tuple(given):
    class Mine(elman.Cell):
        gates = ("a",)
        keeps = given

        def step(self, x, u, s):
            return x.a

    with pytest.raises(elman.FormulaError, match=r"keeps must be a tuple of names, got"):
        elman.Recurrent(Mine, I, H)


def test_calls_do_not_compare_what_a_cell_keeps():
    cell = elman.cells.LSTM()
    cell.trace()
    compared = cell.__dict__["_traced"][3]
    assert "gates" in compared
    assert not {"keeps", "writes"} & compared.keys()


@pytest.mark.parametrize("name", MODULES)
def test_every_bias_gets_one_sum(name):
    module = MODULES[name].make()
    before = values(module)
    assert bias_(module, 0.25) is module
    assert changed(before, module) == {n for n in before if n.startswith("bias")}
    held = values(module)
    for parameter, value in held.items():
        if parameter.startswith("bias_ih"):
            assert (value == 0.25).all()
        elif parameter.startswith("bias_hh"):
            # The rows of a gate that has no bias at the input hold the sum themselves.
            alone = value.numel() - held[parameter.replace("_hh", "_ih")].numel()
            assert (value == 0.25).sum() == max(0, alone)
            assert ((value == 0) | (value == 0.25)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_other_dtypes(dtype):
    torch.manual_seed(0)
    gru = chrono_(torch.nn.GRU(I, 64, dtype=dtype), 1000)
    steps = (gru.bias_ih_l0 + gru.bias_hh_l0)[64:128].float().exp()
    assert gru.bias_ih_l0.dtype == dtype
    assert steps.min() >= 1
    assert 500 < steps.max() < 1010


def test_learned_initial_states():
    net = elman.Recurrent(
        elman.cells.LSTM, I, 200, num_layers=2, bidirectional=True, learn_initial=True
    )
    before = values(net)
    torch.manual_seed(0)
    assert initial_states_(net, 0.5) is net
    names = {n for n in before if n.startswith("initial_")}
    assert changed(before, net) == names
    assert len(names) == 8
    for name in names:
        assert math.isclose(net.get_parameter(name).std().item(), 0.5, rel_tol=0.15)
    initial_states_(net)
    assert changed(before, net) == set()


@pytest.mark.parametrize("bad", [1, 1.9, math.nan])
def test_a_horizon_below_two_steps_is_refused(bad):
    with pytest.raises(
        ValueError, match=rf"chrono_: expected T_max of at least 2 steps, got {bad}"
    ):
        chrono_(torch.nn.LSTM(I, H), bad)


def test_states_that_are_not_learned_are_refused():
    with pytest.raises(ValueError, match=r"learned initial states, got LSTM without any: make an"):
        initial_states_(torch.nn.LSTM(I, H))


def test_the_place_of_a_layer_is_named():
    model = torch.nn.ModuleDict({"a": torch.nn.LSTM(I, H), "b": torch.nn.RNN(I, H)})
    before = values(model)
    with pytest.raises(
        ValueError, match="a forget gate, got RNN at 'b': give the other layers one"
    ):
        forget_bias_(model)
    assert changed(before, model) == set()
