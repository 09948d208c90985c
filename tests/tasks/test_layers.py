"""Pooling and the network: what isn't there has no influence."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import elman
from elman.tasks import TaskError
from elman.tasks.data.text import UNKNOWN
from elman.tasks.networks.layers import CELLS, find_cell, make_layers
from elman.tasks.networks.pooling import POOLINGS, max_and_mean
from elman.tasks.networks.text import TextRNN

LENGTHS = [[1], [4, 4, 4], [5, 3, 3, 1], [2, 7, 1, 7, 6]]


def model(backend="elman", **options):
    torch.manual_seed(0)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 1, "bidirectional": True}
    how = {"cell": "rnn", "recurrent": None, "pooling": "max_mean"}
    how |= {"token_dropout": 0.2, "dropout": 0.5}
    options = sizes | how | {"backend": backend} | options
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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": False},
        {"cell": "lstm", "num_layers": 2, "pooling": "last"},
        {"cell": elman.cells.GRU(), "pooling": "mean"},
        {"cell": {"name": "elman", "nonlinearity": "relu"}, "pooling": "max"},
    ],
    ids=str,
)
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


def test_tokens_are_hidden_in_training_alone():
    network, read = model(token_dropout=0.25), []
    network.embedding.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    packed = pack_sequence(texts([2000]))
    for training in (True, False):
        network.train(training)(packed)
    hidden = read[0] != packed.data
    assert 0.2 < hidden.float().mean() < 0.3
    assert (read[0][hidden] == UNKNOWN).all()
    assert torch.equal(read[1], packed.data)


def test_the_last_of_pooling_is_the_final_state_of_each_direction():
    for cell in ("gru", "lstm"):
        network = model(cell=cell, num_layers=2, pooling="last").eval()
        packed = pack_sequence(texts([2, 7, 1, 7]), enforce_sorted=False)
        read, final = network.rnn(packed._replace(data=network.embedding(packed.data)))
        pooled = POOLINGS["last"].pool(read.data, packed.batch_sizes, network.forward_size)
        state = final[0] if cell == "lstm" else final
        expected = torch.cat([state[-2], state[-1]], 1)
        assert torch.equal(pooled[packed.unsorted_indices], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    "options",
    [
        {"hidden_size": [4, 6], "num_layers": 2},
        {"num_layers": 2, "recurrent": {"residual": True, "learn_initial": True}},
        {"recurrent": {"merge": "sum", "bias": False}},
        {"cell": elman.cells.LSTM(projection=True), "recurrent": {"proj_size": 3}},
        {"bidirectional": False},
    ],
    ids=str,
)
def test_any_recurrent_inside(options, pooling):
    network, rows = model(**options, pooling=pooling), texts([5, 3, 1])
    together = network(pack_sequence(rows))
    assert together.shape == (3, 3)
    torch.testing.assert_close(together[1:2], network(pack_sequence(rows[1:2])))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_the_catalogue_classifies(name):
    with torch.device("meta"):  # as the sizes of a saved model are found out
        sizes = {k: v.shape for k, v in model(cell=name, num_layers=2).state_dict().items()}
    network = model(cell=name, num_layers=2)
    assert {k: v.shape for k, v in network.state_dict().items()} == sizes
    assert network(pack_sequence(texts([3, 2]))).shape == (2, 3)


class Gated(elman.Cell):
    gates = ("h",)
    inputs = ("open",)

    def step(self, x, u, s):
        return self.input("open") * elman.tanh(x.h + u.h)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("gruu", r"cell must be one of rnn, .*, gru, .*, unicornn. Got 'gruu'."),
        ({"leak": 0.5}, r"cell must be a name, a mapping .*. Got None."),
        ({"name": "leaky", "leek": 0.5}, r"cell Leaky: .*unexpected keyword argument 'leek'."),
        (torch.nn.GRU, r"cell GRU: "),
        (3, r"cell must be a name, a mapping .*. Got 3."),
        (Gated, r"cell Gated\(\) reads further inputs at every step \(open\), which texts don't"),
    ],
    ids=str,
)
def test_what_is_no_cell_for_texts(cell, message):
    with pytest.raises(TaskError, match=message):
        find_cell(cell)


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        ("lightgru", {}, r"torch.nn has no LightGRU\(\), only Elman.*; choose backend='elman'."),
        ({"name": "gru", "reset_after": False}, {}, r"torch.nn has no GRU\(reset_after=False\)"),
        ("gru", {"residual": True}, r"The recurrent layers can't be made: .*'residual'"),
    ],
    ids=str,
)
def test_what_torch_has_not(cell, options, message):
    with pytest.raises(TaskError, match=message):
        make_layers(cell, "torch", 3, 4, **options)
