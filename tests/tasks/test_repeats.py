"""What a text says of the same token elsewhere."""

import random

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from elman.tasks import SequenceTagger, TaskError
from elman.tasks.data.features import first_places
from elman.tasks.data.text import UNKNOWN
from elman.tasks.networks.repeats import elsewhere, first_rows
from tests.tasks.tagged_rows import SETTINGS, make_tagged

LENGTHS = (1, 9, 23, 9)


def packed(columns):
    return pack_sequence(columns, enforce_sorted=False)


@pytest.mark.parametrize("step", [0, 1])
def test_the_mean_is_that_of_all_other_places_of_a_text(step):
    draw = torch.Generator().manual_seed(0)
    values = [torch.randint(0, 5, (length,), generator=draw).tolist() for length in LENGTHS]
    scores = [torch.randn(n, 3, dtype=torch.float64, generator=draw) for n in LENGTHS]
    first = packed([torch.tensor(first_places(one)) for one in values])
    together = packed(scores)
    rows = first_rows(first.data, first.batch_sizes)
    found = elsewhere(together.data, rows, together.batch_sizes, step)
    unpacked = torch.nn.utils.rnn.unpack_sequence(together._replace(data=found))
    for row, value, score in zip(unpacked, values, scores, strict=True):
        named = [None] * step + value[: len(value) - step]
        for at, name in enumerate(named):
            same = [k for k, n in enumerate(named) if n == name and k != at]
            others = [] if name is None else same
            expected = score[others].mean(0) if others else torch.zeros_like(score[0])
            torch.testing.assert_close(row[at], expected)


def test_gradients():
    sizes = torch.tensor([2, 2, 2, 1])
    rows = first_rows(torch.tensor([0, 0, 0, 1, 1, 0, 0]), sizes)
    scores = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    for step in (0, 1):
        assert torch.autograd.gradcheck(lambda x, k=step: elsewhere(x, rows, sizes, k), scores)


def make_mentions(count, seed):
    """Pairs of characters that only what stands before their first place makes a name of."""
    draw = random.Random(seed)
    texts, spans = [], []
    for _ in range(count):
        text, found = "", []
        pairs = ["".join(draw.choices("甲乙丙丁戊己庚辛", k=2)) for _ in range(4)]
        names = set(draw.sample(pairs, 2))
        for again in (False, True):
            for pair in draw.sample(pairs, len(pairs)):
                text += "。" if again else "叫" if pair in names else "看"
                if pair in names:
                    found.append((len(text), len(text) + 2, "name"))
                text += pair
        texts.append(text)
        spans.append(found)
    return texts, spans


def test_a_name_is_known_where_the_text_has_it_again():
    settings = {**SETTINGS, "epochs": 6, "token_dropout": 0.0, "verbose": 0}
    learn, held_out = make_mentions(200, 0), make_mentions(60, 1)
    f1 = [
        SequenceTagger(**settings, repeats=repeats).fit(*learn).score(*held_out)
        for repeats in (True, False)
    ]
    assert f1[0] > 0.95
    assert f1[1] < 0.9


def test_words_are_repeated_as_they_are():
    texts = [["he", "called", "Ann"], ["Ann", "ran", ",", "ann", "sat"]] * 8
    tags = [["O", "O", "B-name"], ["B-name", "O", "O", "B-name", "O"]] * 8
    model = SequenceTagger(**{**SETTINGS, "epochs": 1}, tokens="words", repeats=True, verbose=0)
    model.fit(texts, tags)
    rows = model._encode(texts[:2])
    assert rows[0][:, -1].tolist() == [0, 1, 2]
    assert rows[1][:, -1].tolist() == [0, 1, 2, 0, 4]
    assert len(model.net_.module_.repeated) == 1


@pytest.fixture(scope="module")
def fitted():
    settings = {**SETTINGS, "epochs": 1, "n_estimators": 2, "repeats": True, "verbose": 0}
    return SequenceTagger(**settings).fit(*make_tagged(60))


def test_other_texts_are_not_seen(fitted):
    texts = make_tagged(20, seed=1)[0] + ["北京的北京"]
    together = fitted.predict_spans(texts)
    for text, spans in zip(texts, together, strict=True):
        (alone,) = fitted.predict_spans([text])
        assert [s[:3] for s in alone] == [s[:3] for s in spans]
        assert [s.score for s in alone] == pytest.approx([s.score for s in spans], abs=1e-5)


def test_what_is_loaded_answers_as_what_was_saved(fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = SequenceTagger.load(tmp_path)
    assert loaded.repeats is True
    assert loaded.predict_spans(["北京的北京"]) == fitted.predict_spans(["北京的北京"])


def test_a_pair_is_hidden_in_all_of_a_text_or_nowhere(fitted):
    network = fitted.net_.module_.members[0].train()
    network.token_dropout, seen = 0.15, []
    network.embeddings[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    rows = fitted._encode(["北京上海" * 50] * 20).pack(np.arange(20))
    network(rows)
    begun, _ = seen[-2:]
    hidden = (begun == UNKNOWN).view(200, 20).T  # (texts, places)
    assert 0.3 < hidden[:, :4].float().mean() < 0.9
    for pair in range(3):
        assert all(len(set(text)) == 1 for text in hidden[:, pair::4].tolist())


def test_another_value_than_true_and_false():
    with pytest.raises(TaskError, match=r"^repeats must be True or False\. Got 2\.$"):
        SequenceTagger(repeats=2).fit(["北"], [["S-x"]])
