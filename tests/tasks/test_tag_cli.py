"""`elman train tag` and what is done with its models, from files of all kinds."""

import gzip
import json
import re
from pathlib import Path

import pytest

from elman.tasks import SequenceTagger, TaskError
from elman.tasks.data.tagtable import read_tagged
from elman.tasks.training.progress import ProgressBar
from tests.tasks.tagged_rows import make_tagged, write_jsonl
from tests.tasks.trainings import At, interrupt

SMALL = ("--embedding-size", 8, "--hidden-size", 8, "--batch-size", 8, "--lr", 0.03)
TEXT = "我在北京有江泽民的书"


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("tagged") / "names.jsonl", make_tagged(150))


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    rows = make_tagged(30, seed=1)
    return write_jsonl(tmp_path_factory.mktemp("tagged") / "others.jsonl", rows)


@pytest.fixture(scope="session")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "names"
    settings = {"embedding_size": 8, "hidden_size": 8, "batch_size": 8, "epochs": 5, "lr": 0.03}
    SequenceTagger(**settings).fit(*make_tagged(150)).save(folder)
    return folder


def test_from_a_file_to_a_model_in_use(run, file, others, tmp_path):
    status, out, err = run(
        "train", "tag", file, *SMALL, "--epochs", 6, "--output", "m", "--baseline"
    )
    assert (status, err) == (0, "")
    assert re.search(
        r"^150 texts of [\d,]+ characters, tagged as BIO: \d+ \w+, \d+ \w+$", out, re.M
    )
    assert re.search(r"held out F1 \d+\.\d%  held-out loss ", out)
    assert re.search(r"^mistakes.jsonl lists \d+ mistake", out, re.M)
    assert "each token's commonest tag" in out
    written = {path.name for path in (tmp_path / "m").iterdir()}
    assert written == {
        *("config.json", "model.safetensors", "report.json", "options.toml", "README.md"),
        *("mistakes.jsonl", "loss.png"),
    }
    report = json.loads((tmp_path / "m/report.json").read_bytes())
    assert report["evaluation"]["spans"]["f1"] > 0.8
    assert set(report["evaluation"]["by_label"]) == {"city", "person"}

    status, out, err = run("evaluate", "m", others)
    assert (status, err) == (0, "")
    assert "30 texts of " in out
    assert (tmp_path / "m/evaluate-others/report.json").exists()
    for line in (tmp_path / "m/evaluate-others/mistakes.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["kind"] in ("missed", "made up", "other label", "other ends")

    status, out, _ = run("inspect", "m", "--text", TEXT)
    assert status == 0
    assert "labels     2: city, person" in out
    assert re.search(r"^ *[\d.]+%  city  北京$", out, re.M)


def test_predict_in_every_form(run, tagger):
    status, out, err = run("predict", tagger, TEXT)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"北京/city/[01]\.\d{3} 江泽民/person/[01]\.\d{3}\t" + TEXT + "\n", out)

    _, out, _ = run("predict", tagger, "--json", TEXT)
    answer = json.loads(out)
    assert [(s["start"], s["end"], s["label"], s["text"]) for s in answer["spans"]] == [
        (2, 4, "city", "北京"),
        (5, 8, "person", "江泽民"),
    ]
    assert answer["argument"] == 1

    _, out, _ = run("predict", tagger, "--format", "conll", TEXT)
    assert out.splitlines()[2:4] == ["北\tB-city", "京\tI-city"]
    assert out.endswith("书\tO\n\n")

    _, out, _ = run("predict", tagger, "--format", "html", "<b>在北京&")
    assert out.startswith("<!DOCTYPE html>")
    assert "<p>&lt;b&gt;在<mark" in out
    assert "北京<small>city</small></mark>&amp;</p>" in out

    status, _, err = run("predict", tagger, "--format", "xml", TEXT)
    assert (status, err) == (
        1,
        "elman: --format must be one of text, jsonl, conll, html. Got 'xml'.\n",
    )


