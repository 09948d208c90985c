"""`elman train ... --from MODEL`: trainings of every task that go on, with the model's columns."""

import csv
import json
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from elman.tasks.report.record import columns_of
from tests.tasks.labelled_rows import make_labelled
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.series_rows import long_rows, make_series, write_ts
from tests.tasks.tagged_rows import make_tagged
from tests.tasks.wave_rows import make_counts, make_waves

OF_TEXTS = ("--embedding-size", 8)


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def write_texts(path, seed):
    write_csv(path, ["what", "kind"], zip(*make_rows(60, seed), strict=True))


def write_several(path, seed):
    texts, labels, _ = make_labelled(60, seed)
    write_csv(path, ["what", "kinds"], zip(texts, map("/".join, labels), strict=True))


def write_numbers(path, seed):
    write_csv(path, ["what", "stars"], zip(*make_labelled(60, seed)[::2], strict=True))


def write_tagged(path, seed):
    rows = zip(*make_tagged(40, seed), strict=True)
    lines = [json.dumps({"said": text, "names": spans}) for text, spans in rows]
    path.write_text("\n".join(lines), "utf-8")


def write_conll(path, seed):
    names = [f"{name}{seed}" for name in ("Ann", "Bob", "Cem", "Dan", "Eva", "Fay", "Gus", "Hal")]
    rows = [f"1 {name} S-name x\n2 ran O x\n3 to O x\n4 Rome S-town x\n" for name in names]
    path.write_text("\n".join(rows), "utf-8")


def write_lines(path, seed):
    write_csv(path, ["line"], [[make_text(6, seed + at)] for at in range(12)])


def write_steps(path, seed):
    write_csv(path, ["name", "day", "x", "y", "kind"], long_rows(make_series(30, seed)))


def write_days(path, seed, make=make_waves):
    days = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")
    rows = [
        [name, day, day.astype(int) % 7, value]
        for name, one in zip("ab", make(2, len(days), seed), strict=True)
        for day, value in zip(days, one, strict=True)
    ]
    write_csv(path, ["shop", "day", "weekday", "sold"], rows)


class Task(NamedTuple):
    """How files of a task are made, its command, its columns and its further options."""

    write: object
    command: str
    columns: dict[str, str]
    name: str = "rows.csv"
    options: tuple[object, ...] = ()


