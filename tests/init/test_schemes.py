"""Whole initialisations, and those by name as an option of a module."""

import copy
import functools
import math
import pickle

import pytest
import torch

import elman
from elman.cells import CATALOGUE, by_name
from elman.init import flax_, irnn_, keras_
from elman.init.names import BY_NAME
from tests.init.modules import MODULES, H, I, parts, values

LSTMS = ["torch-lstm", "torch-lstm-cell", "elman-lstm", "recurrent-lstm"]


def biases(module):
    return {n: p for n, p in values(module).items() if n.startswith("bias")}


@pytest.mark.parametrize("name", MODULES)
def test_keras_draws_each_matrix_as_a_whole(name):
    torch.manual_seed(0)
    row = MODULES[name]
    module = row.make()
    assert keras_(module) is module
    for weight in parts(module, "weight_ih", 1).values():
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.8 * bound < weight.abs().max() <= bound
    for weight in parts(module, "weight_hh", 1).values():
        eye = torch.eye(weight.shape[1], dtype=weight.dtype)
        torch.testing.assert_close(weight.T @ weight, eye, rtol=0, atol=1e-12)
    separate = "lstm" in name or "ran" in name
    for parameter, bias in biases(module).items():
        expected = torch.zeros_like(bias)
        if separate and "_ih" in parameter:
            expected.chunk(row.ih)[1].fill_(1)
        assert torch.equal(bias, expected)


@pytest.mark.parametrize("name", MODULES)
def test_flax_draws_gate_by_gate(name):
    torch.manual_seed(0)
    row = MODULES[name]
    module = row.make()
    assert flax_(module) is module
    for block in parts(module, "weight_ih", row.ih).values():
        assert block.abs().max() <= 2 / 0.8796256 / math.sqrt(block.shape[1])
    for block in parts(module, "weight_hh", row.hh).values():
        wide = block if block.shape[0] <= block.shape[1] else block.T
        torch.testing.assert_close(
            wide @ wide.T, torch.eye(len(wide), dtype=block.dtype), rtol=0, atol=1e-12
        )
    assert not any(bias.any() for bias in biases(module).values())


def test_flaxs_inputs_keep_their_variance():
    torch.manual_seed(0)
    weight = flax_(torch.nn.GRU(300, 100)).weight_ih_l0
    assert math.isclose(weight.std().item(), math.sqrt(1 / 300), rel_tol=0.01)


@pytest.mark.parametrize("name", MODULES)
def test_irnn_copies_its_state(name):
    row = MODULES[name]
    module = row.make()
    inputs = parts(module, "weight_ih", 1)
    assert irnn_(module, 0.5) is module
    for block in parts(module, "weight_hh", row.hh).values():
        assert torch.equal(block, 0.5 * torch.eye(*block.shape, dtype=block.dtype))
    assert not any(bias.any() for bias in biases(module).values())
    assert all(torch.equal(inputs[n], p) for n, p in parts(module, "weight_ih", 1).items())


