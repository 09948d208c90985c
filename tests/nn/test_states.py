"""``return_states=True``: every layer's states at every step, and what a formula gives out."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent
from elman.errors import PathError
from tests.cells import CATALOGUE, CELLS
from tests.compiler.targets import each_isa, force
from tests.nn.kinds import (
    LAYERS,
    LENGTHS,
    RAGGED,
    STACK,
    B,
    H,
    I,
    Kind,
    T,
    assert_same_bits,
    each,
    further,
    loss_of,
    options_of,
    tensors,
    units_of,
)
from tests.tolerances import assert_close

pytestmark = [pytest.mark.usefixtures("kernel_path"), pytest.mark.sampled(5)]
EVERY = CELLS | CATALOGUE
each_cell = pytest.mark.parametrize("name", EVERY)
OPTIONS: dict[str, dict[str, Any]] = {
    "one": {},
    "two ways": {"bidirectional": True},
    "stack": STACK,
    "sizes": {"hidden_size": [5, 4, 9], "bidirectional": True},
    "residual": {"num_layers": 2, "residual": True, "learn_initial": True},
    "merged": {**STACK, "merge": "sum", "batch_first": True},
    "recomputed": {**STACK, "recompute": True},
}
each_option = pytest.mark.parametrize("option", OPTIONS)


def states_of(value: Any) -> list[Any]:
    """One for each state and output."""
    return [*value] if isinstance(value, tuple) else [value]


def made(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> Recurrent:
    torch.manual_seed(1)
    cell = EVERY[name]
    size = options.pop("hidden_size", units_of(cell))
    if not isinstance(size, int):
        size = [n + -n % cell.heads for n in size]
    return Recurrent(cell, I, size, **options_of(cell), **options, dtype=dtype)


def results_and_gradients(net: Any, asked: str, *given: Any, **named: Any) -> list[Tensor]:
    """Of a call, all results and the gradients of a loss of those that are ``asked``."""
    named = {k: v for k, v in named.items() if v is not None}
    x = given[0].detach().requires_grad_()
    output, final, states = net(x, *given[1:], **named, return_states=True)
    parts = {"output": [output], "states": tensors(states), "final": tensors(final)}
    every = [*parts["output"], *parts["final"], *parts["states"]]
    leaves = [x, *net.parameters()]
    wanted = [t for part in asked.split() for t in parts[part]]
    gradients = torch.autograd.grad(
        loss_of(wanted), leaves, allow_unused=True, materialize_grads=True
    )
    return [*every, *gradients]


# What they are


@each_cell
def test_they_are_what_single_steps_reach(name: str) -> None:
    """Step after step, each layer's final states are its states at every step."""
    net = made(name, num_layers=2)
    x, more = torch.randn(T, B, I, dtype=torch.float64), further(EVERY[name], T, B)
    more = more and {k: v.double() for k, v in more.items()}
    output, final, states = net(x, inputs=more, return_states=True)
    assert_same_bits(tensors((output, final)), tensors(net(x, inputs=more)))
    count = len(net.cell.states)
    hx, reached = None, []
    for t in range(T):
        now = more and {k: v[t : t + 1] for k, v in more.items()}
        _, hx = net(x[t : t + 1], hx, inputs=now)
        reached.append(tensors(hx))
    expected = [torch.stack(parts, 1) for parts in zip(*reached, strict=True)]
    assert_same_bits(states_of(states)[:count], expected)
    assert len(states_of(states)) == count + len(net.cell.outputs)


@pytest.mark.parametrize("asked", ["states", "output", "output final states"])
@each_cell
def test_kernels_and_reference_agree(name: str, asked: str) -> None:
    net, x = made(name, bidirectional=True), torch.randn(7, 3, I, dtype=torch.float64)
    more = further(EVERY[name], 7, 3)
    given = {"inputs": more and {k: v.double() for k, v in more.items()}}
    found = results_and_gradients(net, asked, x, **given)
    with elman.set_path("reference"):
        expected = results_and_gradients(net, asked, x, **given)
    assert any(g.any() for g in expected[-4:])
    for a, e in zip(found, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


@each_isa
@pytest.mark.parametrize("name", ["LSTM", "Gauge"])
@pytest.mark.parametrize(("B", "H"), [(1, 37), (3, 19)], ids=["one row", "batch"])
def test_every_isa_agrees_with_the_reference(row: Any, name: str, B: int, H: int) -> None:
    net = made(name, bidirectional=True, hidden_size=H)
    x = torch.randn(5, B, I, dtype=torch.float64)
    with force(row):
        found = results_and_gradients(net, "output states", x)
    with elman.set_path("reference"):
        expected = results_and_gradients(net, "output states", x)
    for a, e in zip(found, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


@each_option
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "Gauge", "Projected"])
def test_options_agree_with_the_reference(name: str, option: str, lengths: Any) -> None:
    options = OPTIONS[option]
    if name == "Projected" and option in ("residual", "sizes"):
        options = {"num_layers": 3}
    net, x = made(name, **options), torch.randn(T, B, I, dtype=torch.float64)
    x = x.transpose(0, 1) if options.get("batch_first") else x
    net.dropout = 0.0
    found = results_and_gradients(net, "output states", x, lengths=lengths)
    with elman.set_path("reference"):
        expected = results_and_gradients(net, "output states", x, lengths=lengths)
    for a, e in zip(found, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)
    again = results_and_gradients(net, "output states", x, lengths=lengths)  # as a known call
    assert_same_bits(found, again)


