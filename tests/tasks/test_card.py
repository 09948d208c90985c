"""The model card that a training leaves in its folder."""

import json
import re

import pytest

import elman.tasks
from elman.tasks.report.card import CARD, MARK, write_card
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.tagged_rows import make_tagged

SMALL = ("--epochs", 1, "--hidden-size", 4, "--embedding-size", 4)


def table_of(make):
    pairs = zip(*make(120), strict=True)
    return "\n".join(json.dumps({"text": text, "label": label}) for text, label in pairs)


TASKS = {
    "classify": (lambda: table_of(make_rows), ("--text", "text", "--label", "label")),
    "tag": (lambda: table_of(make_tagged), ("--text", "text", "--label", "label")),
    "lm": (lambda: make_text(60), ()),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_training_leaves_a_card_that_says_how_to_use_the_model(run, tmp_path, task):
    write, options = TASKS[task]
    file = tmp_path / ("data.txt" if task == "lm" else "data.jsonl")
    file.write_text(write(), "utf-8")
    assert run("train", task, file, *options, *SMALL, "--output", "model")[0] == 0
    card = (tmp_path / "model" / CARD).read_text("utf-8")
    assert card.startswith(
        "---\nlibrary_name: elman\npipeline_tag: text-" if task != "tag" else "---"
    )
    command = next(
        line for line in card.splitlines() if line.startswith("elman ") and "inspect" not in line
    )
    status, _, err = run(*command.replace('"TEXT"', "TEXT").split()[1:])
    assert (status, err) == (0, "")
    (kind,) = re.findall(r"from elman.tasks import (\w+)", card)
    assert getattr(elman.tasks, kind).load(tmp_path / "model").net_
    assert "| scores | " in card
    assert "![loss](loss.png)" in card


def test_a_card_of_ones_own_stays(tmp_path):
    given = {"a": "1"}, "elman predict {}", "text-classification"
    write_card(tmp_path, "SequenceClassifier", "elman.GRU", *given)
    first = (tmp_path / CARD).read_text("utf-8")
    write_card(tmp_path, "SequenceClassifier", "elman.LSTM", *given)
    second = (tmp_path / CARD).read_text("utf-8")
    assert MARK in first
    assert "elman.LSTM" in second
    (tmp_path / CARD).write_text(second.replace(MARK, "mine"), "utf-8")
    write_card(tmp_path, "SequenceClassifier", "elman.GRU", *given)
    assert (tmp_path / CARD).read_text("utf-8") == second.replace(MARK, "mine")


def test_what_would_be_markup_is_text(tmp_path):
    write_card(tmp_path, "K", "elman.GRU", {"labels": "2: <b>, a|b\n# c"}, "elman {}", "x")
    card = (tmp_path / CARD).read_text("utf-8")
    assert r"| labels | 2: \<b\>, a\|b \# c |" in card
