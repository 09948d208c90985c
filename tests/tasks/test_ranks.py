"""The same training in two processes: same losses, same weights, one that writes and speaks."""

import json
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.systems import PATIENCE
from tests.tasks.labelled_rows import make_labelled
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.series_rows import make_series, write_ts
from tests.tasks.tagged_rows import make_auxiliary, make_tagged
from tests.tasks.wave_rows import make_waves


def write_table(path, rows):
    lines = [
        json.dumps({"text": text, "label": label}, ensure_ascii=False)
        for text, label in zip(*rows, strict=True)
    ]
    path.write_text("\n".join(lines), "utf-8")


def write_tagged(path, rows):
    """With a column of auxiliary tags."""
    lines = [
        json.dumps({"text": text, "label": label, "kind": kind})
        for text, label, kind in zip(*rows, make_auxiliary(rows[0]), strict=True)
    ]
    path.write_text("\n".join(lines), "utf-8")


def write_text(path, text):
    path.write_text(text, "utf-8")


def numbered(count, seed=0):
    """Series, and a number of each."""
    series, _ = make_series(count, seed)
    return series, [f"{np.nanmean(one[0]):.4f}" for one in series]


def write_numbers(path, rows):
    write_ts(path, rows, "targetLabel true")


def write_steps(path, waves):
    """A long table: series, step, value."""
    lines = [f"{n},{t},{v:.6g}" for n, one in enumerate(waves) for t, v in enumerate(one)]
    path.write_text("\n".join(["series,step,value", *lines]), "utf-8")


class Task(NamedTuple):
    """Files of a task, how many rows its training has, and its options."""

    make: object
    write: object
    rows: int
    options: tuple[str, ...]
    command: str = ""  # where it isn't the task's name
    name: str = "rows.jsonl"
    embeds: bool = True


# The last batches have one text or series: there is nothing in them for the second process.
BATCH = ("--batch-size", "17")
COLUMNS = ("--id", "series", "--time", "step", "--target", "value")
TEXTS = ("--text", "text", "--label", "label", *BATCH, "--token-dropout", "0")
TASKS = {
    "classify": Task(
        make_rows,
        write_table,
        120,
        (*(*TEXTS, "--class-weight", "balanced"),),
    ),
    "several labels": Task(
        lambda count, seed=0: make_labelled(count, seed)[:2],
        write_table,
        120,
        (*TEXTS, "--class-weight", "balanced"),
        command="classify",
    ),
    "numbers": Task(
        lambda count, seed=0: make_labelled(count, seed)[::2],
        write_table,
        120,
        (*TEXTS, "--regression"),
        command="classify",
    ),
    "tag": Task(make_tagged, write_table, 120, (*BATCH, "--token-dropout", "0")),
    "auxiliary": Task(
        make_tagged,
        write_tagged,
        120,
        (*BATCH, "--token-dropout", "0", "--auxiliary", "kind", "--repeats"),
        command="tag",
    ),
    # Of three streams the second process gets one.
    "lm": Task(
        make_text,
        write_text,
        60,
        (
            *("--batch-size", "3", "--window", "16", "--precision", "float32"),
            *("--embedding-dropout", "0", "--input-dropout", "0", "--hidden-dropout", "0"),
        ),
    ),
    "series": Task(
        make_series, write_ts, 52, (*BATCH, "--noise", "0"), name="rows.ts", embeds=False
    ),
    "regression": Task(
        numbered,
        write_numbers,
        52,
        (*BATCH, "--noise", "0"),
        command="series",
        name="rows.ts",
        embeds=False,
    ),
    # Four series of 51 windows: seven batches of 29, and one window.
    "forecast": Task(
        lambda count, seed=0: make_waves(count, 70, seed),
        write_steps,
        4,
        (*("--batch-size", "29", "--noise", "0", "--horizon", "4", "--season", "4"), *COLUMNS),
        name="rows.csv",
        embeds=False,
    ),
}


def arguments(task):
    """Of the command line, but for the output."""
    found = TASKS[task]
    # The forecaster holds out the end of each series.
    held_out = () if task == "forecast" else ("--valid", f"held-{found.name}")
    # Dropout draws other numbers in each process.
    return (
        *("train", found.command or task, found.name, *found.options, *held_out),
        *("--hidden-size", "8", *(("--embedding-size", "8") if found.embeds else ())),
        *("--epochs", "3", "--lr", "0.02", "--dropout", "0", "--output"),
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """By task, where two processes have trained it: the same two for all, since a start is long."""
    folders = {task: tmp_path_factory.mktemp(task.replace(" ", "-")) for task in TASKS}
    for task, folder in folders.items():
        found = TASKS[task]
        found.write(folder / found.name, found.make(found.rows))
        if task != "forecast":
            found.write(folder / f"held-{found.name}", found.make(41, seed=1))
    runs = [(str(folder), [*arguments(task), "two"]) for task, folder in folders.items()]
    file = tmp_path_factory.mktemp("runs") / "runs.json"
    file.write_text(json.dumps(runs), "utf-8")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "tests.tasks.in_turn", file],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_train_what_one_does(run, folders, monkeypatch, task):
    folder = folders[task]
    monkeypatch.chdir(folder)
    status, alone, _ = run(*arguments(task), "one")
    assert status == 0

    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    assert_close(two, one, rtol=1e-4, atol=1e-5)
    one, two = (
        json.loads((folder / name / "config.json").read_bytes())["training"]
        for name in ("one", "two")
    )
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["data"] == two["data"]
    for first, second in zip(one["epochs"], two["epochs"], strict=True):
        for name in set(first) - {"epoch", "train_seconds", "valid_seconds"}:
            assert second[name] == pytest.approx(first[name], rel=1e-3, abs=1e-5)
    assert sorted((folder / "two").iterdir()) == [
        folder / "two" / path.name for path in sorted((folder / "one").iterdir())
    ]
    said = [(folder / f"said by {rank}").read_text("utf-8") for rank in range(2)]
    assert len(said[0].splitlines()) == len(alone.splitlines())
    assert said[1] == ""