def test_irnn_is_that_of_the_catalogue():
    ours, theirs = (elman.Recurrent(by_name(name), I, H) for name in ("irnn", "elman"))
    irnn_(theirs)
    for name in ("weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(ours.get_parameter(name), theirs.get_parameter(name))
    h = torch.rand(1, 4, H)
    relu = irnn_(torch.nn.RNN(I, H, nonlinearity="relu"))
    assert torch.equal(relu(torch.zeros(9, 4, I), h)[1], h)


@pytest.mark.parametrize("scheme", ["keras", "flax"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_cell_of_the_catalogue_begins_as_elsewhere(name, scheme):
    net = elman.Recurrent(by_name(name), I, H, bidirectional=True, init=scheme)
    assert all(p.isfinite().all() for p in net.parameters())
    drawn = [p for n, p in net.named_parameters() if n.startswith(("weight_ih", "weight_hh"))]
    assert all(p.any() for p in drawn)


def by_functions(net):
    elman.init.orthogonal_(net, 1.5)
    elman.init.chrono_(net, T_max=20)


ARGUMENTS = {"orthogonal": {"gain": 1.5}, "chrono": {"T_max": 20}}
#: What says the same in different ways.
WAYS = {
    "mapping": ARGUMENTS,
    "sequence": ({"orthogonal": {"gain": 1.5}}, {"chrono": {"T_max": 20}}),
    "function": by_functions,
    "functions": [
        functools.partial(elman.init.orthogonal_, gain=1.5),
        functools.partial(elman.init.chrono_, T_max=20),
    ],
}


def made(init, kind=elman.Recurrent, **options):
    torch.manual_seed(1)
    return kind(elman.cells.LSTM, I, H, init=init, **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [elman.Recurrent, elman.RecurrentCell])
def test_a_module_takes_its_initialisation(way, kind):
    torch.manual_seed(1)
    expected = kind(elman.cells.LSTM, I, H)
    by_functions(expected)
    net = made(WAYS[way], kind)
    assert net.state_dict().keys() == expected.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(net.parameters(), expected.parameters(), strict=True)
    )


def test_without_it_nothing_is_drawn():
    a, b = made(None), made([])
    torch.manual_seed(1)
    c = elman.LSTM(I, H)
    for p, q, r in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(p, r)


def test_a_reset_draws_it_anew():
    net = made(ARGUMENTS)
    first = values(net)
    net.reset_parameters()
    assert not torch.equal(first["weight_hh_l0"], net.weight_hh_l0)
    torch.manual_seed(1)
    net.reset_parameters()
    assert all(torch.equal(first[n], p) for n, p in net.named_parameters())
    for block in net.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(block @ block.T, 2.25 * torch.eye(H))


def test_it_comes_after_the_mask_and_the_cell():
    mask = torch.ones(H, H).tril()
    net = elman.Recurrent(
        *(elman.cells.IRNN, I, H),
        mask=mask,
        init=("xavier_uniform", {"spectral_radius": {"radius": 0.5}}),
        dtype=torch.float64,
    )
    weight = net.weight_hh_l0.detach()
    assert torch.equal(weight, weight.tril())
    assert abs(weight.diagonal().abs().max().item() - 0.5) < 1e-12
    assert not torch.equal(weight.diagonal(), torch.full((H,), 0.5, dtype=torch.float64))


def test_it_is_shown_copied_and_saved():
    net = made(ARGUMENTS)
    assert f"init={ARGUMENTS!r}" in repr(net)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.init == ARGUMENTS
        assert all(
            torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True)
        )
    state = net.__getstate__()
    del state["init"]  # as from a version before
    old = elman.Recurrent.__new__(elman.Recurrent)
    old.__setstate__(state)
    assert old.init is None


def test_learned_states_have_a_name():
    net = made({"initial_states": {"std": 1.0}}, learn_initial=True)
    assert net.initial_c_l0.any()
    assert not made("keras", learn_initial=True).initial_c_l0.any()


def test_every_function_has_a_name():
    functions = {name for name in vars(elman.init) if name.endswith("_") and name[0] != "_"}
    assert {function.__name__ for function in BY_NAME.values()} == functions
    assert all(f"{name}_" == function.__name__ for name, function in BY_NAME.items())


@pytest.mark.parametrize(
    ("init", "kind", "message"),
    [
        (
            "ortogonal",
            ValueError,
            r"Recurrent: init must be one of keras, .*orthogonal, .*got 'ortog",
        ),
        ({3: {}}, ValueError, r"Recurrent: init must be one of .*, got 3"),
        (3, TypeError, r"Recurrent: expected init to be a name, .* or a sequence of these, got 3"),
        (("keras", 3), TypeError, r"Recurrent: expected init to be a name.*got 3"),
        (
            "chrono",
            TypeError,
            r"Recurrent: init 'chrono': missing a required argument: 'T_max': give its arguments "
            r"as in init=\{'chrono': \{'name': value\}\}",
        ),
        ({"orthogonal": {"gian": 2}}, TypeError, r"init 'orthogonal': got an unexpected.*'gian'"),
        ({"orthogonal": 2}, TypeError, r"arguments of init 'orthogonal' as a mapping .*, got 2"),
        (
            {"chrono": {"T_max": 1}},
            ValueError,
            r"chrono_: expected T_max of at least 2 steps, got 1",
        ),
    ],
)
def test_what_is_no_initialisation_is_refused(init, kind, message):
    with pytest.raises(kind, match=message):
        made(init)