@pytest.mark.parametrize("option", ["one", "stack", "recomputed"])
@pytest.mark.parametrize("name", ["LSTM", "Gauge", "Projected"])
def test_the_gradients_of_initial_states(name: str, option: str) -> None:
    """They are read where the first step's gradient is, in any layout."""
    net, x = made(name, **OPTIONS[option]), torch.randn(300, 3, I, dtype=torch.float64)
    count = net.num_layers * net.directions
    sizes = [2 if name == "Projected" and not i else H for i in range(2)]
    given = [torch.randn(size, 3, count, dtype=torch.float64) for size in sizes]
    results = []
    for path in ("kernel", "kernel", "reference"):
        leaves = [t.clone().requires_grad_() for t in given]
        with elman.set_path(path):
            found = net(x, tuple(t.permute(2, 1, 0) for t in leaves), return_states=True)
        every = tensors(found)
        gradients = torch.autograd.grad(loss_of(every), [*leaves, *net.parameters()])
        results.append([*every, *gradients])
    assert_same_bits(*results[:2])
    for a, e in zip(results[0], results[2], strict=True):
        torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-10)


def test_spans_of_time_give_the_same_bits() -> None:
    net, x = made("Gauge", **STACK), torch.randn(300, 2, I, dtype=torch.float64)
    expected = results_and_gradients(net, "output states", x)
    net.recompute = True
    assert_same_bits(results_and_gradients(net, "output states", x), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"zoneout": 0.3, "state_clip": 0.5, "grad_clip": 1.0},
        {"input_dropout": 0.4, "state_dropout": 0.3, "output_dropout": 0.5, "dropout": 0.2},
        {"weight_dropout": 0.4, "state_noise": 0.1},
    ],
    ids="+".join,
)
def test_what_regularises_draws_the_same_numbers(options: Any, training: bool) -> None:
    net, x = made("Gauge", **STACK, **options), torch.randn(T, B, I, dtype=torch.float64)
    net.train(training)
    found = []
    for path in ("kernel", "kernel", "reference"):
        with elman.set_path(path):
            torch.manual_seed(7)
            plain = tensors(net(x))
            torch.manual_seed(7)
            found.append(results_and_gradients(net, "output states", x))
        assert_same_bits(found[-1][: len(plain)], plain)
    assert_same_bits(*found[:2])
    for a, e in zip(found[0], found[2], strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


def test_the_reverse_direction_has_its_own_time() -> None:
    net, x = elman.LSTM(I, H, bidirectional=True), torch.randn(T, B, I)
    one = elman.LSTM(I, H)
    one.load_state_dict({n[:-8]: p for n, p in net.named_parameters() if n.endswith("reverse")})
    _, _, both = net(x, return_states=True)
    _, _, alone = one(x.flip(0), return_states=True)
    assert_same_bits([s[1] for s in both], [s[0].flip(0) for s in alone])


def test_the_gradient_has_a_gradient() -> None:
    net, x = made("Gauge"), torch.randn(3, 2, I, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor) -> Tensor:
        return torch.stack([s.pow(2).sum() for s in net(x, return_states=True)[2]])

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_what_a_formula_gives_out(path: str) -> None:
    net, x = made("Gauge", bidirectional=True), torch.randn(T, B, I, dtype=torch.float64)
    with elman.set_path(path):
        output, _, (h, m, gate, score, energy, before) = net(x, return_states=True)
    assert_same_bits([output], [torch.cat([*h], -1)])
    h0 = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
    torch.testing.assert_close(energy[0], (h[0] * h0[0]).mean(-1, keepdim=True).expand(T, B, H))
    assert_same_bits([before[0, 1:], before[1, :-1]], [m[0, :-1], m[1, 1:]])
    w, b = net.weight_ih_l0[2 * H :], net.bias_ih_l0[2 * H :]
    torch.testing.assert_close(score[0], (x @ w.T + b + net.weight_v_l0 * before[0]).tanh())
    torch.testing.assert_close(h[0], (1 - gate[0]) * _candidate(net, x, h0[0]) + gate[0] * h0[0])


def _candidate(net: Any, x: Tensor, h: Tensor) -> Tensor:
    a = torch.nn.functional.linear(x, net.weight_ih_l0, net.bias_ih_l0)[..., H : 2 * H]
    return (a + torch.nn.functional.linear(h, net.weight_hh_l0, net.bias_hh_l0)[..., H:]).tanh()


# Their form


@each(LAYERS)
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, STACK], ids=str)
def test_the_form_is_that_of_the_final_states(kind: Kind, options: dict[str, Any]) -> None:
    net, x = kind.make(elman, **options), torch.randn(T, B, I)
    x = x.transpose(0, 1) if net.batch_first else x
    output, final, states = net(x, return_states=True)
    assert type(states) is type(final)
    for state, end in zip(tensors(states), tensors(final), strict=True):
        lead = (B, T) if net.batch_first else (T, B)
        assert state.shape == (end.shape[0], *lead, end.shape[-1])
    top = tensors(states)[0][-1 - net.bidirectional :]
    assert_same_bits([output], [torch.cat([*top], -1)])
    _, _, one = net(x[0] if net.batch_first else x[:, 0], return_states=True)
    first = [s[:, 0] if net.batch_first else s[:, :, 0] for s in tensors(states)]
    assert_same_bits(tensors(one), first)


