"""A small learnable task: which of two words a text contains decides its label."""

import functools
import io
import signal
import sys

import pytest
import torch
import typer.main
from matplotlib.figure import Figure

from elman import cli
from elman.tasks import SequenceClassifier
from tests.tasks.rows import make_rows

# Typer makes all commands anew for every call, which takes longer than most calls that are refused.
typer.main.get_command = functools.cache(typer.main.get_command)


@pytest.fixture(scope="session")
def rows():
    return make_rows(300)


@pytest.fixture(scope="session")
def unseen():
    return make_rows(100, seed=1)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    # These networks are small: more threads would only wait for one another.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _interrupts():
    """Ctrl-C interrupts, also where a shell runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def pictures():
    """In a module, a picture of each name is rendered once, and copied where it would be rendered
    again: half the time of a small training. What is drawn on the axes is drawn each time."""
    render, rendered = Figure.savefig, {}

    def save(figure, path):
        if path.name not in rendered:
            render(figure, path)
            rendered[path.name] = path.read_bytes()
        path.write_bytes(rendered[path.name])

    return save


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, pictures):
    """Runs `elman` with arguments, in a folder of its own; (status, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", pictures)

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["elman", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def table(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "words.csv"
    lines = [f"{text},{label}" for text, label in zip(*rows, strict=True)]
    path.write_text("\n".join(["text,label", *lines, ",positive", "多余,"]), "utf-8")
    return path


@pytest.fixture(scope="session")
def model(rows, tmp_path_factory):
    """The folder of a small model of the task."""
    small = SequenceClassifier(
        cell="rnn", embedding_size=8, hidden_size=8, batch_size=16, epochs=6, lr=0.02
    )
    folder = tmp_path_factory.mktemp("models") / "words"
    small.fit(*rows).save(folder)
    return folder
