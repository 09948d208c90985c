"""The tagger as an estimator: it learns, answers, is saved and loaded."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import elman
from elman.tasks import SequenceClassifier, SequenceTagger, TaskError
from elman.tasks.data.features import COLUMNS
from elman.tasks.data.schemes import Span, read_tags
from elman.tasks.data.text import PADDING, UNKNOWN
from elman.tasks.models.opening import load_model
from elman.tasks.models.tagger import TrainedTagger
from elman.tasks.networks.crf import best_path, chances, log_likelihood
from elman.tasks.networks.tagger import TagRNN
from elman.tasks.training.tagnet import TagBatches
from tests.tasks.tagged_rows import SETTINGS, make_tagged

TEXTS, SPANS = make_tagged(150)
UNSEEN, TRUTH = make_tagged(50, seed=1)


@pytest.fixture(scope="module")
def fitted():
    return SequenceTagger(**SETTINGS).fit(TEXTS, SPANS, valid=(UNSEEN, TRUTH))


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def test_it_learns(fitted):
    assert fitted.score(UNSEEN, TRUTH) > 0.95
    epoch = fitted.training_["epochs"][-1]
    assert epoch["valid_f1"] == pytest.approx(fitted.score(UNSEEN, TRUTH))
    assert epoch["valid_acc"] > 0.95
    (found,) = fitted.predict_spans(["我在北京有江泽民的书"])
    assert [span[:3] for span in found] == [(2, 4, "city"), (5, 8, "person")]
    assert all(0.5 < span.score <= 1 for span in found)
    expected = ["O", "O", "B-city", "I-city", "O", "B-person", "I-person", "I-person", "O", "O"]
    assert fitted.predict(["我在北京有江泽民的书"]) == [expected]


def test_a_text_is_tagged_the_same_alone_and_in_company(fitted):
    together = fitted.predict_spans(UNSEEN)
    for text, spans in zip(UNSEEN[:10], together, strict=False):
        (alone,) = fitted.predict_spans([text])
        assert [s[:3] for s in alone] == [s[:3] for s in spans]
        assert [s.score for s in alone] == pytest.approx([s.score for s in spans], abs=1e-5)


def test_many_texts_are_tagged_in_parts(fitted, monkeypatch):
    whole = fitted.predict(UNSEEN)
    monkeypatch.setattr("elman.tasks.models.tagger.AT_ONCE", 20)
    assert fitted.predict(UNSEEN) == whole


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "IOB1", "IO"])
def test_it_answers_in_the_scheme_it_was_given(scheme):
    rows = {
        "BIO": ["B-c", "I-c", "O"],
        "BIOES": ["B-c", "E-c", "O"],
        "IOB1": ["I-c", "I-c", "O"],
        "IO": ["I-c", "I-c", "O"],
    }[scheme]
    model = SequenceTagger(**{**SETTINGS, "scheme": scheme, "min_count": 1})
    assert model.fit(["北京我"] * 16, [rows] * 16).predict(["北京我"]) == [rows]


def test_a_label_for_each_token():
    texts = [["a", "dog", "runs"], ["the", "dog", "eats"], ["a", "cat", "eats"]] * 8
    tags = [["DET", "NOUN", "VERB"]] * 24
    model = SequenceTagger(tokens="words", min_count=1, **SETTINGS).fit(texts, tags)
    assert model.scheme_ == "tags"
    assert model.predict([["the", "cat", "runs"]]) == [["DET", "NOUN", "VERB"]]


def test_words_know_their_ends_and_shapes():
    names = ["Annberg", "Bobberg", "Carlberg", "Daveberg", "Evaberg"]
    texts = [f"we met {name} there" for name in names] * 6
    tags = [["O", "O", "B-place", "O"]] * 30
    model = SequenceTagger(tokens="words", **{**SETTINGS, "token_dropout": 0.2}).fit(texts, tags)
    assert model.predict_spans(["we met Fritzberg there"])[0][0][:3] == (7, 16, "place")


def test_what_is_loaded_answers_as_what_was_saved(fitted, saved):
    loaded = SequenceTagger.load(saved)
    assert type(load_model(saved)) is TrainedTagger
    assert loaded.get_params() == fitted.get_params()
    assert loaded.predict_spans(UNSEEN) == fitted.predict_spans(UNSEEN)
    on_torch = SequenceTagger.load(saved, backend="torch")
    assert type(on_torch.net_.module_.rnn) is torch.nn.GRU
    assert on_torch.predict(UNSEEN) == fitted.predict(UNSEEN)
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_a_model_of_another_task_is_refused(saved, model):
    with pytest.raises(
        TaskError, match="expected 'elman sequence classifier'; this model is of an"
    ):
        SequenceClassifier.load(saved)
    with pytest.raises(
        TaskError, match="expected 'elman sequence tagger'; this model is of anothe"
    ):
        SequenceTagger.load(model)
    config = json.loads((saved / "config.json").read_bytes())
    (saved / "config.json").write_text(json.dumps({**config, "format": "elman sequence poet"}))
    with pytest.raises(
        TaskError, match="'elman sequence poet', this elman reads elman sequence cl"
    ):
        load_model(saved)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["B-city", "O"]}, "'labels' must be BIOES tags"),
        ({"labels": ["O"]}, "'labels' must be BIOES tags"),
        ({"labels": ["O", 3]}, "'labels' must be BIOES tags"),
        ({"labels": ["O", "B-", "S-a"]}, "'labels' must be BIOES tags"),
        ({"scheme": "BILOUX"}, "'scheme' must be one of BIO, "),
        ({"vocabularies": {"character": ["a"]}}, "'vocabularies' must have character, pair"),
        ({"vocabularies": {"character": [], "pair": [1]}}, "must list strings for 'pair'"),
        (
            {"vocabularies": {"character": ["a", "a"], "pair": []}},
            "lists a token of 'character' tw",
        ),
        ({"vocabularies": []}, "'vocabularies' is '.*'; expected an object"),
    ],
    ids=str,
)
def test_a_config_that_does_not_hold_together_is_told(saved, changed, message):
    config = json.loads((saved / "config.json").read_bytes())
    (saved / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(TaskError, match=message):
        SequenceTagger.load(saved)


def test_scikit_learn_clones_pickles_and_searches(fitted):
    assert clone(fitted).get_params() == fitted.get_params()
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict(UNSEEN) == fitted.predict(UNSEEN)
    search = GridSearchCV(SequenceTagger(**SETTINGS), {"epochs": [1, 3]}, cv=2)
    assert search.fit(TEXTS, SPANS).best_params_ == {"epochs": 3}


@pytest.mark.parametrize(
    ("arguments", "X", "y", "message"),
    [
        ({}, "ab", [], "X must be a list of texts. Got one text; write"),
        ({}, [3], [[]], r"X\[0\] must be a text, or a list of tokens that are strings. Got int: 3"),
        ({}, [["a", 3]], [[]], r"X\[0\] must be a text, or a list of tokens"),
        ({}, [["a", ""]], [[]], r"X\[0\] has a token without characters"),
        ({}, ["ab", " "], [[], []], r"X\[1\] is empty; leave it out"),
        ({}, ["ab"], [], "y must have a list of tags or of spans for each text in X. Got 0 for 1"),
        ({}, ["ab"], ["O O"], r"y\[0\].*"),
        ({}, ["ab"], [["O"]], r"y\[0\]\[0\]: not as many tags as tokens: 1 tags for 2 characters"),
        ({}, ["ab"], [[3]], r"y\[0\] must be a list of tags or of spans. Got '\[3\]'"),
        ({}, ["ab"], [[(0, 3, "x")]], r"y\[0\]: a span that isn't in the text: \(0, 3, 'x'\) of 2"),
        ({}, ["ab"], [["O", "O"]], "y has one tag only, O: there is nothing to learn"),
        ({"scheme": "BIO"}, ["ab"], [["O", "I-x"]], r"y\[0\]\[1\]: i-x follows O|I-x follows O"),
        ({"scheme": "XYZ"}, ["ab"], [["O", "O"]], "scheme must be one of auto, BIO"),
        ({"tokens": "bytes"}, ["ab"], [["O", "O"]], "tokens must be one of characters, words"),
        ({"dropout": 1}, ["ab"], [["O", "O"]], "dropout must be at least 0 and below 1"),
        ({"cell": "gruu"}, ["ab"], [["O", "O"]], "cell must be one of rnn"),
        ({"patience": 2}, ["ab"], [["O", "O"]], "patience needs held-out data"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(arguments, X, y, message):
    with pytest.raises(TaskError, match=message):
        SequenceTagger(**arguments).fit(X, y)


def test_held_out_labels_may_be_new():
    model = SequenceTagger(**{**SETTINGS, "epochs": 1})
    with pytest.raises(TaskError, match="valid has no text whose labels all occur in training"):
        model.fit(TEXTS, SPANS, valid=(["ab"], [[(0, 1, "river")]]))
    model.fit(TEXTS, SPANS, valid=(["ab", *UNSEEN], [[(0, 1, "river")], *TRUTH]))
    assert "valid_f1" in model.training_["epochs"][-1]
    assert model.score(["ab"], [[(0, 1, "river")]]) == 0


def network(backend, cell="gru", **options):
    torch.manual_seed(0)
    how = {"cell": cell, "tokens": "characters", "embedding_size": 4, "hidden_size": 6}
    how |= {"num_layers": 1, "bidirectional": True, "recurrent": None}
    how |= {"token_dropout": 0.2, "dropout": 0.3, "backend": backend}
    return TagRNN((9, 12), ("O", "B-a", "I-a", "E-a", "S-a"), **how | options)


def ids(lengths):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(2, 9, (length, 2), generator=generator) for length in lengths]
    return torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_both_backends_are_one_network(cell):
    results = []
    for backend in ("elman", "torch"):
        made = network(backend, cell).train()
        torch.manual_seed(2)  # dropout
        lattice = made(ids([2, 7, 1, 7]))
        log_likelihood(lattice, torch.zeros(17, dtype=torch.int64)).backward()
        results.append([lattice.scores, *(p.grad for p in made.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cell", ["lightgru", "peepholelstm", "indrnn", "slstm"])
def test_other_cells_tag_as_well(cell):
    lattice = network("elman", cell).eval()(ids([3, 5]))
    assert chances(lattice, torch.zeros(8, dtype=torch.int64)).alone.isfinite().all()


def test_a_cell_of_ones_own(tmp_path):
    class Own(elman.Cell):
        gates = ("h",)

        def step(self, x, u, s):
            return elman.tanh(x.h + u.h)

    model = SequenceTagger(**{**SETTINGS, "cell": Own, "epochs": 1}).fit(TEXTS, SPANS)
    model.save(tmp_path)
    with pytest.raises(TaskError, match="a folder holds no code"):
        SequenceTagger.load(tmp_path)
    assert SequenceTagger.load(tmp_path, cell=Own).predict(["我"]) == model.predict(["我"])


def test_neighbours_of_other_texts_are_not_seen():
    made = network("elman").eval()
    alone, together = ids([3]), ids([3, 5, 1])
    where = together.unsorted_indices[0]
    expected = made(alone).scores
    begins = together.batch_sizes.cumsum(0) - together.batch_sizes
    torch.testing.assert_close(made(together).scores[begins[:3] + where], expected)


def read_by(made, texts):
    """The ids that each of the network's embeddings is given."""
    seen = []
    for embedding in made.embeddings:
        embedding.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    made(texts)
    return seen