@pytest.mark.parametrize("option", ["one", "stack", "sizes"])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "Gauge"])
def test_packed_states_are_packed_by_layer_and_direction(name: str, option: str) -> None:
    net, x = made(name, **OPTIONS[option]), torch.randn(T, B, I, dtype=torch.float64)
    packed = pack_padded_sequence(x, RAGGED, enforce_sorted=False)
    output, final, states = net(packed, return_states=True)
    padded = net(x, lengths=RAGGED, return_states=True)
    assert_same_bits([pad_packed_sequence(output)[0], *tensors(final)], tensors(padded[:2]))
    for found, expected in zip(states_of(states), states_of(padded[2]), strict=True):
        assert type(found) is list
        ways = found if type(expected) is not list else [way for layer in found for way in layer]
        assert all(isinstance(way, PackedSequence) for way in ways)
        padded_ways = [
            way for layer in expected for way in ([layer] if layer.dim() == 3 else layer)
        ]
        assert_same_bits([pad_packed_sequence(way)[0] for way in ways], padded_ways)


def test_sizes_by_layer_make_lists() -> None:
    net = Recurrent(elman.cells.LSTM, I, [4, 7], bidirectional=True)
    _, final, states = net(torch.randn(T, B, I), return_states=True)
    assert [[s.shape for s in state] for state in states] == [[(2, T, B, 4), (2, T, B, 7)]] * 2
    again = net(torch.randn(T, B, I), final, return_states=True)[2]
    assert [type(state) for state in again] == [list, list]


def test_states_are_zero_behind_the_end_of_a_row() -> None:
    net, x = made("Gauge", **STACK), torch.randn(T, B, I, dtype=torch.float64)
    for path in ("kernel", "reference"):
        with elman.set_path(path):
            states = net(x, lengths=LENGTHS, return_states=True)[2]
        for state in states:
            for row, length in enumerate(LENGTHS):
                assert not state[:, length:, row].any()
        assert states[0][:, 1, 0].all()


# How they are had


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each(LAYERS)
def test_dtypes(kind: Kind, dtype: torch.dtype) -> None:
    net = kind.make(elman, **STACK)
    x = torch.randn(T, B, I).to(dtype)
    narrow = copy.deepcopy(net).to(dtype)
    wide = copy.deepcopy(narrow).double()
    found = narrow(x, return_states=True)
    assert_same_bits(tensors(found[:2]), tensors(narrow(x)))
    assert {t.dtype for t in tensors(found)} == {dtype}
    for a, e in zip(tensors(found), tensors(wide(x.double(), return_states=True)), strict=True):
        bound = {torch.float32: 1e-5, torch.float16: 5e-3}.get(dtype, 4e-2)
        torch.testing.assert_close(a.double(), e, rtol=bound, atol=bound)


def test_under_autocast() -> None:
    net, x = elman.LSTM(I, H, **STACK), torch.randn(T, B, I)
    with torch.autocast("cpu", torch.bfloat16):
        found, plain = net(x, return_states=True), net(x)
    assert_same_bits(tensors(found[:2]), tensors(plain))
    assert {t.dtype for t in tensors(found)} == {t.dtype for t in tensors(plain)}


