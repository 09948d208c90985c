"""`evaluate` and `predict` on a trained model: files, streams, and what is wrong with them."""

import io
import json
import re
import subprocess
import sys

import pytest

from elman.tasks import SequenceClassifier
from elman.tasks.commands import predict
from elman.tasks.data.lines import arriving
from tests.systems import PATIENCE


def test_evaluate(run, model, unseen, tmp_path):
    lines = [f"{text}\t{label}" for text, label in zip(*unseen, strict=True)]
    (tmp_path / "unseen.tsv").write_text("\n".join(["words\tkind", *lines]), "utf-8")
    columns = ("--text", "words", "--label", "kind")
    status, out, err = run("evaluate", model, "unseen.tsv", *columns, "--output", "scores")
    assert (status, err) == (0, "")
    accuracy = SequenceClassifier.load(model).score(*unseen)
    assert f"100 texts of unseen.tsv:\naccuracy {accuracy:.1%}, macro F1 " in out
    assert "Pictures: confusion.png, reliability.png\nReport in scores\n" in out
    report = json.loads((tmp_path / "scores/report.json").read_bytes())
    assert report["evaluation"]["accuracy"] == pytest.approx(accuracy)
    assert report["data"]["texts"] == 100
    assert report["made_by"]["torch"]


def test_a_label_never_seen_is_an_error_with_its_lines(run, model, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n很好,positive\n很好,good\n很差,good\n", "utf-8")
    status, out, err = run("evaluate", model, "a.csv", "--text", "text", "--label", "label")
    assert (status, out) == (1, "")
    assert err.startswith("elman: a.csv: 1 label never seen in training: 'good' (lines 3, 4); ")


def test_labels_that_training_has_not_seen_are_left_out_if_wanted(run, model, tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n很好,positive\n很差,awful\n讨厌,negative\n", "utf-8"
    )
    evaluate = ("evaluate", model, "a.csv", "--text", "text", "--label", "label")
    status, _, err = run(*evaluate)
    assert status == 1
    assert err == (
        "elman: a.csv: 1 label never seen in training: 'awful' (line 3); expected one of "
        "'negative', 'positive'. Correct them, or leave them out with --skip-bad.\n"
    )
    status, out, err = run(*evaluate, "--skip-bad")
    assert (status, err) == (0, "")
    assert "1 row left out: 1 label never seen in training: 'awful' (line 3);" in out
    assert "2 texts of a.csv:" in out
    assert "These are 2 texts only: the scores say little." in out
    (tmp_path / "b.csv").write_text("text,label\n很差,awful\n", "utf-8")
    status, _, err = run("evaluate", model, "b.csv", *evaluate[3:], "--skip-bad")
    assert (status, "No row is left." in err) == (1, True)


def test_a_terminal_is_sent_no_escapes_of_a_text(run, model):
    evil = "很好\x1b[31m\x1b]0;title\x07 \x9b2J\x08讨厌\x1b[0m"
    _, out, _ = run("predict", model, evil)
    assert out.endswith("\t很好 讨厌\n")
    assert json.loads(run("predict", model, "--json", evil)[1])["text"] == evil


def test_a_file_is_answered_row_by_row(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "CHUNK", 2)
    rows = ["text,id", "很好,1", "讨厌,2", " ,3", "喜欢,4", "too,many,values", "很差,5"]
    (tmp_path / "a.csv").write_text("\n".join(rows), "utf-8")
    status, out, err = run("predict", model, "--file", "a.csv", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["line"] for answer in answers] == [2, 3, 5, 7]
    expected = ["positive", "negative", "positive", "negative"]
    assert [answer["label"] for answer in answers] == expected
    assert status == 1
    assert err.startswith("elman: 2 of 6 rows can't be used:\n  1 row: no 'text' (line 4)\n")
    tabbed = "".join(
        f"{answer['label']}\t{max(answer['probabilities'].values()):.3f}\t{answer['text']}\n"
        for answer in answers
    )
    assert run("predict", model, "--file", "a.csv", "--skip-bad") == (0, tabbed, err)


def test_a_folder_of_texts_needs_no_labels(run, model, tmp_path):
    (tmp_path / "texts/any").mkdir(parents=True)
    (tmp_path / "texts/any/1.txt").write_text("很好", "utf-8")
    status, out, _ = run("predict", model, "--file", "texts", "--json")
    answer = json.loads(out)
    assert (status, answer["file"], answer["label"]) == (0, "any/1.txt", "positive")


def test_the_standard_input(run, model):
    bom = b"\xef\xbb\xbf"
    stdin = bom + "很好\r\n\n讨厌\n".encode() + b"\xff\n" + "喜欢".encode()
    for arguments in ((), ("-",)):
        status, out, err = run("predict", model, *arguments, stdin=stdin)
        assert status == 1
        assert (
            re.sub(r"\t[01]\.\d{3}\t", " ", out) == "positive 很好\nnegative 讨厌\npositive 喜欢\n"
        )
        assert err == (
            "elman: 2 of 5 rows can't be used:\n  1 row: no 'text' (line 2)\n"
            "  1 row: not UTF-8 (line 4)\n"
        )
    status, _, err = run("predict", model, stdin="很好".encode("utf-16"))
    assert (status, "The input is UTF-16" in err) == (1, True)


def test_lines_are_handed_on_as_they_arrive():
    class Slow(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(3)

    pieces = arriving(Slow(b"a\nb\ncd\r\nefgh\n\n"))
    assert list(pieces) == [["a"], ["b"], ["cd\r"], ["efgh", ""]]
    whole = "\n".join(["很", "", "好" * 99]).encode()
    assert [line for piece in arriving(Slow(whole)) for line in piece] == ["很", "", "好" * 99]


def test_a_slow_pipe_is_answered_at_once_and_a_closed_one_ends_quietly(model):
    command = [sys.executable, "-m", "elman.cli", "predict", str(model)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdin.write("很好\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"positive\t")  # while the input is open
        process.stdout.close()  # as `| head -1` does
        process.stdin.write("讨厌\n".encode())
        process.stdin.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b""


def test_the_likeliest_labels_into_a_file(run, model, tmp_path):
    assert run("predict", model, "很好", "--top", 5, "--output", "answers.txt") == (0, "", "")
    first, one, second, other, text = (tmp_path / "answers.txt").read_text("utf-8").split("\t")
    assert (first, second, text) == ("positive", "negative", "很好\n")
    assert float(one) > float(other)
    assert float(one) + float(other) == pytest.approx(1, abs=0.002)
    _, out, _ = run("predict", model, "很好", "--top", 1, "--json")
    assert list(json.loads(out)["probabilities"]) == ["positive"]
    status, _, err = run("predict", model, "很好", "--output", "none/answers.txt")
    assert status == 1
    assert "none/answers.txt: can't be written (No such file or directory)." in err
