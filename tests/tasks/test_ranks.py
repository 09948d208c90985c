"""The same training in two processes: same losses, same weights, one that writes and speaks."""

import json
import subprocess
import sys

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.systems import PATIENCE
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.tagged_rows import make_tagged


def write_table(path, rows):
    lines = [
        json.dumps({"text": text, "label": label}, ensure_ascii=False)
        for text, label in zip(*rows, strict=True)
    ]
    path.write_text("\n".join(lines), "utf-8")


def write_text(path, text):
    path.write_text(text, "utf-8")


TASKS = {
    "classify": (make_rows, ("--text", "text", "--label", "label", "--class-weight", "balanced")),
    "tag": (make_tagged, ()),
    # Of three streams the second process gets one.
    "lm": (make_text, ()),
}
SAME = {
    "classify": ("--batch-size", "17", "--token-dropout", "0"),
    "tag": ("--batch-size", "17", "--token-dropout", "0"),
    "lm": (
        *("--batch-size", "3", "--window", "16", "--precision", "float32"),
        *("--embedding-dropout", "0", "--input-dropout", "0", "--hidden-dropout", "0"),
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_train_what_one_does(run, tmp_path, task):
    make, options = TASKS[task]
    write = write_text if task == "lm" else write_table
    write(tmp_path / "words.jsonl", make({"classify": 120, "tag": 901, "lm": 60}[task]))
    write(tmp_path / "held.jsonl", make(41, seed=1))
    # The last batches have one text: there is nothing in them for the second process.
    # Dropout draws other numbers in each process.
    train = (
        *("train", task, "words.jsonl", *options),
        *("--valid", "held.jsonl", *SAME[task]),
        *("--hidden-size", "8", "--embedding-size", "8", "--epochs", "3", "--lr", "0.02"),
        *("--dropout", "0", "--output"),
    )
    status, alone, _ = run(*train, "one")
    assert status == 0
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "elman.cli", *train, "two"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr

    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    # The tagger takes 450 steps: Adam makes more of what rounding leaves in rare embeddings.
    assert_close(two, one, rtol=1e-4, atol=1e-4 if task == "tag" else 1e-5)
    one, two = (
        json.loads((tmp_path / name / "config.json").read_bytes())["training"]
        for name in ("one", "two")
    )
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["data"] == two["data"]
    for first, second in zip(one["epochs"], two["epochs"], strict=True):
        for name in set(first) - {"epoch", "train_seconds", "valid_seconds"}:
            assert second[name] == pytest.approx(first[name], rel=1e-3, abs=1e-5)
    assert sorted((tmp_path / "two").iterdir()) == [
        tmp_path / "two" / path.name for path in sorted((tmp_path / "one").iterdir())
    ]
    assert len(done.stdout.splitlines()) == len(alone.splitlines())
