"""`LanguageModel`: what it learns, foretells and makes up; its windows, states and last layer."""

import json
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from torch.testing import assert_close

import elman
from elman.tasks import LanguageModel, SequenceClassifier, TaskError
from elman.tasks.data.plain import PIECES, Tokens, corpus_of, read_corpus, split_corpus
from elman.tasks.data.text import Vocabulary
from elman.tasks.models.generation import Sampler
from elman.tasks.models.language import TrainedLanguageModel
from elman.tasks.models.opening import load_model
from elman.tasks.networks.language import LanguageRNN, locked
from elman.tasks.networks.softmax import AT_ONCE, cross_entropy
from elman.tasks.report import surprise as surprise_module
from elman.tasks.report.surprise import surprises
from elman.tasks.training.languagenet import Windows
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


# -- texts


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_tokens_put_together_are_the_text(tokens):
    text = "  Don't,\t我们 said_it 3.5\r\n\n ok "
    assert "".join(PIECES[tokens](text)) == text
    assert PIECES["words"]("a dog, 我们.\n") == ["a", " dog", ",", " 我们", ".", "\n"]


def test_files_are_read_as_they_are(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_bytes(b"ab\r\nc\n")
    two.write_bytes("是".encode())
    corpus = read_corpus([one, two])
    assert [*map("".join, corpus.texts)] == ["ab\r\nc\n", "是"]
    assert corpus.fingerprint() == corpus_of(["ab\r\nc\n", "是"]).fingerprint()
    ids = Tokens(corpus, Vocabulary("abc\n是"), "characters").ids
    assert ids.tolist() == [0, 2, 3, 1, 5, 4, 5, 0, 6, 0]
    (tmp_path / "rows.csv").write_text("text,label\nab,1\ncd,2\n")
    table = read_corpus([tmp_path / "rows.csv"], "text")
    assert [*map("".join, table.texts)] == ["ab", "cd"]
    learn, held_out = split_corpus(table, 0.5)
    assert [*map("".join, learn.texts), *map("".join, held_out.texts)] == ["ab", "cd"]


def test_lines_that_are_not_utf8(tmp_path):
    path = tmp_path / "mixed.txt"
    path.write_bytes(b"good\n\xff\xfebad\ngood\n")
    with pytest.raises(TaskError, match=r"1 of 3 rows can't be used:\n  1 row: not UTF-8 \(line 2"):
        read_corpus([path])
    corpus = read_corpus([path], skip_bad=True)
    assert ([*corpus.texts[0]], corpus.characters) == (["good\n", "good\n"], 10)
    assert "are left out" in corpus.notes[0]


def test_a_split_is_made_between_lines():
    corpus = read_or(["a\nb\n", "c\nd\n"])
    learn, held_out = split_corpus(corpus, 0.25)
    assert [*map("".join, learn.texts)] == ["a\nb\n", "c\n"]
    assert [*map("".join, held_out.texts)] == ["d\n"]
    assert (learn.characters, held_out.characters) == (6, 2)
    with pytest.raises(TaskError, match="a single line, which can't be split"):
        split_corpus(corpus_of(["one"]), 0.5)
    with pytest.raises(TaskError, match="fraction must lie between 0 and 1"):
        split_corpus(corpus, 1.0)


def read_or(texts):
    """A corpus whose texts are read line by line."""
    whole = corpus_of(texts)
    pieces = [text.splitlines(keepends=True) for text in texts]
    return type(whole)(pieces, whole.characters, whole.sha256)


# -- windows and states


@pytest.mark.parametrize(("size", "batch", "window"), [(1000, 7, 16), (33, 4, 64), (3, 8, 2)])
def test_windows_follow_one_another(size, batch, window):
    tokens = Tokens(corpus_of(["x"]), Vocabulary("x"), "characters")
    tokens.ids = np.arange(size + 1, dtype=np.int32)
    for shuffle in (False, True):
        windows = Windows(tokens, batch, shuffle, seed=1, window=window)
        steps = list(windows.epoch(3))
        assert len(steps) == len(windows)
        assert [given.begins for given, _ in steps] == [True] + [False] * (len(steps) - 1)
        read = torch.cat([given.tokens for given, _ in steps])
        assert torch.equal(read + 1, torch.cat([targets for _, targets in steps]))
        streams = min(batch, size)
        assert torch.equal(read[:, 0], torch.arange(size // streams))
        assert torch.equal(read[0], torch.arange(streams) * (size // streams))
        rest = list(windows.epoch(3, start=1))
        assert all(
            torch.equal(one[0].tokens, two[0].tokens)
            for one, two in zip(rest, steps[1:], strict=True)
        )
    if size == 1000:
        lengths = [len(given.tokens) for given, _ in steps]
        assert min(lengths) >= window // 2 - 1
        assert len(set(lengths)) > 2


def test_ranks_share_the_streams():
    tokens = Tokens(corpus_of([TEXT]), Vocabulary("abc"), "characters")
    windows = Windows(tokens, 3, window=16)
    parts = [next(windows.epoch(rank=rank, ranks=2)) for rank in (0, 1)]
    (whole, targets), _ = next(windows.epoch()), None
    assert torch.equal(parts[0][0].tokens, whole.tokens[:, ::2])
    assert torch.equal(parts[1][1], targets[:, 1::2])
    assert {len(given) for given, _ in parts} == {len(whole)}
    idle, nothing = next(Windows(tokens, 1, window=16).epoch(rank=1, ranks=2))
    assert (idle.tokens.shape[1], bool((nothing == -1).all())) == (1, True)


def network(**changed):
    options = {
        "cell": "lstm",
        "embedding_size": 5,
        "hidden_size": [7, 6],
        "num_layers": 2,
        "recurrent": None,
        "adaptive_from": 10**6,
        "backend": "elman",
        **NO_DROPOUT,
    }
    torch.manual_seed(0)
    return LanguageRNN(11, **{**options, **changed})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "lightgru"])
def test_states_go_on_where_they_were(cell):
    net, tokens = network(cell=cell), torch.randint(11, (9, 3))
    whole, last = net(tokens, net.begin())
    first, states = net(tokens[:4], net.begin())
    rest, end = net(tokens[4:], states)
    assert torch.equal(torch.cat([first, rest]), whole)
    assert_close(end, last, rtol=0, atol=0)


def test_both_backends_are_the_same_network():
    one, two = network(), network(backend="torch")
    assert one.state_dict().keys() == two.state_dict().keys()
    tokens = torch.randint(11, (9, 3))
    assert_close(one(tokens, one.begin())[0], two(tokens, two.begin())[0])


def test_dropout_stays_for_a_window():
    torch.manual_seed(0)
    dropped = locked(torch.ones(4, 3, 200), 0.25)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean() == pytest.approx(1, abs=0.1)
    net = network(embedding_dropout=0.5).train()
    features, _ = net(torch.arange(11)[None].repeat(2, 1), net.begin())
    assert not torch.equal(features, net.eval()(torch.arange(11)[None], net.begin())[0])


# -- the last layer


@pytest.mark.parametrize("places", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_is_that_of_pytorch(places, dtype):
    torch.manual_seed(places)
    x, weight, bias = (
        (torch.randn(*s) * 0.5).requires_grad_() for s in ((places, 6), (13, 6), (13,))
    )
    targets = torch.randint(-1, 13, (places,))
    targets[0] = 3
    loss = cross_entropy(x, weight, bias, targets, dtype)
    expected = F.cross_entropy(F.linear(x, weight, bias), targets, ignore_index=-1, reduction="sum")
    close = {"rtol": 1e-5, "atol": 1e-5}
    if dtype is torch.bfloat16:
        close = {"rtol": 0.02, "atol": 0.02 * places**0.5}
    assert_close(loss, expected, **close)
    given = torch.autograd.grad(3 * loss, [x, weight, bias])
    assert_close(given, torch.autograd.grad(3 * expected, [x, weight, bias]), **close)
    with torch.no_grad():
        assert_close(cross_entropy(x, weight, bias, targets, dtype), expected, **close)


def test_large_vocabularies_have_an_adaptive_softmax():
    words = "".join(f"w{number} " for number in range(1200)) * 2
    model = LanguageModel(**{**SETTINGS, "epochs": 1}, tokens="words", adaptive_from=1000)
    model.fit([words])
    assert model.net_.module_.adaptive is not None
    features = torch.randn(4, 2, 8)
    chances = model.net_.module_.log_chances(features)
    assert_close(chances.exp().sum(-1), torch.ones(4, 2))
    targets = torch.randint(len(model.vocabulary_), (4, 2))
    loss = model.net_.module_.loss(features, targets, torch.float32)
    assert_close(loss, -chances.gather(-1, targets[..., None]).sum())
    assert "".join(model.generate(length=5, seed=0)).count("w") == 5


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
        score, draw = sampler._score(), sampler._draw()
        output = net.rnn(net.embedding(torch.from_numpy(ids)[:, None]), net.begin(), 0.0)[0][-1, 0]
        counts = np.zeros(len(chances))
        for _ in range(4000):
            score(output.detach())
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
    "rare": ({"min_count": 10**6}, [TEXT], "X has no character that occurs 1000000 times"),
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