DAYS = {"target": "sold", "id": "shop", "time": "day", "known": "weekday"}
AHEAD = ("--horizon", 3, "--season", 4)
TASKS = {
    "labels": Task(write_texts, "classify", {"text": "what", "label": "kind"}, options=OF_TEXTS),
    "several labels": Task(
        *(write_several, "classify"),
        {"text": "what", "label": "kinds", "labels_separator": "/"},
        options=(*OF_TEXTS, "--tokens", "words"),
    ),
    "numbers": Task(
        *(write_numbers, "classify", {"text": "what", "label": "stars"}),
        options=(*OF_TEXTS, "--regression"),
    ),
    "spans": Task(
        write_tagged, "tag", {"text": "said", "label": "names"}, "rows.jsonl", options=OF_TEXTS
    ),
    "CoNLL": Task(
        *(write_conll, "tag", {"text": "2", "label": "3"}, "rows.conll"),
        (*OF_TEXTS, "--tokens", "words"),
    ),
    "language": Task(write_lines, "lm", {"text": "line"}, options=(*OF_TEXTS, "--num-layers", 1)),
    "series": Task(
        write_steps, "series", {"id": "name", "time": "day", "values": "x,y", "label": "kind"}
    ),
    ".ts": Task(lambda path, seed: write_ts(path, make_series(30, seed)), "series", {}, "rows.ts"),
    "forecast": Task(write_days, "forecast", DAYS, options=AHEAD),
    "counts": Task(
        *(lambda path, seed: write_days(path, seed, make_counts), "forecast", DAYS),
        options=(*AHEAD, "--distribution", "negative-binomial"),
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_training_goes_on_from_a_model_with_its_columns(run, tmp_path, name):
    task = TASKS[name]
    for seed, folder in enumerate(("old", "new")):
        (tmp_path / folder).mkdir()
        task.write(tmp_path / folder / task.name, seed)
    columns = [one for k, v in task.columns.items() for one in (f"--{k.replace('_', '-')}", v)]
    train = ("train", task.command)
    small = ("--hidden-size", 8, "--epochs", 2, *task.options)
    status, _, err = run(*train, f"old/{task.name}", *columns, *small, "--output", "m")
    assert (status, err) == (0, "")
    new = f"new/{task.name}"
    status, out, err = run(*train, new, "--from", "m", "--epochs", 1, "--output", "n")
    assert (status, err) == (0, "")
    assert out.startswith("Goes on from m: what it knows stays, its weights change\n")
    before, after = (json.loads((tmp_path / one / "config.json").read_bytes()) for one in "mn")
    changed = {"training", "sha256", "written_by", "parameters"}
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    assert after["parameters"] == before["parameters"] | {"epochs": 1}
    assert after["training"]["began_from"]["data"] == before["training"]["data"]
    assert len(after["training"]["epochs"]) == 1
    weights = [load_file(tmp_path / one / "model.safetensors") for one in "mn"]
    assert all(weights[0][key].shape == weights[1][key].shape for key in weights[0])
    assert any((weights[0][key] != weights[1][key]).any() for key in weights[0])
    # What isn't learned anew begins where it was: one epoch of a few steps doesn't lead far.
    rnn = next(key for key in weights[0] if key.endswith("weight_hh_l0"))
    assert np.abs(weights[1][rnn] - weights[0][rnn]).max() < 0.2
    for folder in "mn":
        found = columns_of(tmp_path / folder, task.columns, tmp_path / new)
        listed = {k: ",".join(v) if isinstance(v, list) else v for k, v in found.items()}
        assert listed == task.columns
    # The options that were written train the same again.
    status, _, err = run(*train, "--config", "n/options.toml", "--output", "o")
    assert (status, err) == (0, "")
    same = [(tmp_path / one / "model.safetensors").read_bytes() for one in "no"]
    assert same[0] == same[1]


def test_a_file_of_another_form_has_no_columns_of_the_models(run, tmp_path):
    write_lines(tmp_path / "lines.csv", 0)
    small = ("--hidden-size", 8, "--epochs", 1, *OF_TEXTS)
    assert run("train", "lm", "lines.csv", "--text", "line", *small, "--output", "m")[0] == 0
    (tmp_path / "book.txt").write_text(make_text(40), "utf-8")
    status, _, err = run("train", "lm", "book.txt", "--from", "m", "--epochs", 1, "--output", "n")
    assert (status, err) == (0, "")
    status, _, err = run("evaluate", "m", "book.txt")
    assert (status, err) == (0, "")


def test_columns_that_are_given_count_more(run, tmp_path):
    write_texts(tmp_path / "old.csv", 0)
    write_csv(tmp_path / "new.csv", ["review", "kind"], zip(*make_rows(60, 1), strict=True))
    small = ("--hidden-size", 8, "--epochs", 1, *OF_TEXTS)
    columns = ("--text", "what", "--label", "kind")
    assert run("train", "classify", "old.csv", *columns, *small, "--output", "m")[0] == 0
    train = ("train", "classify", "new.csv", "--from", "m", "--epochs", 1, "--output", "n")
    status, _, err = run(*train)
    assert (status, "new.csv: no column 'what' in line 1; there are 'review', 'kind'" in err) == (
        1,
        True,
    )
    status, _, err = run(*train, "--text", "review")
    assert (status, err) == (0, "")
    assert columns_of(tmp_path / "n", ("text", "label"), tmp_path / "new.csv") == {
        "text": "review",
        "label": "kind",
    }