@each(LAYERS)
def test_dropout_draws_the_same_numbers(kind: Kind) -> None:
    net, x = kind.make(elman, num_layers=3, dropout=0.5), torch.randn(T, B, I)
    torch.manual_seed(3)
    expected = net(x)
    torch.manual_seed(3)
    found = net(x, return_states=True)
    assert_same_bits(tensors(found[:2]), tensors(expected))
    assert tensors(found[2])[0][0].all()  # below the dropout


@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True}, {"zoneout": 0.3, "input_dropout": 0.2}, {"output_dropout": 0.5}],
    ids="+".join,
)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "Gauge"])
def test_a_repeated_call_is_that_of_the_first_time(
    name: str, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = made(name, **options), torch.randn(T, B, I, dtype=torch.float64)
    torch.manual_seed(3)
    expected = results_and_gradients(net, "output states", x)
    if "output_dropout" not in options:  # whose states are those before it
        monkeypatch.setattr(Recurrent, "_run_layers", None)
    for _ in range(2):
        torch.manual_seed(3)
        assert_same_bits(results_and_gradients(net, "output states", x), expected)


def test_the_output_and_the_states_are_apart() -> None:
    """Each may change in place, before the backward pass too."""
    net, x = elman.LSTM(I, H), torch.randn(T, B, I)
    _, _, (h, c) = net(x, return_states=True)
    h.sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    output, _, (h, c) = net(x, return_states=True)
    before = h.clone()
    output.mul_(2)
    assert_same_bits([h], [before])
    h.sum().backward()
    assert_same_bits([p.grad for p in net.parameters()], expected)
    _, _, (h, c) = net(x, return_states=True)
    c.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def test_known_calls_with_and_without_are_told_apart() -> None:
    for make in (elman.RNN, elman.LSTM):
        net, x = make(I, H, 2), torch.randn(T, B, I)
        for _ in range(3):
            assert len(net(x)) == 2
            assert len(net(x, return_states=True)) == 3


def test_cells_of_one_formula_may_give_out_different_values() -> None:
    class Both(elman.Cell):
        gates = ("a",)
        outputs = ("it",)
        which = 0

        def step(self, x: Any, u: Any, s: Any) -> Any:
            h = elman.tanh(x.a + u.a)
            return h, (h * 2, h * 3)[self.which]

    one, two = Both(), Both()
    two.which = 1
    assert one.trace().text == two.trace().text
    assert one.trace() is not two.trace()
    nets = [Recurrent(cell, I, H) for cell in (one, two)]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.randn(T, B, I)
    (h, a), (_, b) = (net(x, return_states=True)[2] for net in nets)
    assert_same_bits([a, b], [h * 2, h * 3])


def test_copies_give_out_the_same() -> None:
    net, x = made("Gauge"), torch.randn(T, B, I, dtype=torch.float64)
    expected = tensors(net(x, return_states=True))
    assert_same_bits(tensors(copy.deepcopy(net)(x, return_states=True)), expected)
    assert_same_bits(tensors(pickle.loads(pickle.dumps(net))(x, return_states=True)), expected)


def test_accelerated_models_return_states() -> None:
    model = torch.nn.ModuleList([torch.nn.LSTM(I, H, 2)])
    elman.accelerate(model)
    output, _, (h, _) = model[0](torch.randn(T, B, I), return_states=True)
    assert_same_bits([output], [h[-1]])


# Other paths


@each(LAYERS)
@pytest.mark.parametrize("layers", [1, 2])
def test_where_torch_runs(kind: Kind, layers: int) -> None:
    """Its operators give out the last layer's first state only: the reference has the others."""
    net, x = kind.make(elman, num_layers=layers, bidirectional=True), torch.randn(T, B, I)
    expected = tensors(net(x, return_states=True))
    serves = kind.states == layers == 1
    (report,) = elman.explain(net, return_states=True).layers
    assert report.path == "kernel"
    with elman.set_path("torch"):
        assert elman.explain(net).layers[0].path == "torch"
        (report,) = elman.explain(net, return_states=True).layers
        if not serves:
            assert report.path == "none"
            with pytest.raises(PathError, match="has no operator"):
                net(x, return_states=True)
            return
        assert report.path == "torch"
        found = tensors(net(x, return_states=True))
    for a, e in zip(found, expected, strict=True):
        assert_close(a, e, "same")


def test_a_graph_of_fx_asks_for_them() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.own = elman.LSTM(I, H), made("Gauge", torch.float32)

        def forward(self, x: Tensor) -> Any:
            _, _, (h, c) = self.lstm(x, return_states=True)
            return h, c, self.own(x, return_states=True)[2]

    model, x = Model(), torch.randn(T, B, I)
    assert_same_bits(tensors(torch.fx.symbolic_trace(model)(x)), tensors(model(x)))
