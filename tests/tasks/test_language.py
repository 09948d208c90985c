"""`LanguageModel`: what it learns, foretells and makes up; its windows, states and last layer."""

import json
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman.tasks import LanguageModel, SequenceClassifier, TaskError
from elman.tasks.data.plain import PIECES, corpus_of, read_corpus
from elman.tasks.data.text import RESERVED
from elman.tasks.models.generation import DRAWN, Sampler
from elman.tasks.models.language import TrainedLanguageModel
from elman.tasks.models.opening import load_model
from elman.tasks.report import surprise as surprise_module
from elman.tasks.report.surprise import surprises
from tests.tasks.plain_rows import SETTINGS, make_text
from tests.tasks.trainings import At, interrupt, train_task

NO_DROPOUT = dict.fromkeys(("embedding_dropout", "input_dropout", "hidden_dropout", "dropout"), 0.0)
SURE = {"hidden_size": 24, "epochs": 10, "lr": 0.04}  # enough to know the text
TEXT, UNSEEN = make_text(150), make_text(30, seed=1)


@pytest.fixture(scope="module")
def model():
    return LanguageModel(**{**SETTINGS, **NO_DROPOUT, **SURE}).fit([TEXT], valid=[UNSEEN])


@pytest.mark.parametrize("tokens", PIECES)
def test_it_foretells_what_it_has_not_seen(tokens):
    small = {**SETTINGS, **NO_DROPOUT, **SURE, "num_layers": 1}
    learned = LanguageModel(**small, tokens=tokens).fit([TEXT])
    scores = learned.scores([UNSEEN])
    counts = np.array(list(Counter(PIECES[tokens](TEXT)).values()))
    share = counts / counts.sum()
    assert scores.bits_per_token < -0.6 * (share * np.log2(share)).sum()  # of the tokens alone
    assert scores.characters == len(UNSEEN)
    assert learned.score([UNSEEN]) == -learned.bits([UNSEEN]) == -scores.bits_per_character
    assert learned.perplexity([UNSEEN]) == pytest.approx(2**scores.bits_per_token)


def test_epochs_are_measured_on_held_out_text(model):
    losses = [epoch["valid_loss"] for epoch in model.training_["epochs"]]
    assert losses[-1] < losses[0] / 2
    # Of the mean of the weights, as all that the model says.
    found = model.scores([UNSEEN]).bits_per_token
    assert losses[-1] / np.log(2) == pytest.approx(found, rel=0.1)


def test_defaults_go_by_the_size_of_the_text():
    model = LanguageModel(batch_size=32, window=64)
    assert [model._passes(size) for size in (10**4, 5 * 10**6, 10**9)] == [12, 5, 1]
    assert [model._texts_a_step(size) for size in (100, 10**5, 10**9)] == [4, 10, 32]


# -- what it says


def test_long_texts_are_read_in_pieces(model, monkeypatch):
    ids = model._encode(corpus_of([TEXT[:600]])).ids
    whole = surprises(model.net_.module_, ids)
    for name, value in {"BEGIN": 50, "PIECE": 64, "BEFORE": 40, "AT_ONCE": 3, "PLACES": 37}.items():
        monkeypatch.setattr(surprise_module, name, value)
    pieces = surprises(model.net_.module_, ids)
    np.testing.assert_allclose(pieces[:50], whole[:50], rtol=1e-4, atol=1e-4)
    assert np.abs(pieces - whole).max() < 0.5  # after 40 characters, little depends on others
    assert np.abs(pieces - whole).mean() < 0.01


def test_surprise_says_where_a_text_is_unlikely(model):
    found = model.surprise("the cat sees twx birds.\n")
    assert found.tokens[13:16] == ["t", "w", "x"]
    assert found.bits.argmax() in (15, 16)
    assert found.bits[15:17].max() > 5 > 1 > found.bits[5]
    assert len(found.bits) == len(found.tokens) == 24
    total = model.scores(["the cat sees twx birds.\n"])
    assert found.bits.sum() < total.bits  # which has the end of the text, too
    assert total.unknown == 1


def test_the_likeliest_next_tokens(model):
    tokens, answer = model.look("the ca")
    assert tokens == ["", *"the ca"]
    assert answer[0][0] == "'t'"
    assert [chance for _, chance in answer] == sorted((c for _, c in answer), reverse=True)


# -- what it makes up


