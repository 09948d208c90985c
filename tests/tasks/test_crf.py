"""The chain against all paths, one by one."""

import itertools
import math

import pytest
import torch

import elman
from elman.tasks.networks import crf
from elman.tasks.networks.crf import (
    Lattice,
    PathLoss,
    _path_sums,
    best_path,
    chances,
    log_likelihood,
    masked,
)
from elman.tasks.networks.pooling import owners
from elman.tasks.networks.tagger import legal_edges

LABELS = ["O", "B-a", "I-a", "E-a", "S-a"]
LENGTHS = [[1], [4, 4, 4], [5, 3, 3, 1]]


def lattice(lengths, labels=LABELS, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([sum(n > t for n in lengths) for t in range(max(lengths))])
    L = len(labels)
    scores = torch.randn(int(sizes.sum()), L, dtype=dtype, generator=generator) * 2
    edges = torch.randn(L + 1, L + 1, dtype=dtype, generator=generator)
    return Lattice(
        scores.requires_grad_(), sizes, masked(edges.requires_grad_(), legal_edges(labels))
    )


def paths(one, text):
    """Every path through a text, (P, T), and the score of each, (P,)."""
    rows = one.scores[owners(one.batch_sizes) == text]
    T, L = rows.shape
    tags = torch.tensor(list(itertools.product(range(L), repeat=T)))
    ends = torch.full((len(tags), 1), L)
    at = torch.cat([ends, tags, ends], 1)
    edges = one.transitions[at[:, 1:], at[:, :-1]].sum(1)
    return tags, edges + rows[torch.arange(T), tags].sum(1)


def texts(one):
    return range(int(one.batch_sizes[0]))


def some_legal(one):
    """The best paths by enumeration, packed."""
    tags = torch.empty(len(one.scores), dtype=torch.int64)
    for text in texts(one):
        every, scores = paths(one, text)
        tags[owners(one.batch_sizes) == text] = every[scores.argmax()]
    return tags


MANY = ["O", *(f"{place}-{label}" for label in "abc" for place in "BIES"), "S-d"]


@pytest.mark.parametrize("labels", [LABELS, MANY, ["a", "b", "c"]], ids=["few", "many", "single"])
def test_the_best_path_of_many_tags(labels, monkeypatch):
    for small in (99, 0):  # tags that are looked at together
        monkeypatch.setattr(crf, "SMALL", small)
        one = lattice([3, 3, 2, 1], labels)
        assert torch.equal(best_path(one), some_legal(one))


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_the_likelihood_is_that_of_all_paths_values_and_gradients(lengths):
    one = lattice(lengths)
    tags = some_legal(one)
    expected = torch.zeros((), dtype=torch.float64)
    for text in texts(one):
        every, scores = paths(one, text)
        mine = (every == tags[owners(one.batch_sizes) == text]).all(1)
        expected = expected + scores[mine].sum() - scores.logsumexp(0)
    found = log_likelihood(one, tags)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(
        torch.autograd.grad(found, [one.scores, one.transitions], retain_graph=True),
        torch.autograd.grad(expected, [one.scores, one.transitions]),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs.nan_to_num(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_the_best_path_is_the_best_of_all(lengths):
    for seed in range(5):
        one = lattice(lengths, seed=seed)
        assert best_path(one).tolist() == some_legal(one).tolist()


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_chances_add_up_to_those_of_parts_of_paths(lengths):
    one = lattice(lengths)
    tags = some_legal(one)
    found = chances(one, tags)
    for text in texts(one):
        rows = (owners(one.batch_sizes) == text).nonzero()[:, 0]
        every, scores = paths(one, text)
        for start, end in itertools.combinations(range(len(rows) + 1), 2):
            same = (every[:, start:end] == tags[rows[start:end]]).all(1)
            expected = scores[same].logsumexp(0) - scores.logsumexp(0)
            sum_of = found.alone[rows[start]] + found.after[rows[start + 1 : end]].sum()
            torch.testing.assert_close(sum_of, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("first", [-1e4, 1e4], ids=str)
def test_scores_far_apart_stay_finite(first):
    one = lattice([7, 2], dtype=torch.float32)
    scores = one.scores.detach().clone()
    scores[::2, 0] = first
    one = one._replace(scores=scores.requires_grad_())
    loss = PathLoss()(one, best_path(one))
    loss.backward()
    assert loss.isfinite()
    assert scores.grad.isfinite().all()


def test_no_sum_of_a_long_text_is_too_large_or_too_small():
    one = lattice([5000], dtype=torch.float32)
    likelihood = log_likelihood(one, best_path(one))
    exact = Lattice(one.scores.double(), one.batch_sizes, one.transitions.double())
    torch.testing.assert_close(
        likelihood.double(), log_likelihood(exact, best_path(exact)), rtol=1e-4, atol=1e-2
    )
    assert -math.inf < likelihood < 0


def test_the_sums_run_in_a_kernel():
    one = lattice([5, 3], dtype=torch.float32)
    with elman.set_path("kernel"):  # raises where it cannot
        log_likelihood(one, best_path(one)).backward()
        chances(one, best_path(one))
    assert isinstance(_path_sums(len(LABELS) + 1), elman.Recurrent)


def test_texts_of_a_rank_that_has_none_count_nothing():
    one = lattice([3])
    loss = PathLoss()(one, torch.full((3,), -100))
    loss.backward()
    assert loss == 0
    assert one.scores.grad.abs().sum() == 0


def test_only_legal_edges_are_there():
    edges = legal_edges(["O", "B-a", "I-a", "E-a", "S-a", "S-b"])
    names = ["O", "B-a", "I-a", "E-a", "S-a", "S-b", "end"]
    allowed = {
        names[before]: {names[after] for after in edges[:, before].nonzero()[:, 0].tolist()}
        for before in range(7)
    }
    outside = {"O", "B-a", "S-a", "S-b", "end"}
    inside = {"I-a", "E-a"}
    assert allowed == {
        "O": outside,
        "B-a": inside,
        "I-a": inside,
        "E-a": outside,
        "S-a": outside,
        "S-b": outside,
        "end": outside,
    }