def test_predict_of_pipes_and_files(run, tagger, file):
    status, out, err = run("predict", tagger, stdin=f"{TEXT}\n\n我在上海\n".encode())
    assert status == 1
    assert len(out.splitlines()) == 2
    assert "1 row: no 'text' (line 2)" in err
    status, out, _ = run("predict", tagger, "--file", file, "--json")
    assert status == 0
    assert len(out.splitlines()) == 150
    for content in ("我\n北\n京\n", "我 O\n北 B-city\n京 I-city\n"):
        Path("tokens.conll").write_text(content, "utf-8")
        status, out, _ = run("predict", tagger, "--file", "tokens.conll", "--format", "conll")
        assert (status, out) == (0, "我\tO\n北\tB-city\n京\tI-city\n\n")


def test_what_was_predicted_can_be_learned_from(run, tagger, tmp_path):
    texts, _ = make_tagged(30, seed=2)
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts), "utf-8")
    status, out, _ = run("predict", tagger, "--file", "in.jsonl", "--format", "conll")
    assert status == 0
    (tmp_path / "again.conll").write_text(out, "utf-8")
    status, out, _ = run("evaluate", tagger, "again.conll", "--text", "1", "--label", "2")
    assert status == 0
    assert "F1 100.0%" in out


CONLL = "Ann\tNNP\tB-name\nran\tVB\tO\n\n-DOCSTART- x O\n\nBob\tNNP\tB-name\nB.\tNNP\tI-name\n"


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.conll", CONLL, (None, None)),
        ("a.bio", CONLL.replace("\t", " "), ("1", "3")),
        ("a.txt", CONLL.replace("B-name\nran", "S-name\nran").replace("B-name\nB.", "B-name\nB.")
         .replace("I-name", "E-name"), ("1", "-1")),
        ("a.jsonl", '{"w": ["Ann", "ran"], "t": ["B-name", "O"]}\n'
                    '{"w": ["Bob", "B."], "t": ["B-name", "I-name"]}\n', ("w", "t")),
        ("a.jsonl", '{"w": ["Ann", "ran"], "t": [[0, 1, "name"]]}\n'
                    '{"w": ["Bob", "B."], "t": [{"start": 0, "end": 2, "label": "name"}]}\n',
         ("w", "t")),
        ("a.csv", "text,label\nAnn ran,B-name O\nBob B.,B-name I-name\n", (None, None)),
    ],
    ids=["tabs", "spaces", "bioes", "tags", "spans", "csv"],
)  # fmt: skip
def test_every_form_of_file(tmp_path, name, content, columns):
    (tmp_path / name).write_text(content, "utf-8")
    table = read_tagged(tmp_path / name, *columns, tokens="words")
    assert table.texts == [["Ann", "ran"], ["Bob", "B."]]
    spans = [[tuple(span) for span in row] for row in table.spans()]
    assert spans == [[(0, 1, "name")], [(0, 2, "name")]]


def test_spans_in_a_table_count_characters(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nAnn ran,"[[0, 3, ""name""]]"\n', "utf-8")
    for tokens, expected in (("words", (0, 1, "name")), ("characters", (0, 3, "name"))):
        table = read_tagged(tmp_path / "a.csv", tokens=tokens)
        assert table.spans() == [[expected]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.conll",
            "a B-x\n\nb O\nc I-x\n",
            "1 of 2 rows can't be used:\n  1 row: I-x follows O (line 4): in",
        ),
        ("a.conll", "a O\n\nb\nc O\n\nd O\n", "only one column (line 3): 'b'; expected a token"),
        (
            "a.conll",
            "a O\n\nb x O\n",
            "not as many columns as the first line's 2 (line 3): it has 3",
        ),
        ("a.conll", "", "no text with tags; expected at least one"),
        ("a.conll", "a \udcff\n", "not UTF-8 (line 1)"),
        (
            "a.jsonl",
            '{"text": "ab", "label": [[0, 3, "x"]]}',
            "a span that isn't in the text (line 1)",
        ),
        ("a.jsonl", '{"text": "ab", "label": [[0, 2]]}', "a span that is none (line 1): [0, 2]"),
        ("a.jsonl", '{"text": "ab", "label": [[0, 1, "\\ud800"]]}', "not UTF-8 (line 1)"),
        (
            "a.jsonl",
            '{"text": "ab", "label": 3}',
            "'label' is no list of tags or spans (line 1): '3'",
        ),
        (
            "a.jsonl",
            '{"text": "ab", "label": ["O", [0, 1, "x"]]}',
            "'label' is no list of tags or sp",
        ),
        (
            "a.jsonl",
            '{"text": "ab", "label": ["O"]}',
            "not as many tags as tokens (line 1): 1 tags",
        ),
        ("a.jsonl", '{"text": ["a", ""], "label": ["O", "O"]}', "'text' is no text (line 1)"),
        ("a.jsonl", '{"text": "", "label": []}', "no 'text' (line 1)"),
        ("a.jsonl", '{"text": "a\\ud800", "label": []}', "not UTF-8 (line 1)"),
        ("a.jsonl", '{"text": "ab", "labels": []}', "no column 'label' in line 1; there are"),
        ("a.jsonl", "{", "not JSON (line 1)"),
        ("a.csv", 'text,label\nab,"[["\n', "'label' is not JSON (line 2)"),
        ("a.csv", "text,label\nab,\n", "'label' is no list of tags or spans (line 2)"),
        ("a.xyz", "", "can't tell the format from the suffix '.xyz'"),
    ],
)
def test_bad_rows_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(TaskError) as error:
        read_tagged(tmp_path / name)
    assert message in str(error.value)


