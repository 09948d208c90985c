"""`elman train lm`, `generate` and `score`, and what else is done with such a model."""

import json
import re

import pytest

from elman.tasks.models.opening import load_model
from elman.tasks.training.progress import ProgressBar
from tests.tasks.plain_rows import make_text
from tests.tasks.trainings import At, interrupt

SMALL = (
    *("--embedding-size", 8, "--hidden-size", 16, "--num-layers", 1, "--window", 16),
    *("--batch-size", 4, "--lr", 0.04, "--epochs", 4),
    *("--dropout", 0, "--input-dropout", 0, "--embedding-dropout", 0),
)


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "story.txt"
    path.write_text(make_text(150), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(file, tmp_path_factory):
    """A model, trained from the command line."""
    import sys

    from elman import cli

    output = tmp_path_factory.mktemp("models") / "story"
    arguments = ["elman", "train", "lm", file, *SMALL, "--baseline", "--output", output]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    return output


def test_from_a_file_to_a_model(run, file, tmp_path):
    status, out, err = run("train", "lm", file, *SMALL, "--baseline", "--output", "m")
    assert (status, err) == (0, "")
    characters = f"{len(make_text(150)):,}"
    assert f"{characters} characters in 1 text\n" in out
    assert re.search(r"^[\d,]+ characters to learn from, \d+ characters held out$", out, re.M)
    assert re.search(r"held out \d\.\d{3} bits a character  held-out loss ", out)
    assert re.search(r" [\d,]+ characters/s", out)
    assert re.search(r"^On the held-out text:\n\d\.\d{3} bits a character, perplexity ", out, re.M)
    assert re.search(r"^Kneser-Ney, order 8 +\d\.\d{3} bits a character", out, re.M)
    assert "both, weighed as the text goes on" in out
    assert "Saved in m. Use it with: elman generate m --prompt TEXT" in out
    written = {path.name for path in (tmp_path / "m").iterdir()}
    expected = {
        "config.json",
        "model.safetensors",
        "report.json",
        "options.toml",
        "loss.png",
        "README.md",
    }
    assert written == expected
    report = json.loads((tmp_path / "m/report.json").read_bytes())
    assert 0 < report["evaluation"]["bits_per_character"] < 4
    assert report["data"]["characters"] == len(make_text(150))

    # The same again from its options, and on a text of its own.
    again = ("train", "lm", "--config", "m/options.toml", "--output", "n")
    assert run(*again)[0] == 0
    assert load_model(tmp_path / "n").bits(["it"]) == load_model(tmp_path / "m").bits(["it"])
    other = ("train", "lm", file, file, *SMALL, "--valid", file, "--tokens", "words")
    status, out, _ = run(*other, "--epochs", 1)
    assert (status, "in 2 texts" in out) == (0, True)
    assert re.search(r"bits a character, \d+\.\d{3} bits a word, perplexity .* words", out)


def test_texts_are_made_up(run, folder):
    status, out, err = run("generate", folder, "--prompt", "the c", "--length", 30, "--seed", 1)
    assert (status, err) == (0, "")
    assert out.startswith("the c")
    assert len(out) == 36
    again = ("generate", folder, "--prompt", "-", "--length", 30, "--seed", 1)
    assert run(*again, stdin=b"the c")[1] == out
    cold = ("generate", folder, "--prompt", "the c", "--length", 30, "--temperature", 0)
    assert run(*cold)[1] == run(*cold, "--top-k", 3, "--top-p", 0.5)[1]
    status, out, err = run(*cold, "--weights", "int8")
    assert (status, err, len(out)) == (0, "", 36)


def test_a_text_is_scored(run, folder, file, tmp_path):
    status, out, err = run("score", folder, "the cat sees <it>.")
    assert (status, err) == (0, "")
    assert "the cat sees <it>.\n" in out
    assert re.search(r"^\d+\.\d{3} bits a character$", out, re.M)
    rows = run("score", folder, "the cat\t", "--format", "tsv")[1].splitlines()
    assert [row.split("\t")[0] for row in rows] == [*"the cat", r"\t"]
    found = [
        json.loads(row)
        for row in run("score", folder, file, "--format", "jsonl")[1].split("\n")[:-1]
    ]
    assert "".join(row["token"] for row in found) == make_text(150)
    page = run("score", folder, "-", "--format", "html", stdin=b"a<b")[1]
    assert page.startswith("<!DOCTYPE html>")
    assert "&lt;</span>" in page
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xfd")
    status, _, err = run("score", folder, "bad.txt")
    assert (status, err) == (1, "elman: bad.txt: is not UTF-8 (byte 0).\n")


def test_what_else_is_done_with_it(run, folder, file, tmp_path):
    status, out, err = run("evaluate", folder, file, "--output", "found")
    assert (status, err) == (0, "")
    assert re.search(rf"characters of {re.escape(str(file))}:\n\d\.\d+ bits a character", out)
    assert json.loads((tmp_path / "found/report.json").read_bytes())["evaluation"]["tokens"]
    status, out, _ = run("inspect", folder, "--text", "the cat", "--picture", "states.png")
    assert status == 0
    assert re.search(r"^scores +\d\.\d+ bits a character, perplexity", out, re.M)
    assert re.search(r"^ +\d+\.\d%  '.'$", out, re.M)
    status, _, err = run("predict", folder, "the cat")
    assert status == 1
    assert "A language model has no labels to predict. To go on with a text: elman generate" in err


@pytest.mark.parametrize("command", ["generate", "score"])
def test_models_of_other_tasks_are_refused(run, model, command):
    arguments = ("a text",) if command == "score" else ()
    status, _, err = run(command, model, *arguments)
    assert status == 1
    assert "is a sequence classifier" in err
    assert "expected a model of elman train lm" in err


def test_it_can_be_interrupted_and_resumed(run, file, monkeypatch, tmp_path):
    train = ("train", "lm", file, *SMALL, "--output")
    assert run(*train, "whole")[0] == 0
    press = At(7, interrupt)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_batch_end", lambda bar, net, **_: press.on_batch_end(net))
        status, out, _ = run(*train, "parts")
    assert (status, "Interrupted in epoch 1" in out) == (130, True)
    assert run(*train, "parts", "--resume")[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