def test_no_path_that_bioes_does_not_allow_is_taken():
    made, labels = network("elman").eval(), ("O", "B-a", "I-a", "E-a", "S-a")
    with torch.no_grad():
        made.output.weight.mul_(100)  # scores that would rather have it otherwise
    texts = ids([9] * 20)
    tags = best_path(made(texts)).view(9, 20).t()
    for row in tags.tolist():
        read_tags([labels[tag] for tag in row], "BIOES")
    assert tags.unique().numel() > 1


def test_a_token_is_read_with_the_pairs_on_both_sides():
    rows = torch.tensor([[2, 7], [3, 8], [4, 9]])
    characters, begun, ended = read_by(
        network("elman").eval(), torch.nn.utils.rnn.pack_sequence([rows, rows[:1]])
    )
    assert characters.tolist() == [2, 2, 3, 4]
    assert begun.tolist() == [7, 7, 8, 9]
    assert ended.tolist() == [PADDING, PADDING, 7, 8]


def test_tokens_are_hidden_in_training_alone_and_rare_ones_more_often():
    many = torch.nn.utils.rnn.pack_sequence([torch.full((4000, 2), 5)])
    made = network("elman", token_dropout=0.1)
    for training, expected in ((True, (0.1, 0.4)), (False, (0.0, 0.0))):
        characters, pairs, _ = read_by(made.train(training), many)[-3:]
        shares = [(ids == UNKNOWN).float().mean().item() for ids in (characters, pairs)]
        assert shares == pytest.approx(expected, abs=0.03)


