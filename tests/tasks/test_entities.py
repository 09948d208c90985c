"""Scores of found spans, beside those that seqeval 1.2.2 gives the same tags (strict, IOB2)."""

import random

import pytest
import torch

from elman.tasks.data.schemes import Span, labels_of, read_tags, write_tags
from elman.tasks.report.entities import compare
from elman.tasks.training.tagnet import count_spans

SEQEVAL = {  # precision, recall, F1, how many there are
    "a": (0.7469879518072289, 0.6739130434782609, 0.7085714285714286, 92),
    "b": (0.7228915662650602, 0.7142857142857143, 0.718562874251497, 84),
    "all": (0.7349397590361446, 0.6931818181818182, 0.713450292397661, 176),
}
MACRO_F1 = 0.7135671514114628


def rows():
    """40 rows of random tags, of which some are found right."""
    draw = random.Random(0)

    def row(length):
        tags, at = [], 0
        while at < length:
            kind, size = draw.choice("abO"), min(draw.randint(1, 3), length - at)
            tags += ["O"] * size if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
            at += size
        return tags

    there = [row(12) for _ in range(40)]
    found = [row(12) if draw.random() < 0.4 else list(tags) for tags in there]
    return [[read_tags(tags, "BIO") for tags in some] for some in (there, found)]


def test_scores_are_those_of_seqeval():
    found = compare(*rows())
    for label, expected in SEQEVAL.items():
        score = found.all if label == "all" else found.by_label[label]
        assert (score.precision, score.recall, score.f1, score.there) == pytest.approx(expected)
    assert found.macro_f1 == pytest.approx(MACRO_F1)
    assert found.as_json()["spans"]["right"] == found.all.right == 122


def test_what_is_counted_while_training_is_the_same():
    there, found = rows()
    tags = [[write_tags(spans, 12) for spans in some] for some in (found, there)]
    labels = labels_of(tags[0] + tags[1])
    packed = [
        torch.tensor([[labels.index(tag) for tag in row] for row in some]).t().flatten()
        for some in tags
    ]
    counts = count_spans(*packed, torch.full((12,), 40), tuple(labels))
    score = compare(there, found).all
    assert counts == (score.found, score.there, score.right)


@pytest.mark.parametrize(
    ("there", "found", "kinds"),
    [
        ([(0, 2, "a")], [(0, 2, "a")], {}),
        ([(0, 2, "a")], [], {"missed": 1}),
        ([], [(0, 2, "a")], {"made up": 1}),
        ([(0, 2, "a")], [(0, 2, "b")], {"other label": 1}),
        ([(0, 2, "a")], [(0, 3, "b")], {"other ends": 1}),
        ([(0, 4, "a")], [(0, 2, "a"), (2, 4, "a")], {"made up": 1, "other ends": 1}),
        ([(0, 1, "a"), (1, 2, "a")], [(0, 2, "a")], {"missed": 1, "other ends": 1}),
    ],
)
def test_every_mistake_has_a_kind(there, found, kinds):
    result = compare([there], [found])
    assert result.kinds == kinds
    for mistake in result.mistakes:
        assert mistake.there is None or Span(*mistake.there) in [Span(*s) for s in there]


def test_nothing_there_and_nothing_found_is_no_division_by_zero():
    result = compare([[]], [[]])
    assert (result.all.precision, result.all.recall, result.all.f1) == (0, 0, 0)
    assert result.macro_f1 == 0
