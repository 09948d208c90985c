"""Several labels, numbers, and trainings that go on, from the command line."""

import csv
import json
import re

import pytest

from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.data import read_table
from tests.tasks.labelled_rows import make_labelled
from tests.tasks.tagged_rows import make_tagged, write_jsonl

SMALL = ("--tokens", "words", "--embedding-size", 8, "--hidden-size", 8, "--ngrams", 2)
SMALL += ("--epochs", 2, "--lr", 0.03, "--batch-size", 16)
COLUMNS = ("--text", "text", "--label", "label")


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *rows])
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same rows as lists of labels, as strings of labels, and with numbers."""
    folder = tmp_path_factory.mktemp("labelled")
    texts, labels, numbers = make_labelled(150)
    lines = [{"text": t, "label": row} for t, row in zip(texts, labels, strict=True)]
    content = "\n".join(json.dumps(line) for line in lines)
    (folder / "lists.jsonl").write_text(content, "utf-8")
    strings = [";".join(row) for row in labels]
    write_csv(folder / "strings.csv", zip(texts, strings, strict=True))
    write_csv(folder / "numbers.csv", zip(texts, numbers, strict=True))
    return folder


def test_several_labels_from_a_file_to_a_model_in_use(run, data, tmp_path):
    train = ("train", "classify", *COLUMNS, *SMALL, "--baseline", "--output")
    status, out, err = run(*train, "m", data / "lists.jsonl")
    assert (status, err) == (0, "")
    assert re.search(r"^150 texts: \d+ \w+, \d+ \w+, \d+ \w+$", out, re.M)
    assert re.search(r"^Texts have 1\.\d labels on average; \d+ have none$", out, re.M)
    assert re.search(r"held out F1 \d+\.\d%  held-out loss ", out)
    assert re.search(r"^micro F1 [\d.]+%, macro F1 [\d.]+%, all labels right in ", out, re.M)
    assert "logistic" in out
    report = json.loads((tmp_path / "m/report.json").read_text())
    assert report["evaluation"]["micro_f1"] > 0.8
    assert "micro F1" in (tmp_path / "m/README.md").read_text("utf-8")

    status, _, _ = run(*train, "n", data / "strings.csv", "--labels-separator", ";")
    assert status == 0
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "mn"]
    assert files[0] == files[1]

    status, out, _ = run("predict", "m", "song band soup salt", "we have it")
    first, second = out.splitlines()
    assert status == 0
    assert re.fullmatch(
        r"(food|music)/\d\.\d{3} (food|music)/\d\.\d{3}\tsong band soup salt", first
    )
    assert second == "\twe have it"
    _, out, _ = run("predict", "m", "song band", "--json")
    answer = json.loads(out)
    assert answer["labels"] == ["music"]
    assert set(answer["probabilities"]) == {"food", "music", "sport"}
    _, out, _ = run("predict", "m", "we have it", "--top", 2)
    assert len(out.split("\t")[0].split()) == 2

    status, out, _ = run("evaluate", "n", data / "strings.csv")
    assert status == 0
    assert "150 texts of " in out
    status, _, err = run("evaluate", "m", data / "strings.csv")
    assert (status, "with --labels-separator strings are read, too" in err) == (1, True)
    status, _, _ = run("evaluate", "m", data / "strings.csv", "--labels-separator", ";")
    assert status == 0


def test_numbers_from_a_file_to_a_model_in_use(run, data, tmp_path):
    train = ("train", "classify", *COLUMNS, *SMALL, "--regression", "--baseline", "--output", "m")
    status, out, err = run(*train, data / "numbers.csv")
    assert (status, err) == (0, "")
    assert "150 texts with numbers from 6 to 12.5, on average " in out
    assert re.search(r"^R² [\d.]+, rank correlation [\d.]+, mean absolute error ", out, re.M)
    assert "ridge" in out
    assert (tmp_path / "m/predictions.png").exists()
    assert json.loads((tmp_path / "m/report.json").read_text())["evaluation"]["r2"] > 0.5
    _, out, _ = run("predict", "m", "song band", "soup salt")
    high, low = (float(line.split("\t")[0]) for line in out.splitlines())
    assert high > low
    _, out, _ = run("predict", "m", "song band", "--json")
    assert json.loads(out)["value"] == pytest.approx(high, rel=1e-5)
    status, out, _ = run("evaluate", "m", data / "numbers.csv")
    assert (status, "R² " in out) == (0, True)
    status, out, _ = run("inspect", "m", "--text", "song band")
    assert (status, "numbers    about " in out) == (0, True)
    status, _, err = run("predict", "m", "a", "--top", 2)
    assert (status, "--top is for classifiers" in err) == (1, True)
    on = ("train", "classify", data / "numbers.csv", "--from", "m", "--output", "n")
    status, _, err = run(*on, "--threshold", 0.4)
    assert (status, "--threshold: the model in m has nothing of that" in err) == (1, True)


def test_labels_that_read_like_numbers_are_names_unless_said_otherwise(run, data):
    status, out, _ = run(*("train", "classify", data / "numbers.csv", *COLUMNS, *SMALL))
    assert status == 0
    assert (
        "The labels read like numbers and are learned as names; with --regression they are" in out
    )
    assert "accuracy" in out


def test_going_on_from_a_model(run, data, tmp_path):
    train = ("train", "classify", data / "lists.jsonl", *COLUMNS)
    run(*train, *SMALL, "--output", "m")
    status, out, err = run(*train, "--from", "m", "--lr", 0.001, "--epochs", 1, "--output", "n")
    assert (status, err) == (0, "")
    assert out.startswith("Goes on from m: what it knows stays, its weights change\n")
    config = json.loads((tmp_path / "n/config.json").read_text())
    assert config["parameters"]["hidden_size"] == 8
    assert config["parameters"]["lr"] == 0.001
    assert "train classify" in config["training"]["began_from"]["command"]
    assert "began from | m |" in (tmp_path / "n/README.md").read_text("utf-8")
    assert 'begin_from = "m"' in (tmp_path / "n/options.toml").read_text()
    before = (tmp_path / "n/model.safetensors").read_bytes()
    again = ("train", "classify", data / "lists.jsonl", "--config", "n/options.toml")
    status, _, err = run(*again, "--output", "o")
    assert (status, err) == (0, "")
    assert (tmp_path / "o/model.safetensors").read_bytes() == before


def test_trainings_that_can_not_go_on(run, data, tmp_path):
    train = ("train", "classify", data / "lists.jsonl", *COLUMNS)
    run(*train, *SMALL, "--output", "m")
    new = tmp_path / "new.jsonl"
    new.write_text('{"text": "a song", "label": ["music"]}\n{"text": "b", "label": ["new"]}\n')
    tags = write_jsonl(tmp_path / "tags.jsonl", make_tagged(20))
    for arguments, message in [
        (
            (*train, "--from", "m", "--hidden-size", 9),
            "--hidden-size 9: the model in m has 8, and ",
        ),
        (
            (*train, "--from", "m", "--output", "m"),
            "--from m: would be overwritten; give another f",
        ),
        ((*train, "--from", "m", "--regression"), "--regression: the model of --from learned lab"),
        (("train", "tag", tags, "--from", "m"), "--from m: holds 'elman sequence classifier', exp"),
        (
            ("train", "classify", new, *COLUMNS, "--from", "m"),
            "new.jsonl: 1 label never seen in training: 'new' (line 2); expected one of 'food', ",
        ),
        ((*train, "--from", "nothing"), "nothing: there is no such folder; name one that"),
    ]:
        status, _, err = run(*arguments)
        assert (status, message in err) == (1, True), err


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([["a", "x"], ["b", ""]], ("--labels-separator", ";"), "no text has a label but the label"),
        ([["a", ""], ["b", ""]], ("--labels-separator", ";"), "every text has no label; expected"),
        ([["a", "3"], ["b", "3"]], ("--regression",), "every text has the number 3; expected diff"),
        (
            [["a", "x"]],
            ("--regression", "--labels-separator", ";"),
            "--labels-separator is for lab",
        ),
        (
            [["a", "1"]],
            ("--regression", "--class-weight", "balanced"),
            "--class-weight is for labe",
        ),
    ],
)
def test_nothing_to_learn(run, tmp_path, rows, options, message):
    file = write_csv(tmp_path / "a.csv", rows)
    status, _, err = run("train", "classify", file, *COLUMNS, *options)
    assert (status, message in err) == (1, True), err


def test_a_single_held_out_number_has_no_share_of_variance(run, tmp_path):
    file = write_csv(tmp_path / "a.csv", [["aa", "1"], ["ab", "2"], ["ba", "4"]])
    status, out, _ = run("train", "classify", file, *COLUMNS, "--regression", "--epochs", 1)
    assert (status, "R² nan" in out) == (0, True)
    report = (tmp_path / "a-model/report.json").read_text()
    assert json.loads(report, parse_constant=pytest.fail)["evaluation"]["r2"] is None
    assert "R² unknown" in (tmp_path / "a-model/README.md").read_text("utf-8")


# -- rows of tables


def error_of(path, **given):
    with pytest.raises(TaskError) as error:
        read_table(path, "text", "label", **given)
    return str(error.value)


def test_rows_of_several_labels(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["a", "x, y;z"], ["b", ""], ["c", " z ; ;z"]])
    table = read_table(path, "text", "label", labels_separator=";")
    assert table.labels.tolist() == [("x, y", "z"), (), ("z",)]
    assert table.source["labels_separator"] == ";"
    assert "labels-separator must be something" in error_of(path, labels_separator=" ")


def test_bad_rows_of_several_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [["x"], "x", None, [1, "y"], [[]], [""]]
    path.write_text("\n".join(json.dumps({"text": "a", "label": row}) for row in rows))
    message = error_of(path)
    assert "4 of 6 rows can't be used" in message
    assert (
        "2 rows: 'label' is not a list of labels (lines 2, 3); the first: 'x'; with --lab"
        in message
    )
    assert read_table(path, "text", "label", skip_bad=True).labels.tolist() == [("x",), ("1", "y")]
    path.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": ["y"]}\n')
    assert "'label' is a list of labels, in the first row a single one (line 2)" in error_of(path)


def test_rows_of_numbers(tmp_path):
    rows = [["a", " 1.5 "], ["b", "-2e3"], ["c", "1,5"], ["d", "nan"], ["e", ""]]
    path = write_csv(tmp_path / "a.csv", rows)
    message = error_of(path, kind="number")
    assert "2 rows: 'label' is not a finite number (lines 4, 5); the first: '1,5'" in message
    assert "1 row: no 'label' (line 6)" in message
    table = read_table(path, "text", "label", kind="number", skip_bad=True)
    assert table.labels.tolist() == [1.5, -2000.0]
    (tmp_path / "b.jsonl").write_text('{"text": "a", "label": 0.5}\n')
    assert "0.5; --regression learns numbers" in error_of(tmp_path / "b.jsonl")


# -- columns of other libraries


class Column:
    """Values as pandas' Series has them: rows by labels that are not their places."""

    ndim = 1

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, row):
        return self.values[row - 5]


