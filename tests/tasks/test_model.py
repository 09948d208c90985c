"""Pooling and the network: what isn't there has no influence."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import elman
from elman.tasks import TaskError
from elman.tasks.model import TextRNN, layer_class
from elman.tasks.pooling import max_and_mean

LENGTHS = [[1], [4, 4, 4], [5, 3, 3, 1], [2, 7, 1, 7, 6]]


def model(backend="elman", **options):
    torch.manual_seed(0)
    sizes = {"embedding_size": 5, "hidden_size": 6, "layers": 1, "bidirectional": True}
    options = sizes | {"dropout": 0.5, "backend": backend} | options
    return TextRNN(30, 3, **options).eval()


def texts(lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(2, 30, (length,), generator=generator) for length in lengths]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_pooling_is_that_of_each_text_alone_values_and_gradients(lengths):
    rows = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in lengths]
    packed = pack_sequence(rows, enforce_sorted=False)
    pooled = max_and_mean(packed.data, packed.batch_sizes)[packed.unsorted_indices]
    alone = torch.stack([torch.cat([row.amax(0), row.mean(0)]) for row in rows])
    torch.testing.assert_close(pooled, alone)
    seed = torch.randn_like(pooled)
    for mine, theirs in zip(
        torch.autograd.grad(pooled, rows, seed), torch.autograd.grad(alone, rows, seed), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_gradients_of_pooling():
    rows = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    sizes = torch.tensor([4, 3, 1, 1])
    assert torch.autograd.gradcheck(lambda rows: max_and_mean(rows, sizes), rows)
    assert torch.autograd.gradgradcheck(lambda rows: max_and_mean(rows, sizes), rows)


def test_of_equal_values_one_gets_the_gradient():
    rows = torch.ones(3, 1, requires_grad=True)
    max_and_mean(rows, torch.tensor([1, 1, 1]))[:, 0].sum().backward()
    assert rows.grad.flatten().tolist() == [1.0, 0.0, 0.0]


def test_nan_stays_in_its_text():
    rows = torch.randn(5, 2)
    rows[2] = torch.nan  # the second step of the first text
    pooled = max_and_mean(rows, torch.tensor([2, 2, 1]))
    assert pooled[0].isnan().all()
    assert not pooled[1].isnan().any()


@pytest.mark.parametrize("backend", ["elman", "torch"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_a_text_scores_the_same_alone_and_in_company(backend, lengths):
    network, rows = model(backend), texts(lengths)
    together = network(pack_sequence(rows, enforce_sorted=False))
    alone = torch.cat([network(pack_sequence([row])) for row in rows])
    torch.testing.assert_close(together, alone)


def test_padding_has_no_influence():
    network, rows = model(), texts([2, 7, 1])
    scores = []
    for padding in (0, 29):
        padded = torch.full((7, 3), padding)
        for column, row in enumerate(rows):
            padded[: len(row), column] = row
        scores.append(network(pack_padded_sequence(padded, [2, 7, 1], enforce_sorted=False)))
    assert torch.equal(*scores)
    # The same texts with a character more do score otherwise: the test above could fail.
    longer = [torch.cat([row, torch.tensor([29])]) for row in rows]
    assert not torch.equal(scores[0], network(pack_sequence(longer, enforce_sorted=False)))


@pytest.mark.parametrize("options", [{}, {"layers": 2, "bidirectional": False}], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_both_backends_are_one_model(options, lengths):
    mine, theirs = model("elman", **options).train(), model("torch", **options).train()
    assert mine.state_dict().keys() == theirs.state_dict().keys()
    packed = pack_sequence(texts(lengths), enforce_sorted=False)
    results = []
    for network in (mine, theirs):
        torch.manual_seed(2)  # dropout
        scores = network(packed)
        scores.square().sum().backward()
        results.append([scores, *(p.grad for p in network.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_layer_is_chosen_by_name():
    assert layer_class("elman") is elman.RNN
    assert layer_class("torch") is torch.nn.RNN
    with pytest.raises(TaskError, match=r"one of elman, torch. Got 'jax'"):
        layer_class("jax")