def test_generated_texts_are_likely_and_repeatable(model):
    text = "".join(model.generate("the ", length=300, seed=3))
    assert text == "".join(model.generate("the ", length=300, seed=3))
    assert text != "".join(model.generate("the ", length=300, seed=4))
    assert len(text) == 300
    assert model.bits([text]) < 2
    torch.manual_seed(0)
    first = [*islice(model.generate(seed=5), 7)]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert first == [*model.generate(length=7, seed=5)]


def test_tokens_are_drawn_with_their_probabilities(model):
    ids = model._encode(corpus_of(["the "])).ids[:-1].astype(np.int64)
    net = model.net_.module_
    with torch.no_grad():
        features, _ = net(torch.from_numpy(ids)[:, None], net.begin())
        chances = net.log_chances(features[-1, 0])
    for chosen in ({}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.8}):
        options = {**DEFAULTS, **chosen}
        sampler = Sampler(net, model.vocabulary_.tokens, model.tokens, **options, seed=0)
        stream, step = sampler._stream, sampler._step()
        stream.chunk(torch.from_numpy(ids[:-1]))
        before = stream.snapshot()
        draw = sampler._draw(step(int(ids[-1])))
        counts = np.zeros(len(chances))
        for _ in range(4000):
            stream.restore(before)
            step(int(ids[-1]))
            counts[draw()] += 1
        expected = expected_shares(chances.numpy(), **options)
        assert counts[expected == 0].sum() == 0
        there = expected > 0
        wrong = (counts - 4000 * expected)[there] / np.sqrt(4000 * expected[there])
        assert (wrong**2).sum() < 3 * there.sum() + 20


DEFAULTS = {"temperature": 1.0, "top_k": None, "top_p": None}


def expected_shares(chances, temperature, top_k, top_p):
    """The probabilities, by the definition."""
    chances = chances.astype(np.float64) / temperature
    chances[1] = -np.inf  # unknown
    order = np.argsort(-chances)
    if top_k:
        chances[order[top_k:]] = -np.inf
    shares = np.exp(chances - chances.max())
    shares /= shares.sum()
    if top_p:
        keep = int((np.cumsum(shares[order]) < top_p).sum()) + 1
        shares[order[keep:]] = 0
        shares /= shares.sum()
    return shares


@torch.no_grad()
@pytest.mark.parametrize("chosen", [{}, {"temperature": 0.7, "top_k": 4}, {"top_p": 0.9}], ids=str)
def test_a_seed_draws_from_the_networks_own_probabilities(model, chosen):
    options, net = {**DEFAULTS, **chosen}, model.net_.module_
    generator, left, text = np.random.default_rng(4), [], "the c"
    for _ in range(40):
        ids = model._encode(corpus_of([text])).ids[:-1].astype(np.int64)
        features, _ = net(torch.from_numpy(ids)[:, None], net.begin())
        shares = expected_shares(net.log_chances(features[-1, 0]).numpy(), **options)
        left = left or generator.random(DRAWN).tolist()
        number = int(np.cumsum(shares).searchsorted(left.pop(), "right"))
        text += model.vocabulary_.tokens[number - RESERVED]
    assert text == "the c" + "".join(model.generate("the c", length=40, seed=4, **chosen))


def test_weights_in_fewer_bytes_make_up_texts_too(model):
    whole = "".join(model.generate("the c", length=60, temperature=0))
    for weights in ("bfloat16", "int8"):
        text = "".join(model.generate("the c", length=60, temperature=0, weights=weights))
        assert text[:5] == whole[:5]
        streams = [
            Sampler(
                model.net_.module_,
                model.vocabulary_.tokens,
                model.tokens,
                **{**DEFAULTS, "seed": 0, "weight_dtype": dtype},
            )._stream
            for dtype in (None, getattr(torch, weights))
        ]
        one, other = (stream.step(3) for stream in streams)
        assert not torch.equal(one, other)
        assert (one - other)[2:].abs().max() < 0.2


def test_temperature_zero_takes_the_likeliest(model):
    text = "".join(model.generate("the c", length=20, temperature=0))
    assert text == "".join(model.generate("the c", length=20, top_k=1, seed=9))
    assert text.startswith("at ")


def test_texts_end():
    model = LanguageModel(**{**SETTINGS, "epochs": 10, "lr": 0.05}, min_count=1)
    model.fit(["a", "b"] * 200)
    texts = ["".join(model.generate(length=50, seed=seed)) for seed in range(30)]
    assert sum(text in ("a", "b") for text in texts) > 25


