"""What a language model is made of: its texts, windows, states and last layer."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from elman.tasks import LanguageModel, TaskError
from elman.tasks.data.plain import PIECES, Tokens, corpus_of, read_corpus, split_corpus
from elman.tasks.data.text import Vocabulary
from elman.tasks.networks.language import LanguageRNN, locked
from elman.tasks.networks.softmax import AT_ONCE, cross_entropy
from elman.tasks.training.languagenet import Windows
from tests.tasks.plain_rows import SETTINGS, make_text

NO_DROPOUT = dict.fromkeys(("embedding_dropout", "input_dropout", "hidden_dropout", "dropout"), 0.0)
SURE = {"hidden_size": 24, "epochs": 10, "lr": 0.04}  # enough to know the text
TEXT, UNSEEN = make_text(150), make_text(30, seed=1)


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
