"""The split: stratified, deterministic, no text on both sides."""

from collections import Counter

import numpy as np
import pytest

from elman.tasks import TaskError
from elman.tasks.data.split import identity, split_rows

TEXTS = [f"text number {number}" for number in range(100)]
LABELS = ["a"] * 70 + ["b"] * 30


def test_both_sides_have_every_row_once_and_each_label_in_proportion():
    split = split_rows(TEXTS, LABELS, 0.2, seed=3)
    assert sorted([*split.train, *split.valid]) == list(range(100))
    assert Counter(LABELS[row] for row in split.valid) == {"a": 14, "b": 6}


def test_the_seed_decides_and_the_order_of_the_rows_does_not():
    def held_out(seed, order):
        split = split_rows([TEXTS[i] for i in order], [LABELS[i] for i in order], 0.2, seed)
        return {TEXTS[order[row]] for row in split.valid}

    straight, shuffled = np.arange(100), np.random.default_rng(0).permutation(100)
    assert held_out(1, straight) == held_out(1, shuffled)
    assert held_out(1, straight) != held_out(2, straight)


def test_equal_texts_stay_together_and_are_counted():
    texts = [f"review {number % 40}!" for number in range(80)] + ["REVIEW  3", "review 4."]
    labels = ["a" if number % 2 else "b" for number in range(80)] + ["b", "a"]
    split = split_rows(texts, labels, 0.25)
    sides = [{identity(texts[row]) for row in side} for side in (split.train, split.valid)]
    assert not sides[0] & sides[1]
    assert split.repeated == 42
    # "review 3" has label a twice and b once; "review 4" b twice and a once.
    assert split.conflicting == 6


def test_texts_without_letters_are_not_all_the_same():
    assert identity("!!!") != identity("???")


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_each_side_gets_a_text_of_every_label(fraction):
    split = split_rows(["a", "b", "c", "d"], [0, 0, 1, 1], fraction)
    assert len(split.train) == len(split.valid) == 2


def test_a_text_that_repeats_often_does_not_fill_the_validation_side():
    texts = ["same"] * 90 + [f"other {number}" for number in range(10)]
    split = split_rows([*texts, "x", "y"], ["a"] * 100 + ["b"] * 2, 0.1)
    assert Counter(texts[row] for row in split.valid if row < 100)["same"] == 0


def test_scarce_labels_and_wrong_fractions_are_refused():
    with pytest.raises(TaskError, match="Label 'b': fewer than two different texts"):
        split_rows(["a", "b", "c", "C!"], ["a", "a", "b", "b"], 0.5)
    with pytest.raises(TaskError, match=r"between 0 and 1. Got 1.5"):
        split_rows(TEXTS, LABELS, 1.5)
