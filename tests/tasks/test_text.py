"""Characters, ids, packing, batches."""

import numpy as np
import torch
from torch.nn.utils.rnn import pack_sequence

from elman.tasks.data.batches import NO_LABEL, Batches
from elman.tasks.data.text import (
    PADDING,
    RESERVED,
    TOKENS,
    UNKNOWN,
    Ragged,
    Vocabulary,
    normalise,
)


def ragged(lengths, seed=0):
    generator = np.random.default_rng(seed)
    rows = [generator.integers(RESERVED, 50, length) for length in lengths]
    return Ragged(rows, np.arange(len(rows))), rows


def test_full_width_case_and_spacing_are_made_one():
    assert normalise("\uff21BC\u3000 好,\n") == "abc 好,"


def test_the_three_kinds_of_tokens():
    text = " \uff21n  snake_case, don't!\ud83d"
    assert TOKENS["characters"](text) == "an snake_case, don't!\ud83d"
    assert TOKENS["words"](text) == ["an", "snake_case", ",", "don", "'", "t", "!", "\ud83d"]
    assert list(TOKENS["bytes"]("A\ud83d")) == [65, 0xED, 0xA0, 0xBD]


def test_the_vocabulary_keeps_what_is_common_and_reserves_two_ids():
    vocabulary = Vocabulary.build(["好好好", "好坏", "坏!"], min_count=2)
    assert vocabulary.tokens == ["好", "坏"]
    assert vocabulary.encode("坏!好").tolist() == [RESERVED + 1, UNKNOWN, RESERVED]
    assert PADDING not in vocabulary.encode("坏!好\x00")
    assert len(vocabulary) == 2 + RESERVED


def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts():
    texts = ["abc", "bca", "xy", "yx"]
    assert Vocabulary.build(texts).tokens == Vocabulary.build(texts[::-1]).tokens


def test_packing_is_that_of_torch():
    data, rows = ragged([3, 9, 1, 9, 4, 1])
    chosen = np.array([5, 0, 1, 3, 4])
    expected = pack_sequence([torch.from_numpy(rows[i]) for i in chosen], enforce_sorted=False)
    packed = data.pack(chosen)
    for mine, theirs in zip(packed, expected, strict=True):
        assert torch.equal(mine, theirs)


def test_taking_rows():
    data, rows = ragged([3, 2, 5])
    taken = data.take(np.array([2, 0]))
    assert [row.tolist() for row in taken] == [rows[2].tolist(), rows[0].tolist()]
    assert taken.targets.tolist() == [2, 0]


def test_every_text_comes_once_a_pass_in_batches_of_similar_length():
    lengths = np.random.default_rng(1).integers(1, 200, 103)
    data, _ = ragged(lengths)
    batches = Batches(data, 10, shuffle=True, seed=5)
    passes = [[targets.tolist() for _, targets in batches.epoch(n)] for n in range(2)]
    assert len(batches) == len(passes[0]) == 11
    assert passes[0] != passes[1]
    for targets in passes:
        assert sorted(row for batch in targets for row in batch) == list(range(103))
        # Lengths in a batch lie within the noise of one another or are neighbours in rank.
        spread = np.mean([np.ptp(lengths[batch]) for batch in targets])
        assert spread < 60 < np.ptp(lengths)
    again = Batches(data, 10, shuffle=True, seed=5)
    assert [targets.tolist() for _, targets in again.epoch(1, start=4)] == passes[1][4:]


def test_ranks_share_a_batch_between_them():
    data, _ = ragged(range(1, 8))
    whole = [targets.tolist() for _, targets in Batches(data, 3, shuffle=True)]
    shares = [list(Batches(data, 3, shuffle=True).epoch(rank=rank, ranks=2)) for rank in range(2)]
    for batch, (first, mine), (second, other) in zip(whole, *shares, strict=True):
        assert first.targets.tolist() == second.targets.tolist() == batch
        assert mine.tolist() == batch[::2]
        # The last batch has one text: the second rank reads it for nothing.
        assert other.tolist() == (batch[1::2] or [NO_LABEL])
        assert len(first) == len(batch)
        assert [int(t.packed.batch_sizes[0]) for t in (first, second)] == [len(mine), len(other)]


def test_without_shuffling_the_order_stays():
    data, _ = ragged([4, 1, 3])
    assert [targets.tolist() for _, targets in Batches(data, 2)] == [[0, 1], [2]]
    assert [len(batch) for batch, _ in Batches(data, 2)] == [2, 1]
