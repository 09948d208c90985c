"""Auxiliary tags: what a tagger learns beside its tags, and answers nothing of."""

import json
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from elman.tasks import SequenceTagger, TaskError
from elman.tasks.data.schemes import Span
from elman.tasks.data.tagtable import read_tagged
from elman.tasks.models.opening import load_model
from elman.tasks.networks.crf import PathLoss
from tests.tasks.tagged_rows import SETTINGS, make_auxiliary, make_tagged

TEXTS, SPANS = make_tagged(60)
UNSEEN, TRUTH = make_tagged(20, seed=1)
SMALL = {**SETTINGS, "epochs": 1, "verbose": 0}


@pytest.fixture(scope="module", params=[1, 2], ids="{} networks".format)
def fitted(request):
    model = SequenceTagger(**SMALL, n_estimators=request.param)
    return model.fit(TEXTS, SPANS, make_auxiliary(TEXTS), valid=(UNSEEN, TRUTH))


def test_they_are_in_the_folder_and_in_no_answer(fitted, tmp_path):
    fitted.save(tmp_path)
    assert fitted.auxiliary_ == ["S-name", "S-other"]
    assert {tag[2:] for tag in fitted.labels_} == {"", "city", "person"}
    config = json.loads((tmp_path / "config.json").read_bytes())
    assert config["auxiliary"] == fitted.auxiliary_
    for loaded in (SequenceTagger.load(tmp_path), load_model(tmp_path)):
        assert loaded.auxiliary_ == fitted.auxiliary_
        assert loaded.predict_spans(UNSEEN) == fitted.predict_spans(UNSEEN)
    (tmp_path / "config.json").write_text(json.dumps({**config, "auxiliary": ["S-b", "S-a"]}))
    with pytest.raises(TaskError, match=r"'auxiliary' must be BIOES tags, two at least"):
        SequenceTagger.load(tmp_path)


def test_they_shape_what_the_layers_learn(fitted):
    alone = SequenceTagger(**SMALL, n_estimators=fitted.n_estimators).fit(TEXTS, SPANS)
    weights = alone.net_.module_.state_dict()
    learned = fitted.net_.module_.state_dict()
    assert {name.split(".")[-2] for name in learned.keys() - weights.keys()} == {"auxiliary"}
    for name in weights:
        if "rnn.weight" in name:
            assert not torch.equal(weights[name], learned[name])


def test_without_a_weight_they_change_nothing():
    with_them = SequenceTagger(**SMALL, auxiliary_weight=0.0).fit(
        TEXTS, SPANS, make_auxiliary(TEXTS)
    )
    learned = with_them.net_.module_.state_dict()
    alone = SequenceTagger(**SMALL).fit(TEXTS, SPANS)
    for name, tensor in alone.net_.module_.state_dict().items():
        assert torch.equal(tensor, learned[name])


def test_the_loss_is_that_of_the_paths_and_a_share_of_theirs():
    model = SequenceTagger(**SMALL | {"dropout": 0.0}, token_dropout=0.0, auxiliary_weight=0.3)
    model.fit(TEXTS, SPANS, make_auxiliary(TEXTS))
    net, rows = model.net_, encoded(model)
    batch, targets = net.get_iterator(rows, training=True).batch(np.array([0, 3, 5]), 0, 1)
    net.module_.train()
    said = net.infer(batch)
    expected = PathLoss()(said.lattice, targets[:, 0])
    codes = targets[:, 1]
    expected = expected + 0.3 * functional.cross_entropy(said.auxiliary, codes, reduction="sum")
    found = net.get_loss(said, targets, X=batch, training=True)
    torch.testing.assert_close(found, expected / batch.whole)
    texts = [TEXTS[row] for row in (0, 3, 5)]
    names = [sum(c == "name" for c in row) for row in make_auxiliary(texts)]
    assert int((codes == 0).sum()) == sum(names)


def encoded(model):
    """The texts with both kinds of tags, as the model learns from them."""
    auxiliary = [[f"S-{kind}" for kind in row] for row in make_auxiliary(TEXTS)]
    return model._encode(TEXTS, [["O"] * len(text) for text in TEXTS], auxiliary)


def test_a_rank_without_a_text_adds_nothing(fitted):
    net, rows = fitted.net_, encoded(fitted)
    batch, targets = net.get_iterator(rows, training=True).batch(np.array([4]), 1, 2)
    net.module_.train()
    said = net.infer(batch)
    for one in said if isinstance(said, list) else [said]:
        assert net.get_loss(one, targets, X=batch, training=True).item() == 0