def test_what_a_word_is_known_by():
    values = [c.values(["iphone-15", "a"], ["iPhone-15", "A"]) for c in COLUMNS["words"]]
    assert values == [
        ["iphone-15", "a"],
        ["iph", "a"],
        ["-15", "a"],
        ["15", "a"],
        ["aAa-0", "A"],
    ]


def test_few_texts_make_small_batches(fitted):
    assert fitted.net_.batch_size == 1
    assert fitted.batch_size == SETTINGS["batch_size"]
    big = SequenceTagger(**{**SETTINGS, "epochs": 1}).fit(TEXTS * 10, SPANS * 10)
    assert big.net_.batch_size == SETTINGS["batch_size"]


def test_a_token_counts_as_much_in_a_short_text_as_in_a_long_one(fitted):
    data = fitted._encode(["北京", "我在上海"], [["O"] * 2, ["O"] * 4])
    batches = [batch for batch, _ in TagBatches(data, 1)]
    assert [batch.whole for batch in batches] == [3, 3]
    shares = [TagBatches(data, 2).batch(np.arange(2), rank, 2) for rank in range(2)]
    assert [(len(batch), batch.whole) for batch, _ in shares] == [(2, 6), (2, 6)]
    assert [len(tags) for _, tags in shares] == [2, 4]


def test_spans_are_what_tags_say():
    texts = [["北", "京"]] * 8
    for y in (
        [["B-c", "I-c"]] * 8,
        [[Span(0, 2, "c")]] * 8,
        [[{"start": 0, "end": 2, "label": "c"}]] * 8,
    ):
        model = SequenceTagger(**{**SETTINGS, "epochs": 1}).fit(texts, y)
        assert model.labels_ == ["B-c", "I-c", "E-c", "S-c"]


def test_tokens_that_are_all_too_rare():
    with pytest.raises(TaskError, match=r"^X has no word that occurs 1,000 times; lower min_count"):
        SequenceTagger(tokens="words", min_count=1000).fit([["a", "b"]], [["B-x", "O"]])