def test_bad_rows_may_be_left_out(tmp_path):
    (tmp_path / "a.conll").write_text("a B-x\n\nb I-x\n\nc\n\nd B-x\ne I-x\n", "utf-8")
    table = read_tagged(tmp_path / "a.conll", skip_bad=True)
    assert table.texts == [["a"], ["d", "e"]]
    assert table.lines == [1, 7]
    (note,) = table.notes
    assert "I-x follows nothing (line 3)" in note
    assert "only one column (line 5)" in note


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("word", None), "columns of such a file have numbers, from 1 on or from -1 back"),
        (("0", None), "columns of such a file have numbers"),
        (("1", "3"), "line 1 has 2 columns; expected --text, --label and --auxiliary to be num"),
        (("-3", None), "line 1 has 2 columns"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, message):
    (tmp_path / "a.conll").write_text("a O\n", "utf-8")
    with pytest.raises(TaskError, match=message):
        read_tagged(tmp_path / "a.conll", *columns)


def test_held_out_labels_that_are_new_count_as_missed(run, file, tmp_path):
    rows = ['{"text": "ab", "label": [[0, 1, "river"]]}', '{"text": "ab", "label": []}']
    (tmp_path / "v.jsonl").write_text("\n".join(rows), "utf-8")
    train = ("train", "tag", file, *SMALL, "--epochs", 1, "--valid", "v.jsonl", "--output", "m")
    status, out, _ = run(*train)
    assert status == 0
    assert "1 span of the held-out texts have a label that " in out
    assert " hasn't (river): they count as missed" in out
    assert (
        json.loads((tmp_path / "m/mistakes.jsonl").read_text().splitlines()[0])["kind"] == "missed"
    )


def test_nothing_to_learn_is_told(run, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "ab", "label": []}\n' * 3, "utf-8")
    status, _, err = run("train", "tag", "a.jsonl")
    assert (status, err) == (1, "elman: a.jsonl: no text has a span; expected at least one.\n")


def test_the_command_can_be_interrupted_and_resumed(run, file, monkeypatch, tmp_path):
    train = ["train", "tag", file, *SMALL, "--epochs", 2, "--output"]
    assert run(*train, "whole")[0] == 0
    press = At(2, interrupt)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_batch_end", lambda bar, net, **_: press.on_batch_end(net))
        status, out, err = run(*train, "parts")
    assert (status, err) == (130, "")
    assert "Interrupted in epoch 1; what the model has learned so far is saved in parts." in out
    assert run(*train, "parts", "--resume")[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_compressed_columns(tmp_path):
    content = "北\tB-city\n京\tI-city\n的\tO\n\n我\tI-city\n".encode()
    for path in (tmp_path / "a.conll", tmp_path / "a.conll.gz"):
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        with pytest.raises(TaskError, match=r"I-city follows nothing \(line 5\)"):
            read_tagged(path, scheme="BIO")
        assert read_tagged(path, scheme="IOB1").texts == [["北", "京", "的"], ["我"]]
