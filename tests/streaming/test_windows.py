"""Windows over long sequences: the results of one call, and gradients that go back so far."""

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from tests.streaming.modules import MODULES, B, Gap, H, I, dtype_of, same

T = 23


@pytest.mark.parametrize(
    ("size", "stride"), [(5, None), (5, 5), (7, 3), (4, 1), (T, 6), (99, None)]
)
@pytest.mark.parametrize("name", MODULES)
def test_together_windows_are_one_call(name: str, size: int, stride: int | None) -> None:
    module = MODULES[name]().eval()
    x = torch.randn(T, B, I, dtype=dtype_of(module))
    marked = {"lengths": [T, 3, 0, 17], "reset": torch.rand(T, B) < 0.1}
    with torch.no_grad():
        for given in ({}, marked):
            output, final = module(x, **given)
            found = [*elman.windows(module, x, size, stride, **given)]
            assert torch.equal(torch.cat([w.output for w in found]), output)
            assert [w.steps.stop for w in found] == [*range(stride or size, T, stride or size), T]
            assert same(found[-1].hx, final)


@pytest.mark.parametrize("state", ["none", "zeros", "given"])
def test_a_reset_returns_to_what_it_does_in_one_call(state: str) -> None:
    net = elman.Recurrent(Gap, I, H, batch_first=True)
    x, gap, reset = torch.randn(B, T, I), torch.rand(1, T, 1), torch.rand(B, T) < 0.2
    hx, back = torch.randn(2, 1, B, H)
    given = {"inputs": {"gap": gap}, "reset": reset}
    given |= {"none": {}, "zeros": {"reset_to": 0}, "given": {"reset_to": back}}[state]
    with torch.no_grad():
        output, _ = net(x, hx, **given)
        found = [w.output for w in elman.windows(net, x, 4, hx=hx, **given)]
        row = elman.windows(
            net, x[0], 4, hx=hx[:, 0], inputs={"gap": gap[0]}, reset=reset[0], reset_to=0
        )
        alone = [w.output for w in row]
        right, _ = net(x[0], hx[:, 0], inputs={"gap": gap[0]}, reset=reset[0], reset_to=0)
    assert torch.equal(torch.cat(found, 1), output)
    assert torch.equal(torch.cat(alone), right)


def _reached(module: Any, x: Tensor, **given: Any) -> list[list[int]]:
    """For each window the steps that the gradient of its last new step reaches."""
    reached = []
    for window in elman.windows(module, x.requires_grad_(), **given):
        (gradient,) = torch.autograd.grad(window.output[-1].sum(), x)
        steps = gradient.flatten(1).any(1).nonzero().flatten().tolist()
        assert steps == [*range(steps[0], window.steps.stop)]
        reached.append([steps[0], window.steps.stop])
    return reached


def test_gradients_go_back_to_the_beginning_of_a_window() -> None:
    net, x = elman.LSTM(I, H), torch.randn(12, 2, I)
    assert _reached(net, x, size=5) == [[0, 5], [5, 10], [10, 12]]
    assert _reached(net, x, size=6, stride=2) == [[max(0, n - 6), n] for n in range(2, 13, 2)]
    hx = tuple(torch.randn(1, 2, H, requires_grad=True) for _ in "hc")
    first, *rest = elman.windows(net, x, 6, 2, hx=hx)
    assert all(g.any() for g in torch.autograd.grad(first.output.sum(), hx))
    for window in rest:
        gradients = torch.autograd.grad(window.output.sum(), hx, allow_unused=True)
        assert all(g is None for g in gradients)


def test_the_module_runs_with_the_weights_of_the_moment() -> None:
    net, x = elman.GRU(I, H), torch.randn(8, B, I)
    walk = elman.windows(net, x, 4)
    state = next(walk).hx
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(0.5)
    assert torch.equal(next(walk).output, net(x[4:], state)[0])


def test_torchs_layers_have_windows_too() -> None:
    lstm, x = torch.nn.LSTM(I, H, batch_first=True), torch.randn(B, T, I)
    found = torch.cat([w.output for w in elman.windows(lstm, x, 9, 3)], 1)
    torch.testing.assert_close(found, lstm(x)[0])


@pytest.mark.parametrize(
    ("error", "message", "size", "options"),
    [
        (ValueError, "size to be a positive int, got 0", 0, {}),
        (ValueError, "size to be a positive int, got 2.0", 2.0, {}),
        (ValueError, "stride to be a positive int, got True", 2, {"stride": True}),
        (ValueError, "a stride of at most size=2, got 3", 2, {"stride": 3}),
        (ValueError, "expected one direction", 2, {"bidirectional": True}),
        (TypeError, "input to be a Tensor, got list: pad it", 2, {"input": []}),
    ],
    ids=lambda v: v[:20] if isinstance(v, str) else "",
)
def test_wrong_arguments_are_named(
    error: type[Exception], message: str, size: Any, options: dict[str, Any]
) -> None:
    module = elman.GRU(I, H, bidirectional=options.pop("bidirectional", False))
    given = {"input": torch.ones(T, B, I), "size": size} | options
    with pytest.raises(error, match=message):
        elman.windows(module, **given)