class Frame:
    """A table as pandas' DataFrame has it."""

    ndim = 2

    def __init__(self, **columns):
        self.named, self.columns = columns, [*columns]

    def __getitem__(self, name):
        return Column(self.named[name])


def test_columns_and_tables_of_other_libraries():
    model = SequenceClassifier(hidden_size=4, embedding_size=4, epochs=1, ngrams=0, verbose=0)
    texts, labels = ["aa", "bb"] * 4, ["x", "y"] * 4
    expected = model.fit(texts, labels).predict_proba(texts).tolist()
    for X, y in [(Column(texts), Column(labels)), (Frame(t=texts), Frame(y=labels))]:
        assert model.fit(X, y).predict_proba(X).tolist() == expected
        assert model.score(X, y) == model.score(texts, labels)
    with pytest.raises(
        TaskError, match=r"^X must be one column. Got a table of 't', 'u'; take one "
    ):
        model.fit(Frame(t=texts, u=labels), labels)
    with pytest.raises(
        TaskError, match=r"^X has no value in row 1, counted from 0; leave them out"
    ):
        model.fit(Column(["a", float("nan")]), [0, 1])
    with pytest.raises(TaskError, match=r"^y has no value in rows 1, 2, counted from 0"):
        model.fit(["a", "b", "c"], Column([0, None, float("nan")]))


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    model = SequenceClassifier(hidden_size=4, embedding_size=4, epochs=1, ngrams=0, verbose=0)
    texts, labels = ["aa", "bb"] * 4, ["x", "y"] * 4
    frame = pandas.DataFrame({"t": texts, "y": labels}, index=range(5, 13))
    expected = model.fit(texts, labels).predict_proba(texts).tolist()
    assert model.fit(frame["t"], frame["y"]).predict_proba(frame[["t"]]).tolist() == expected
    flags = pandas.DataFrame({"z": [1, 0] * 4, "a": [0, 0, 1, 1] * 2})
    assert model.fit(frame["t"], flags).classes_.tolist() == ["z", "a"]
    with pytest.raises(TaskError, match=r"^X has no value in row 2"):
        model.fit(frame["t"].where(frame.index != 7), labels)
