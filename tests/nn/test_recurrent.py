"""Any cell as a stack of layers or as one step: against torch.nn, the reference, and itself."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent, RecurrentCell
from tests.cells import CELLS
from tests.nn.kinds import (
    B,
    H,
    I,
    T,
    assert_all_close,
    assert_same,
    assert_same_bits,
    call,
    loss_of,
    tensors,
)

STACK: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
LENGTHS = [2, 0, 6, 2]
RAGGED = [2, 5, 6, 2]


class Leaky(elman.Cell):
    """A number that may be changed, and an initialisation of its own."""

    gates = ("a",)

    def __init__(self, leak: float = 0.1) -> None:
        self.leak = leak

    def initialise(self, parameters: Any) -> None:
        parameters["bias_hh"].fill_(0.5)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return (1 - self.leak) * s.h + self.leak * elman.tanh(x.a + u.a)


class Changing(elman.Cell):
    """A formula whose parameters depend on a number."""

    gates = ("a",)
    states = ("h",)

    def __init__(self) -> None:
        self.vectors: tuple[str, ...] = ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h = elman.tanh(x.a + u.a)
        return h * self.vector("v") if self.vectors else h


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


def further(cell: elman.Cell, *lead: int, dtype: Any = torch.float32) -> dict[str, Tensor] | None:
    """Random further inputs, if the cell has any."""
    names = cell.trace().inputs
    return {n: torch.randn(*lead, 1 if n == "gap" else H, dtype=dtype) for n in names} or None


def options_of(cell: elman.Cell) -> dict[str, Any]:
    return {"proj_size": 2} if cell.projection else {}


def seeded(make: Callable[..., torch.nn.Module], *args: Any, **options: Any) -> torch.nn.Module:
    torch.manual_seed(1)
    return make(*args, **options)


# As torch.nn's


@pytest.mark.parametrize("options", [{}, STACK, {"bias": False, "batch_first": True}], ids=str)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "LSTM-projected", "GRU"])
def test_layers_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    if name.endswith("projected"):
        options, cell = options | {"proj_size": 2}, CELLS["Projected"]
    else:
        cell = {"RNN": elman.cells.Elman, "LSTM": elman.cells.LSTM, "GRU": elman.cells.GRU}[name]
    theirs = seeded(getattr(torch.nn, name.partition("-")[0]), I, H, **options)
    ours = seeded(Recurrent, cell, I, H, **options)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert_same_bits(list(ours.state_dict().values()), list(state.values()))
    x = torch.randn(B, T, I)
    assert_same(theirs, ours, x)
    hx = theirs(x)[1]
    assert_same(theirs, ours, x, hx)
    assert_same(theirs, ours, x[0])
    packed = pack_padded_sequence(x, RAGGED, batch_first=True, enforce_sorted=False)
    (ours_x, ours_h), (theirs_x, theirs_h) = ours(packed), theirs(packed)
    assert torch.equal(ours_x.batch_sizes, theirs_x.batch_sizes)
    assert_all_close(tensors((ours_x, ours_h)), tensors((theirs_x, theirs_h)))


def test_dropout_draws_as_torch_draws() -> None:
    theirs = seeded(torch.nn.GRU, I, H, 3, dropout=0.5)
    ours = seeded(Recurrent, elman.cells.GRU, I, H, 3, dropout=0.5)
    x = torch.randn(T, B, I)
    results = [seeded(module, x)[0] for module in (theirs, ours)]
    assert_all_close(results[1:], results[:1])
    assert_same(theirs.eval(), ours.eval(), x)


# Any cell


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("name", CELLS)
def test_kernels_and_reference_agree(name: str, lengths: list[int] | None) -> None:
    cell = CELLS[name]
    net = Recurrent(cell, I, H, **STACK, **options_of(cell), learn_initial=True).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x, given = torch.randn(T, B, I).double(), further(cell, T, B, dtype=torch.float64)
    results = []
    for path in ("kernel", "reference"):
        with elman.set_path(path):
            leaf = x.clone().requires_grad_()
            each = {n: v.clone().requires_grad_() for n, v in (given or {}).items()}
            found = tensors(net(leaf, lengths=lengths, inputs=each))
            leaves = [leaf, *each.values(), *net.parameters()]
            gradients = torch.autograd.grad(loss_of(found), leaves, materialize_grads=True)
            results.append([*found, *gradients])
    assert all(p.any() for p in results[0][:2])
    assert_all_close(*results)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_a_single_step_gives_the_bits_of_the_layer(name: str, bias: bool) -> None:
    cell = CELLS[name]
    net = Recurrent(cell, I, H, bias=bias, **options_of(cell))
    single = seeded(RecurrentCell, cell, I, H, bias=bias, **options_of(cell))
    net.load_state_dict({f"{k}_l0": v for k, v in single.state_dict().items()})
    x, given = torch.randn(T, B, I), further(cell, T, B)
    output, final = net(x, inputs=given)
    state, outputs = None, []
    for t in range(T):
        state = single(x[t], state, None if given is None else {n: v[t] for n, v in given.items()})
        outputs.append(tensors(state)[0])
    assert_same_bits([torch.stack(outputs)], [output])
    assert_same_bits(tensors(state), [f[0] for f in tensors(final)])
    row = {n: v[0, 0] for n, v in given.items()} if given else None
    one = single(x[0, 0], inputs=row)
    assert torch.equal(tensors(one)[0], outputs[0][0])


def test_only_what_the_formula_reads_is_there() -> None:
    names = [n for n, _ in Recurrent(CELLS["Peephole"], I, H, bias=False).named_parameters()]
    kinds = ("ih", "hh", "ci", "cf", "co")
    assert names == [f"weight_{k}_l0" for k in kinds]
    assert list(RecurrentCell(CELLS["Blind"], I, H).state_dict()) == ["weight_hh", "bias_hh"]


def test_a_cell_initialises_every_layer() -> None:
    net = Recurrent(Leaky, I, H, **STACK)
    biases = [p for n, p in net.named_parameters() if n.startswith("bias_hh")]
    assert len(biases) == 4
    assert all((b == 0.5).all() for b in biases)
    assert net.weight_ih_l0.abs().max() <= H**-0.5


# Lengths


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "hx"])
def test_lengths_give_what_each_row_gives_alone(batch_first: bool, given: bool) -> None:
    net = Recurrent(elman.cells.LSTM, I, H, **STACK, batch_first=batch_first)
    x = torch.randn(T, B, I)
    hx = tuple(torch.randn(4, B, H) for _ in "hc") if given else None
    turn = (lambda v: v.transpose(0, 1)) if batch_first else (lambda v: v)
    output, final = net(turn(x), hx, lengths=torch.tensor(LENGTHS))
    output = turn(output)
    for b, steps in enumerate(LENGTHS):
        mine = None if hx is None else tuple(s[:, b : b + 1] for s in hx)
        assert not output[steps:, b].any()
        states = [s[:, b : b + 1] for s in final]
        if steps:
            alone, last = net(turn(x[:steps, b : b + 1]), mine)
            assert_all_close([output[:steps, b : b + 1], *states], [turn(alone), *last])
        else:
            before = mine or [torch.zeros_like(s) for s in states]
            assert_same_bits(states, list(before))


def test_lengths_are_those_of_packed_sequences() -> None:
    net = Recurrent(elman.cells.GRU, I, H, **STACK)
    x = torch.randn(T, B, I)

    def packed(x: Tensor) -> Any:
        output, final = net(pack_padded_sequence(x, RAGGED, enforce_sorted=False))
        return pad_packed_sequence(output)[0], final

    results = []
    for run in (packed, lambda x: net(x, lengths=RAGGED)):
        leaf = x.clone().requires_grad_()
        found = tensors(run(leaf))
        results.append([*found, *torch.autograd.grad(loss_of(found), [leaf, *net.parameters()])])
    assert_same_bits(*results)


@pytest.mark.parametrize("lengths", [torch.zeros(B, dtype=torch.int32), []], ids=["zeros", "none"])
def test_lengths_of_nothing_give_zeros(lengths: Any) -> None:
    net = Recurrent(CELLS["Seer"], I, H, **STACK)
    x = torch.randn(T, len(lengths), I)
    with elman.set_path("auto"):
        output, final = net(x, lengths=lengths, inputs=further(net.cell, T, len(lengths)))
    assert output.shape == (T, len(lengths), 2 * H)
    assert not output.any()
    assert all(not s.any() for s in final)
    gradients = torch.autograd.grad(output.sum() + final[0].sum(), list(net.parameters()))
    assert all(not g.any() for g in gradients)


# Options


def test_every_layer_has_its_size() -> None:
    net = Recurrent(elman.cells.LSTM, I, [4, 7, 2], bidirectional=True)
    x = torch.randn(T, B, I)
    output, (h, c) = net(x)
    assert output.shape == (T, B, 4)
    assert [s.shape for s in (*h, *c)] == [(2, B, size) for size in (4, 7, 2)] * 2
    first, second = output[:3], net(x[3:], net(x[:3])[1])[0]
    assert not torch.equal(second, output[3:])  # the reverse half knows the end only
    layers, below = [elman.LSTM(i, o, bidirectional=True) for i, o in ((I, 4), (8, 7), (14, 2))], x
    for i, layer in enumerate(layers):
        layer.load_state_dict(
            {n.replace(f"l{i}", "l0"): p for n, p in net.named_parameters() if f"_l{i}" in n}
        )
        below, (h_n, c_n) = layer(below)
        assert_same_bits([h[i], c[i]], [h_n, c_n])
    assert_same_bits([output, output[:3]], [below, first])
    final = net(x, (h, c), lengths=LENGTHS)[1]
    assert_same_bits([s[:, 1] for s in (*final[0], *final[1])], [s[:, 1] for s in (*h, *c)])


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("sum", lambda a, b: a + b),
        ("mean", lambda a, b: (a + b) / 2),
        ("mul", lambda a, b: a * b),
    ],
)
def test_directions_are_merged(merge: str, expected: Callable[[Tensor, Tensor], Tensor]) -> None:
    net = Recurrent(elman.cells.GRU, I, H, **STACK, merge=merge)
    lower, upper = (elman.GRU(i, H, bidirectional=True) for i in (I, H))
    for i, layer in enumerate((lower, upper)):
        state = {n.replace(f"l{i}", "l0"): p for n, p in net.named_parameters() if f"_l{i}" in n}
        layer.load_state_dict(state)
    x = torch.randn(T, B, I)
    middle = expected(*lower(x)[0].chunk(2, -1))
    assert_same_bits([net(x)[0]], [expected(*upper(middle)[0].chunk(2, -1))])


def test_residuals_add_the_input_of_upper_layers() -> None:
    net = Recurrent(elman.cells.GRU, I, H, 2, residual=True)
    plain = Recurrent(elman.cells.GRU, I, H, 2)
    plain.load_state_dict(net.state_dict())
    lower = Recurrent(elman.cells.GRU, I, H)
    lower.load_state_dict({n: p for n, p in net.named_parameters() if "l0" in n})
    x = torch.randn(T, B, I)
    assert_same_bits([net(x)[0]], [lower(x)[0] + plain(x)[0]])


def test_initial_states_are_learned_unless_given() -> None:
    net = Recurrent(elman.cells.LSTM, I, H, **STACK, learn_initial=True)
    learned = {n: p for n, p in net.named_parameters() if n.startswith("initial_")}
    ways = [f"_l{i}{way}" for i in range(2) for way in ("", "_reverse")]
    assert sorted(learned) == sorted(f"initial_{s}{way}" for s in "hc" for way in ways)
    assert all(p.shape == (H,) and not p.any() for p in learned.values())
    x = torch.randn(T, B, I)
    for p in learned.values():
        torch.nn.init.normal_(p)
    given = tuple(
        torch.stack([learned[f"initial_{s}{way}"].expand(B, H) for way in ways]) for s in "hc"
    )
    assert_same_bits(tensors(net(x)), tensors(net(x, given)))
    final = net(x, lengths=LENGTHS)[1]
    assert_same_bits([f[:, 1] for f in final], [g[:, 1] for g in given])
    net(x)[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in learned.values())
    zeros = tuple(torch.zeros_like(g) for g in given)
    assert_same_bits(tensors(net(x, zeros)), tensors(net(x, lengths=[T] * B, hx=zeros)))


def test_further_inputs_are_given_by_name() -> None:
    net = Recurrent(CELLS["Reset"], I, H, **STACK, batch_first=True)
    x, keep = torch.randn(B, T, I), torch.rand(B, T, 1) > 0.4
    output, final = net(x, inputs={"keep": keep})
    full = keep.float().expand(B, T, H)
    assert_same_bits([output, final], list(net(x, inputs={"keep": full})))
    packed, kept = (
        pack_padded_sequence(v, RAGGED, batch_first=True, enforce_sorted=False) for v in (x, full)
    )
    found, final = net(packed, inputs={"keep": kept})
    found = pad_packed_sequence(found, batch_first=True)[0]
    assert_same_bits([found, final], list(net(x, lengths=RAGGED, inputs={"keep": keep})))
    assert_same_bits([net(x[0], inputs={"keep": keep[0]})[0]], [output[0]])
    single = RecurrentCell(CELLS["Reset"], I, H)
    single.load_state_dict({n[:-3]: p for n, p in net.named_parameters() if n.endswith("_l0")})
    h = torch.randn(B, H)
    reset = single(x[:, 0], h, {"keep": torch.zeros(B, 1, dtype=torch.bool)})
    assert_same_bits([reset], [single(x[:, 0], inputs={"keep": torch.ones(B, 1)})])


def test_recomputed_gradients_are_the_same() -> None:
    cell, x = elman.cells.LSTM(), torch.randn(50, 2, I)
    results = [
        call(seeded(Recurrent, cell, I, H, **STACK, recompute=recompute), x)
        for recompute in (False, True)
    ]
    assert_same_bits(*results)


# Constraints


@pytest.mark.parametrize("owner", [elman.LSTM, lambda *a: Recurrent(elman.cells.LSTM, *a)])
def test_masked_weights_stay_zero_in_every_gate(owner: Callable[..., torch.nn.Module]) -> None:
    mask = torch.rand(H, H) > 0.5
    net = owner(I, H)
    register_parametrization(net, "weight_hh_l0", elman.nn.Mask(mask))
    blocks = mask.repeat(4, 1)
    assert not net.weight_hh_l0[~blocks].any()
    net(torch.randn(T, B, I))[0].sum().backward()
    gradient = net.parametrizations.weight_hh_l0.original.grad
    assert torch.equal(gradient != 0, blocks)


def test_a_mask_is_on_every_recurrent_weight() -> None:
    mask = torch.rand(H, H) > 0.5
    net = Recurrent(elman.cells.GRU, I, H, 2, bidirectional=True, mask=mask)
    weights = [p for name, p in named_weights(net) if name.startswith("weight_hh")]
    assert len(weights) == 4
    assert not any(w[~mask.repeat(3, 1)].any() for w in weights)
    plain = Recurrent(elman.cells.GRU, I, H, 2, bidirectional=True)
    plain.load_state_dict(dict(named_weights(net)))
    x = torch.randn(T, B, I)
    assert_same_bits(tensors(net(x)), tensors(plain(x)))
    cell = RecurrentCell(elman.cells.GRU, I, H, mask=mask)
    assert not cell.weight_hh[~mask.repeat(3, 1)].any()
    signs = Recurrent(elman.cells.Elman, I, H, mask=elman.nn.Dale([1, 1, -1, -1, 1]))
    assert signs.weight_hh_l0.sign()[0].tolist() == [1, 1, -1, -1, 1]


def named_weights(net: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, getattr(net, name)) for each in net._names for name in each.values()]


def test_every_unit_has_one_sign() -> None:
    signs = torch.tensor([1.0, -1, 1, 1, -1])
    net = Recurrent(elman.cells.Elman, I, H)
    before = net.weight_hh_l0.detach().clone()
    register_parametrization(net, "weight_hh_l0", elman.nn.Dale(signs))
    assert torch.equal(net.weight_hh_l0, before.abs() * signs)
    plain = Recurrent(elman.cells.Elman, I, H)
    plain.load_state_dict({n: getattr(net, n) for n in plain.state_dict()})
    x = torch.randn(T, B, I)
    assert_same_bits(tensors(net(x)), tensors(plain(x)))
    for module in (net, plain):
        module(x)[0].sum().backward()
    gradient = net.parametrizations.weight_hh_l0.original.grad
    assert_same_bits([gradient], [plain.weight_hh_l0.grad * signs * before.sign()])
    net.reset_parameters()
    assert torch.equal(net.weight_hh_l0.sign(), signs.expand(H, H))
    assert net.weight_hh_l0.abs().max() <= H**-0.5


# What is done with modules


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_give_the_same(copied: Callable[[Any], Any]) -> None:
    net, x = Recurrent(Leaky(0.3), I, [4, 6], learn_initial=True), torch.randn(T, B, I)
    single = RecurrentCell(Leaky(0.3), I, H)
    for module, given in ((net, x), (single, x[0])):
        other = copied(module)
        assert repr(other) == repr(module)
        assert_same_bits(call(other, given), call(module, given))


def test_parametrized_modules_are_copied_too() -> None:
    net, x = Recurrent(Leaky, I, H), torch.randn(T, B, I)
    register_parametrization(net, "weight_hh_l0", elman.nn.Mask(torch.eye(H)))
    assert_same_bits(call(copy.deepcopy(net), x), call(net, x))


def test_parameters_come_from_anywhere() -> None:
    net, x = Recurrent(Leaky, I, H, learn_initial=True), torch.randn(T, B, I)
    values = {n: torch.randn_like(p) for n, p in net.named_parameters()}
    found = torch.func.functional_call(net, values, (x,))
    net.load_state_dict(values)
    assert_same_bits(tensors(found), tensors(net(x)))
    meta = Recurrent(Leaky, I, H, learn_initial=True, device="meta")
    with elman.set_path("auto"):
        assert tensors(meta(x.to("meta")))[0].shape == (T, B, H)
    meta.load_state_dict(values, assign=True)
    assert_same_bits(tensors(meta(x)), tensors(found))
    half = copy.deepcopy(net).bfloat16()
    assert {t.dtype for t in tensors(half(x.bfloat16(), lengths=LENGTHS))} == {torch.bfloat16}


def test_changed_numbers_count() -> None:
    net, x = seeded(Recurrent, Leaky(0.1), I, H), torch.randn(T, B, I)
    net.cell.leak = 0.7
    assert_same_bits(tensors(net(x)), tensors(seeded(Recurrent, Leaky(0.7), I, H)(x)))
    changing = RecurrentCell(Changing, I, H)
    changing.cell.vectors = ("v",)
    with pytest.raises(RuntimeError, match="has other parameters than this module was made with"):
        changing(x[0])


def test_repr_shows_what_differs_from_the_defaults() -> None:
    net = Recurrent(Leaky, I, [4, 6], bidirectional=True, merge="sum")
    shown = "Leaky(leak=0.1), 3, (4, 6), num_layers=2, bidirectional=True, merge='sum'"
    assert repr(net) == f"Recurrent({shown})"
    assert (
        repr(RecurrentCell(CELLS["GRU"], I, H, False)) == "RecurrentCell(GRU(), 3, 5, bias=False)"
    )


def test_explain_lists_them() -> None:
    net = torch.nn.Sequential(Recurrent(Leaky, I, [11, 13]), RecurrentCell(Leaky, I, H))
    with torch.no_grad():
        net[0](torch.randn(T, B, I))
    first, second = elman.explain(net).layers
    assert (first.name, first.path, second.name, second.path) == ("0", "kernel", "1", "kernel")
    assert "infer" in first.kernels


# torch.compile


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (Leaky(), {}),
        (CELLS["Seer"], {**STACK, "merge": "mean", "learn_initial": True}),
        (CELLS["Projected"], {"num_layers": 2, "residual": True, "proj_size": 3}),
        (elman.cells.LSTM(), {"hidden_size": [4, 6]}),
    ],
    ids=["plain", "inputs", "projected", "sizes"],
)
def test_compiled_modules_give_the_same(cell: elman.Cell, options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    net = Recurrent(cell, I, **{"hidden_size": H, **options})
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for steps, rows in ((4, 2), (6, 3)):
        x, given = torch.randn(steps, rows, I), further(cell, steps, rows)
        results = []
        for module in (net, compiled):
            found = tensors(module(x, inputs=given))
            gradients = torch.autograd.grad(loss_of(found), list(net.parameters()))
            results.append([*found, *gradients])
        assert_all_close(*results)


@pytest.mark.parametrize("cell", [elman.cells.LightGRU(), elman.cells.LayerNormLSTM()], ids=repr)
def test_exported_modules_take_any_length_and_batch(cell: elman.Cell) -> None:
    net = Recurrent(cell, I, H, num_layers=2, bidirectional=True, merge="sum", residual=True)
    sizes = {0: torch.export.Dim("T", min=2, max=500), 1: torch.export.Dim("B", min=2, max=500)}
    program = torch.export.export(net, (torch.randn(T, B, I),), dynamic_shapes={"input": sizes})
    for shape in ((T, B, I), (17, 6, I)):
        x = torch.randn(shape)
        assert_same_bits(tensors(program.module()(x)), tensors(net(x)))


def test_compiled_modules_notice_a_changed_number() -> None:
    torch._dynamo.reset()
    net, x = Recurrent(Leaky(0.1), I, H), torch.randn(T, B, I)
    single = RecurrentCell(Leaky(0.1), I, H)
    compiled, step = (torch.compile(m, fullgraph=True, backend="eager") for m in (net, single))
    assert_all_close([compiled(x)[0], step(x[0])], [net(x)[0], single(x[0])])
    net.cell.leak = 0.7
    with pytest.raises(Exception, match="outside of compilation"):
        compiled(x)
    assert_all_close([net(x)[0]], [compiled(x)[0]])


# Errors


@pytest.mark.parametrize(
    ("error", "message", "cell", "sizes", "options"),
    [
        (TypeError, "expected cell to be an elman.Cell or its class, got 3", 3, (I, H), {}),
        (TypeError, "hidden_size should be of type int, got float", Leaky, (I, 2.0), {}),
        (ValueError, "hidden_size must be greater than zero, got 0", Leaky, (I, 0), {}),
        (ValueError, "input_size must be greater than zero, got -1", Leaky, (-1, H), {}),
        (ValueError, "num_layers must be greater than zero, got 0", Leaky, (I, H, 0), {}),
        (ValueError, "one size for each of the 3 layers, got 2", Leaky, (I, [2, 3], 3), {}),
        (ValueError, "number between 0 and 1, got 1.5", Leaky, (I, H), {"dropout": 1.5}),
        (ValueError, "merge must be one of .* got 'max'", Leaky, (I, H), {"merge": "max"}),
        (
            ValueError,
            "layer 0 to that of layer 1, which have 2 and 3 features",
            Leaky,
            (I, [2, 3]),
            {"residual": True},
        ),
        (ValueError, "does not project its state", Leaky, (I, H), {"proj_size": 2}),
        (ValueError, "projects its state, got proj_size=0", CELLS["Projected"], (I, H), {}),
        (ValueError, "at most hidden_size=5, got 6", CELLS["Narrow"], (I, H), {"proj_size": 6}),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)
def test_wrong_arguments_are_named(
    error: type[Exception], message: str, cell: Any, sizes: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        Recurrent(cell, *sizes, **options)


X = torch.ones(T, B, I)
KEEP = {"keep": torch.ones(T, B, 1)}
PACKED = pack_padded_sequence(X, RAGGED, enforce_sorted=False)


@pytest.mark.parametrize(
    ("error", "message", "x", "options"),
    [
        (ValueError, r"names \['keep'\].* got \[\]", X, {"inputs": None}),
        (ValueError, r"names \['keep'\].* got \['keep', 'x'\]", X, {"inputs": {**KEEP, "x": X}}),
        (TypeError, "inputs to be a dict of tensors by name, got list", X, {"inputs": [X]}),
        (
            RuntimeError,
            r"inputs\['keep'\] to have the 3 .*\(6, 4\)",
            X,
            {"inputs": {"keep": X[..., 0]}},
        ),
        (RuntimeError, r"its sizes or 1 .*\(5, 4, 3\)", X, {"inputs": {"keep": X[:5]}}),
        (RuntimeError, "1 or hidden_size=5, got 3", X, {"inputs": {"keep": X}}),
        (
            RuntimeError,
            r"inputs\['keep'\] of the weights' dtype",
            X,
            {"inputs": {"keep": X.double()}},
        ),
        (TypeError, r"inputs\['keep'\] to be a PackedSequence", PACKED, {}),
        (
            ValueError,
            "lengths between 0 and the 6 steps of input, got 7",
            X,
            {"lengths": [1, 7, 2, 1]},
        ),
        (ValueError, "lengths between 0 .* got -1", X, {"lengths": [1, -1, 2, 1]}),
        (ValueError, "lengths to be integers, got torch.float32", X, {"lengths": torch.ones(B)}),
        (RuntimeError, r"lengths of shape \(4,\), .* got \(3,\)", X, {"lengths": [1, 2, 3]}),
        (ValueError, "got unbatched input", X[:, 0], {"lengths": [1]}),
        (
            ValueError,
            "got a PackedSequence",
            PACKED,
            {"lengths": RAGGED, "inputs": {"keep": PACKED}},
        ),
        (RuntimeError, r"hx of shape \(1, 4, 5\)", X, {"hx": torch.ones(1, B, 4)}),
        (RuntimeError, "hx to be 3-D for batched 3-D input", X, {"hx": torch.ones(B, H)}),
        (RuntimeError, "input_size=3, got 2", X[..., :2], {}),
        (ValueError, "input of the weights' dtype", X.double(), {}),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)
def test_wrong_calls_are_named(
    error: type[Exception], message: str, x: Any, options: dict[str, Any]
) -> None:
    net = Recurrent(CELLS["Reset"], I, H)
    with pytest.raises(error, match=message):
        net(x, **{"inputs": KEEP, **options})


def test_wrong_states_of_layers_of_other_sizes_are_named() -> None:
    net, (h, small) = Recurrent(Leaky, I, [4, 6]), (torch.ones(1, B, 4), torch.ones(1, B, 5))
    for error, message, hx in (
        (TypeError, "hx to be a list of one tensor for each layer", h),
        (RuntimeError, "hx to have one tensor for each of the 2 layers, got 1", [h]),
        (RuntimeError, r"hx\[1\] of shape \(1, 4, 6\), .* got \(1, 4, 5\)", [h, small]),
    ):
        with pytest.raises(error, match=message):
            net(X, hx)


def test_replaced_weights_are_named() -> None:
    net = Recurrent(Leaky, I, H)
    net.bidirectional = True
    with pytest.raises(RuntimeError, match="1 layers in 2 directions, got 1 sets"):
        net(X)
    net.bidirectional = False
    net.weight_hh_l0 = torch.nn.Parameter(torch.ones(4, 4))
    with pytest.raises(RuntimeError, match=r"weight_hh_l0 of shape \(5, 5\), got \(4, 4\)"):
        net(X)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, r"mask to be 2-D .* got shape \(3,\)", lambda: elman.nn.Mask([1, 0, 1])),
        (ValueError, "each 1 or -1, got", lambda: elman.nn.Dale([1, 0, 1])),
        (RuntimeError, r"blocks \(3, 3\)", lambda: elman.nn.Mask(torch.eye(3))(torch.ones(4, 3))),
        (RuntimeError, r"shape \(3, 3\)", lambda: elman.nn.Dale([1, 1])(torch.ones(3, 3))),
        (
            ValueError,
            "this cell does not have",
            lambda: Recurrent(elman.cells.IndRNN, I, H, mask=torch.eye(H)),
        ),
        (RuntimeError, r"blocks \(3, 3\)", lambda: Recurrent(Leaky, I, H, mask=torch.eye(3))),
    ],
    ids=["mask", "signs", "blocks", "columns", "no weight_hh", "another size"],
)
def test_wrong_constraints_are_named(
    error: type[Exception], message: str, make: Callable[[], Any]
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_vmap_over_models_runs_the_reference() -> None:
    nets = [Recurrent(Leaky, I, H) for _ in range(2)]
    parameters, buffers = torch.func.stack_module_state(nets)
    with elman.set_path("auto"):
        found = torch.func.vmap(lambda p, b: torch.func.functional_call(nets[0], (p, b), (X,))[0])(
            parameters, buffers
        )
    assert_all_close(list(found), [net(X)[0] for net in nets])
