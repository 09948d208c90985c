"""Data on disk: little memory a row, nothing left behind, a clear word when the disk is full."""

import copy
import pickle
import resource
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from elman.tasks import TaskError
from elman.tasks.data.spool import Spool, Texts
from tests.systems import PATIENCE, linux_only

WORDS = ["good", "", "很好", "x" * 5000]


def test_texts_come_back_by_number_slice_and_array():
    texts = Texts.of(WORDS)
    assert list(texts) == WORDS
    assert (texts[2], texts[-1], len(texts)) == (WORDS[2], WORDS[-1], 4)
    assert list(texts[::-2]) == WORDS[::-2]
    assert list(texts[np.array([3, 0, 0])]) == [WORDS[3], WORDS[0], WORDS[0]]
    with pytest.raises(IndexError):
        texts[4]
    assert list(Texts.of([])) == list(Texts.of([""])[1:]) == []


def test_a_copy_holds_the_texts_it_shows_and_no_others():
    part = Texts.of(WORDS)[:1]
    assert list(copy.deepcopy(part)) == list(pickle.loads(pickle.dumps(part))) == ["good"]
    assert len(pickle.dumps(part)) < 200


def test_nothing_stays_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool(np.int32) as spool:
        spool.append(np.arange(100_000))
        kept = spool.finish()
        assert list(tmp_path.iterdir()) == []  # so it is whatever ends the process
    assert kept[0].sum() == sum(range(100_000))


def test_no_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(TaskError, match=r"can't take the data \(No such file.*, after 0 MB\)"):
        Texts.of(["text"])


def test_a_full_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    try:
        with pytest.raises(TaskError) as error:
            Texts.of("x" * 1000 for _ in range(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value).startswith("The temporary folder can't take the data (File too large, ")
    assert "TMPDIR" in str(error.value)


# A process that may allocate little more than it has with its modules reads texts, splits them,
# counts their characters and numbers the first 200 of each.
LARGE = """
import re, resource, sys
import numpy as np
from elman.tasks.data import read_table, split_rows
from elman.tasks.data.text import Ragged, Vocabulary

used = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + (24 << 20),) * 2)
try:
    bytearray(32 << 20)
except MemoryError:
    print("limited")
table = read_table(sys.argv[1], "text", "label")
split = split_rows(table.texts, table.labels, 0.2)
texts = table.texts[split.train]
vocabulary = Vocabulary.build(texts)
rows = Ragged(vocabulary.encode(text[:200]) for text in texts)
print(len(table.texts), len(texts), len(vocabulary), rows.lengths.sum())
"""


@linux_only
def test_a_file_much_larger_than_the_memory_allowed(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("text,label\n")
        for number in range(6_000):
            file.write(f"{number:08} {'any long text ' * 571},{'xyz'[number % 3]}\n")
    assert path.stat().st_size > 47e6  # twice what is allowed
    done = subprocess.run(
        [sys.executable, "-c", LARGE, path], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["limited", "6000 4800 22 960000"]
