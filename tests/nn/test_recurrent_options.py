"""What stacks of any cell may have: sizes, merged directions, learned states and more."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent, RecurrentCell
from tests.cells import CELLS
from tests.nn.kinds import (
    LENGTHS,
    RAGGED,
    STACK,
    B,
    H,
    I,
    T,
    assert_same_bits,
    call,
    seeded,
    tensors,
)

pytestmark = pytest.mark.usefixtures("kernel_path")


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