def test_bytes_are_given_as_whole_characters():
    model = LanguageModel(**{**SETTINGS, "lr": 0.05}, tokens="bytes").fit(["我们" * 300])
    drawn = list(model.generate("我", length=9, seed=0))
    assert all(len(one.encode()) == 3 for one in drawn)
    cut = "".join(model.generate("我", length=4, temperature=0))
    assert cut == "们\N{REPLACEMENT CHARACTER}"


MISTAKES = {
    "temperature": ({"temperature": -1}, "temperature must lie between 0 and inf. Got -1"),
    "top_p": ({"top_p": 1.5}, "top_p must lie between 0 and 1. Got 1.5"),
    "top_k": ({"top_k": 0}, "top_k must be None or a positive whole number. Got 0"),
    "weights": ({"weights": "int4"}, "weights must be one of float32, bfloat16, int8. Got 'int4'"),
    "length": ({"length": -3}, "length must be None or a whole number from 0 on. Got -3"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_arguments_of_generate(model, name):
    arguments, message = MISTAKES[name]
    with pytest.raises(TaskError) as error:
        model.generate("a", **arguments)  # before anything is drawn
    assert message in str(error.value)


WRONG = {
    "one text": ({}, "abc", "X must be a list of texts"),
    "window": ({"window": 0}, [TEXT], "window must be a whole number from 1"),
    "precision": ({"precision": "half"}, [TEXT], "precision must be one of auto, float32"),
    "residual": ({"recurrent": {"residual": True}}, [TEXT], "recurrent has residual"),
    "averaging": ({"averaging": 1.0}, [TEXT], "averaging must be at least 0 and below 1"),
    "patience": ({"patience": 1}, [TEXT], "patience needs held-out data"),
    "rare": ({"min_count": 10**6}, [TEXT], "X has no character that occurs 1,000,000 times"),
    "adaptive": ({"adaptive_from": 7}, [TEXT], "adaptive_from must be a whole number from 1,000"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_learned_from(name):
    parameters, texts, message = WRONG[name]
    with pytest.raises(TaskError) as error:
        LanguageModel(**{**SETTINGS, **parameters}).fit(texts)
    assert message in str(error.value)


# -- the folder, and trainings that end early


def test_saved_and_loaded_it_says_the_same(model, tmp_path):
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, TrainedLanguageModel)
    assert loaded.bits([UNSEEN]) == model.bits([UNSEEN])
    assert [*loaded.generate(length=9, seed=1)] == [*model.generate(length=9, seed=1)]
    on_torch = LanguageModel.load(tmp_path, backend="torch")
    assert on_torch.bits([UNSEEN]) == pytest.approx(model.bits([UNSEEN]), rel=1e-5)
    assert [*on_torch.generate(length=9, seed=1)] == [*model.generate(length=9, seed=1)]
    again = LanguageModel.load(tmp_path)
    assert clone(again).get_params() == {**model.get_params(), "random_state": 0}
    with pytest.raises(TaskError, match="this model is of another task"):
        SequenceClassifier.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    del config["parameters"]["adaptive_from"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskError, match="'parameters' has no adaptive_from"):
        load_model(tmp_path)


def test_a_cell_of_ones_own(tmp_path):
    class Own(elman.Cell):
        gates = ("z",)
        states = ("h",)

        def step(self, x, u, s):
            return elman.tanh(x.z + u.z)

    model = LanguageModel(**{**SETTINGS, "cell": Own, "epochs": 1}).fit([TEXT])
    model.save(tmp_path)
    loaded = LanguageModel.load(tmp_path, cell=Own)
    assert loaded.bits([UNSEEN]) == model.bits([UNSEEN])


def test_resume_needs_the_same_text(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_task("lm", {}, tmp_path, callbacks=[("interrupt", At(5, interrupt))])
    with pytest.raises(TaskError, match=r"train was .*'characters': "):
        LanguageModel(**SETTINGS).fit([UNSEEN], folder=tmp_path, resume=True)


def test_a_pipe_is_refused_as_files_are_read_more_than_once(tmp_path):
    path = tmp_path / "text"
    os.mkfifo(path)
    for one in (path, Path("-")):
        with pytest.raises(TaskError, match=r"is a pipe; write what comes out of it to a file"):
            read_corpus([one])


def test_a_table_without_a_column_is_read_as_it_stands_and_that_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("text\nhello\n")
    table, column = (read_corpus([tmp_path / "a.csv"], text) for text in (None, "text"))
    assert [note.removeprefix(f"{tmp_path}/") for note in table.notes] == [
        "a.csv: is read as plain text; for a column of its own give --text"
    ]
    assert (table.characters, column.characters, column.notes) == (11, 5, [])
