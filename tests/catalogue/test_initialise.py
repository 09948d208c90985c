"""What the cells of the catalogue begin as, how they are found by name, and what they refuse."""

import math
import pickle

import pytest
import torch
from torch.nn.utils import parametrize

import elman
from elman import functions
from elman.cells import CATALOGUE, Antisymmetric, Elman, activation, by_name
from tests.sizes import layer_sizes

H = 6
each_name = pytest.mark.parametrize("name", CATALOGUE)


def initialised(name, bias=True, **hyper):
    """The cell, and a layer's parameters before and after."""
    torch.manual_seed(0)
    cell = by_name(name, **hyper)
    shapes = cell.trace().shapes(layer_sizes(4, H))
    before = {
        n: torch.nn.Parameter(torch.rand(shape) - 0.5)
        for n, shape in shapes.items()
        if bias or not n.startswith("bias")
    }
    after = {n: torch.nn.Parameter(p.detach().clone()) for n, p in before.items()}
    cell.initialise(after)
    return before, after


def block(parameters, name, index):
    return parameters[name].detach()[index * H : (index + 1) * H]


def bias(parameters, index, u_index=None):
    """The sum of a gate's biases."""
    other = index if u_index is None else u_index
    return block(parameters, "bias_ih", index) + block(parameters, "bias_hh", other)


def equal(value, number):
    return torch.equal(value, torch.full_like(value, number))


def identity(p):
    return torch.equal(p["weight_hh"], 0.5 * torch.eye(H)) and equal(bias(p, 0), 0)


def orthogonal(p):
    blocks = [block(p, "weight_hh", i) for i in range(2)]
    return all(torch.allclose(b @ b.T, torch.eye(H), atol=1e-6) for b in blocks)


def horizon(p):
    steps = bias(p, 0).exp()
    return (
        steps.min() > 1 and steps.max() < 19 and len(steps.unique()) == H and equal(bias(p, 1), 0)
    )


def vectors(**values):
    return lambda p: all(equal(p[f"weight_{n}"], value) for n, value in values.items())


def within(name, low, high):
    return lambda p: low <= p[name].min() < p[name].max() <= high


def periods(p):
    tau, shift = p["weight_tau"], p["weight_shift"]
    return (tau >= 1).all() and tau.max() < math.exp(3) and ((shift >= 0) & (shift <= tau)).all()


def ring(p):
    radius = (-p["weight_nu"].exp()).exp()
    scale = p["weight_gamma"].exp()
    rests = ((scale**2 + radius**2) - 1).abs().max()
    return 0.5 < radius.min() < radius.max() < 0.9 and rests < 1e-6 and p["weight_theta"].max() < 0


def antisymmetric(p):
    return torch.equal(p["weight_hh"], -p["weight_hh"].T) and p["weight_hh"].abs().max() > 0.1


def gains(p):
    values = {n: v for n, v in p.items() if "gain" in n or "shift" in n}
    return len(values) >= 10 and all(equal(v, float("gain" in n)) for n, v in values.items())


#: By name: hyper-parameters, the parameters that change, what holds of them.
INITIAL = {
    "irnn": ({"scale": 0.5}, "weight_hh bias_ih bias_hh", identity),
    "fastrnn": ({}, "weight_alpha weight_beta", vectors(alpha=-3, beta=3)),
    "fastgrnn": ({}, "weight_z weight_zeta weight_nu", vectors(z=0, zeta=1, nu=-4)),
    "lightgru": ({}, "weight_hh", orthogonal),
    "ugrnn": ({"forget_bias": 2}, "bias_ih bias_hh", lambda p: equal(bias(p, 0), 2)),
    "mirnn": (
        {},
        "weight_alpha weight_beta_x weight_beta_h weight_b",
        vectors(alpha=1, beta_x=1, beta_h=1, b=0),
    ),
    "janet": ({"horizon": 20}, "bias_ih bias_hh", horizon),
    "slstm": ({"forget_bias": 4}, "bias_ih bias_hh", lambda p: equal(bias(p, 1), 4)),
    "layernormlstm": ({}, "", gains),
    "layernormgru": ({}, "", gains),
    "indrnn": ({}, "weight_r", within("weight_r", 0, 1)),
    "grud": (
        {},
        "weight_mean weight_bias weight_decay_bias",
        vectors(mean=0, bias=0, decay_bias=0),
    ),
    "phasedlstm": ({}, "weight_tau weight_shift", periods),
    "lru": (
        {"least": 0.5, "most": 0.9, "phase": 1.0},
        "weight_nu weight_theta weight_gamma weight_ih weight_c_re weight_c_im",
        ring,
    ),
    "unicornn": (
        {},
        "weight_w weight_c",
        lambda p: within("weight_w", 0, 1)(p) and within("weight_c", -0.1, 0.1)(p),
    ),
    "antisymmetricrnn": ({}, "weight_hh", antisymmetric),
    "gatedantisymmetricrnn": ({}, "weight_hh", antisymmetric),
}