def test_a_training_goes_on_with_them_or_without(fitted, tmp_path):
    fitted.save(tmp_path)
    model = SequenceTagger.load(tmp_path).set_params(warm_start=True, verbose=0)
    for further in ([], [make_auxiliary(UNSEEN)]):
        model.fit(UNSEEN, TRUTH, *further)
        assert model.auxiliary_ == fitted.auxiliary_
        assert ("auxiliary" in model.training_["data"]) == bool(further)
    with pytest.raises(TaskError, match=r"^auxiliary has tags that were not there in training: S"):
        model.fit(["北京"], [["B-city", "I-city"]], [["x", "name"]])
    alone = SequenceTagger(**SMALL, warm_start=True).fit(TEXTS, SPANS)
    with pytest.raises(TaskError, match=r"^auxiliary: the model that this training goes on from"):
        alone.fit(TEXTS, SPANS, make_auxiliary(TEXTS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([["x", "y"]], r"^auxiliary must have a list of tags or of spans for each text in X"),
        ([["x"], ["x"]], r"^auxiliary\[0\]\[0\]: not as many tags as tokens: 1 tags for 2 charac"),
        ([["O", "O"], ["O"]], r"^auxiliary has one tag only, O: there is nothing to learn; expec"),
        ([[(0, 3, "x")], []], r"^auxiliary\[0\]: a span that isn't in the text"),
    ],
)
def test_what_is_wrong_is_told(given, message):
    with pytest.raises(TaskError, match=message):
        SequenceTagger(**SMALL, min_count=1).fit(["北京", "的"], [[(0, 2, "city")], []], given)
    with pytest.raises(TaskError, match=r"^auxiliary_weight must be a number of at least 0. Got -"):
        SequenceTagger(auxiliary_weight=-1).fit(TEXTS, SPANS)


CONLL = (
    "Ann\tB-NP\tNNP\tS-name\nran\tB-VP\tVB\tO\n\nBob\tB-NP\tNNP\tB-name\nB.\tI-NP\tNNP\tE-name\n"
)
TOKENS = '{"text": ["Ann", "ran"], "label": [[0, 1, "name"]], "pos": ["NNP", "VB"]}\n'
STRING = '{"text": "Ann ran", "label": [[0, 3, "name"]], "pos": [[0, 3, "NNP"], [4, 7, "VB"]]}\n'


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("a.conll", CONLL, "3", [["S-NNP", "S-VB"], ["S-NNP", "S-NNP"]]),
        ("a.conll", CONLL, "-3", [["S-NP", "S-VP"], ["B-NP", "E-NP"]]),
        ("a.jsonl", TOKENS, "pos", [["S-NNP", "S-VB"]]),
        ("a.jsonl", STRING, "pos", [["S-NNP", "S-VB"]]),
        ("a.csv", "text,label,pos\nAnn ran,S-name O,NNP VB\n", "pos", [["S-NNP", "S-VB"]]),
    ],
    ids=["tags", "chunks", "tokens", "spans", "csv"],
)
def test_a_column_of_every_form_of_file(tmp_path, name, content, column, expected):
    (tmp_path / name).write_text(content, "utf-8")
    table = read_tagged(tmp_path / name, auxiliary=column, tokens="words")
    assert table.auxiliary == expected
    assert table.spans()[0] == [Span(0, 1, "name")]
    assert table.source["auxiliary"] == column
    assert table.take([0])[2] == expected[:1]
    assert len(read_tagged(tmp_path / name, tokens="words").take([0])) == 2


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.conll", CONLL, "5", "line 1 has 4 columns; expected --text, --label and --auxiliary"),
        ("a.conll", CONLL, "pos", "Got 'pos' for --text, --label or --auxiliary"),
        ("a.conll", "a I-x O\n\nb B-x O\n", "2", "I-x follows nothing (line 1): in BIO a span b"),
        ("a.jsonl", TOKENS, "tag", "no column 'tag' in line 1; there are 'text', 'label', 'pos'"),
        ("a.jsonl", TOKENS.replace(', "VB"', ""), "pos", "not as many tags as tokens (line 1)"),
        ("a.jsonl", TOKENS.replace('["NNP", "VB"]', "3"), "pos", "'pos' is no list of tags or spa"),
    ],
)
def test_a_bad_column_is_told(tmp_path, name, content, column, message):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(TaskError) as error:
        read_tagged(tmp_path / name, auxiliary=column, tokens="words")
    assert message in str(error.value)


def write(path, rows, **columns):
    lines = zip(*rows, *columns.values(), strict=True)
    names = ("text", "label", *columns)
    text = [json.dumps(dict(zip(names, line, strict=True)), ensure_ascii=False) for line in lines]
    path.write_text("\n".join(text), "utf-8")


def test_from_the_command_line(run, tmp_path):
    write(tmp_path / "names.jsonl", (TEXTS, SPANS), pos=make_auxiliary(TEXTS))
    write(tmp_path / "held.jsonl", (UNSEEN, TRUTH))  # there the column may be missing
    small = ("--embedding-size", 8, "--hidden-size", 8, "--epochs", 1, "--valid", "held.jsonl")
    train = ("train", "tag", "names.jsonl", *small, "--auxiliary", "pos", "--output", "m")
    status, _, err = run(*train)
    assert (status, err) == (0, "")
    assert SequenceTagger.load(tmp_path / "m").auxiliary_ == ["S-name", "S-other"]
    assert json.loads((tmp_path / "m/report.json").read_bytes())["data"]["auxiliary"] == "pos"
    assert run("evaluate", "m", "held.jsonl")[0] == 0
    _, out, _ = run("inspect", "m")
    assert re.search(r"^auxiliary +2: name, other", out, re.M)
    goes_on = ("train", "tag", "names.jsonl", "--from", "m", "--epochs", 1, "--output", "n")
    for further in ((), ("--auxiliary", "pos")):
        assert run(*goes_on, *further)[::2] == (0, "")
