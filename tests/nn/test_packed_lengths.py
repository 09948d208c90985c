"""Packed sequences of every mixture of lengths, all equal among them, against torch.nn."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import elman

LENGTHS = {
    "all-equal": [4, 4, 4],
    "all-one": [1, 1, 1, 1, 1, 1, 1],
    "one-row": [5],
    "one-long": [9, 1, 1],
    "mixed": [2, 7, 7, 1, 5, 3, 7, 2],
    "two-blocks": [6, 6, 6, 2, 2],
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("given", [False, True], ids=["zero-state", "given-state"])
def test_packed_results_and_gradients_are_torchs(
    lengths: list[int], layers: int, given: bool
) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.RNN(3, 5, layers, bidirectional=True, dtype=torch.float64)
    ours = elman.RNN(3, 5, layers, bidirectional=True, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    packed = pack_sequence(
        [torch.randn(n, 3, dtype=torch.float64) for n in lengths], enforce_sorted=False
    )
    hx = torch.randn(2 * layers, len(lengths), 5, dtype=torch.float64) if given else None
    results = []
    for module in (theirs, ours):
        data = packed.data.clone().requires_grad_()
        leaves = [data, *module.parameters()]
        state = hx
        if hx is not None:
            state = hx.clone().requires_grad_()
            leaves.append(state)
        with elman.set_path("kernel" if module is ours else "auto"):
            output, h_n = module(packed._replace(data=data), state)
        assert isinstance(output, PackedSequence)
        weight = torch.arange(output.data.numel(), dtype=torch.float64).view_as(output.data)
        loss = (output.data * weight.cos()).sum() + (h_n * h_n.detach().exp()).sum()
        results.append([output.data, h_n, *torch.autograd.grad(loss, leaves)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)
