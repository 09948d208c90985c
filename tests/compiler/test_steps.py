"""A sequence in one call, in several calls that carry the state, and step by step: same bits."""

import pytest
import torch

import elman
from tests.compiler.bits import UNITS, each_dtype


@pytest.mark.parametrize("H", UNITS)
@each_dtype
@pytest.mark.parametrize("B", [1, 6], ids=["one row", "batch"])
def test_calls_that_carry_the_state_give_the_bits_of_one_call(H, dtype, B):
    torch.manual_seed(H)
    rnn = elman.RNN(4, H, dtype=dtype)
    cell = elman.RNNCell(4, H, dtype=dtype)
    cell.load_state_dict({name[:-3]: value for name, value in rnn.state_dict().items()})
    x, h0 = torch.randn(7, B, 4, dtype=dtype), torch.randn(1, B, H, dtype=dtype)
    with elman.set_path("kernel"), torch.no_grad():
        whole, h_n = rnn(x, h0)
        parts, h = [], h0
        for part in x.split([1, 3, 2, 1]):
            output, h = rnn(part, h)
            parts.append(output)
        assert torch.equal(torch.cat(parts), whole)
        assert torch.equal(h, h_n)
        state = h0[0]
        for t in range(7):
            state = cell(x[t], state)
            assert torch.equal(state, whole[t])
        single = h0[0, 0]
        for t in range(7):
            single = cell(x[t, 0], single)
            assert torch.equal(single, whole[t, 0])


def test_a_state_of_zeros_gives_the_bits_of_no_state():
    rnn = elman.RNN(3, 20, bidirectional=True, num_layers=2)
    x = torch.randn(5, 4, 3)
    with elman.set_path("kernel"):
        for one, other in zip(rnn(x), rnn(x, torch.zeros(4, 4, 20)), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_gradients_through_steps_are_those_of_the_sequence(path):
    """Backpropagation through the carried state is the same chain of operations."""
    torch.manual_seed(0)
    rnn = elman.RNN(3, 9, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    with elman.set_path(path):
        rnn(x)[0].square().sum().backward()
        whole, x.grad = x.grad, None
        h, loss = None, 0
        for t in range(6):
            output, h = rnn(x[t : t + 1], h)
            loss = loss + output.square().sum()
        loss.backward()
    torch.testing.assert_close(x.grad, whole, rtol=1e-13, atol=1e-14)