@each_name
def test_parameters_begin_as_the_paper_asks_and_the_others_as_torchs(name):
    hyper, changed, holds = INITIAL.get(name, ({}, "", lambda p: True))
    before, after = initialised(name, **hyper)
    expected = set(changed.split()) or {n for n in after if "gain" in n or "shift" in n}
    assert {n for n in after if not torch.equal(before[n], after[n])} == expected
    assert holds(after)
    assert all(p.isfinite().all() and p.grad_fn is None for p in after.values())


@each_name
def test_a_layer_without_biases_is_initialised_too(name):
    _, after = initialised(name, bias=False)
    assert not any(n.startswith("bias") for n in after)


@pytest.mark.parametrize(("name", "index"), [("ugrnn", 1), ("slstm", 0)])
def test_other_gates_keep_their_biases(name, index):
    before, after = initialised(name)
    assert torch.equal(bias(before, index), bias(after, index))


def test_the_catalogue_holds_the_cells_by_their_names():
    assert len(CATALOGUE) >= 26
    for name, cls in CATALOGUE.items():
        assert name == cls.__name__.lower()
        assert getattr(elman.cells, cls.__name__) is cls
        assert "Source" in cls.__doc__
        assert repr(by_name(cls.__name__)) == repr(cls())
        assert pickle.loads(pickle.dumps(cls())).trace() is cls().trace()


@pytest.mark.parametrize("name", ["lstmm", "", None, 3])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    with pytest.raises(ValueError, match=r"name must be one of .*elman, .*slstm, .*got") as caught:
        by_name(name)
    assert str(caught.value).endswith(repr(name))


def test_an_unknown_hyper_parameter_is_refused():
    with pytest.raises(TypeError, match="leek"):
        by_name("leaky", leek=0.5)


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("elman", {"nonlinearity": "tan"}, "nonlinearity must be one of .*'tanh'.*got 'tan'"),
        ("leaky", {"nonlinearity": 3}, "nonlinearity must be .*a function.*got 3"),
        ("janet", {"horizon": 1}, "horizon must be at least 2 steps, got 1"),
        ("janet", {"horizon": math.nan}, "horizon must be at least 2 steps, got nan"),
        ("slstm", {"forget": "tanh"}, "forget must be 'sigmoid' or 'exp', got 'tanh'"),
    ],
)
def test_hyper_parameters_that_cannot_be_are_refused(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        by_name(name, **hyper)


@pytest.mark.parametrize("name", activation.ACTIVATIONS)
def test_an_activation_may_be_named_or_given(name):
    function = activation.ACTIVATIONS[name]
    assert Elman(name).trace() is Elman(function).trace()
    assert name == "identity" or function is getattr(functions, name)


def test_an_activation_may_be_composed():
    assert Elman(lambda a: functions.tanh(a) * 0.5).trace() is not Elman().trace()


def test_the_parametrization_keeps_a_matrix_antisymmetric():
    layer = elman.RNN(2, 5)
    parametrize.register_parametrization(layer, "weight_hh_l0", Antisymmetric())
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    before = layer.weight_hh_l0.detach().clone()
    layer(torch.rand(3, 1, 2))[0].sum().backward()
    optimiser.step()
    after = layer.weight_hh_l0.detach()
    assert torch.equal(after, -after.T)
    assert not torch.equal(after, before)
