"""The examples of all pages run, one after the other, and print what is printed there."""

import inspect
import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer

import elman
from elman.pages import BASE, page
from elman.tasks.commands import app
from elman.tasks.commands.train import app as training
from tests.pages import DOCS, PAGES, failures, listings, name


@pytest.mark.parametrize("page", [page for page in PAGES if listings(page)], ids=name)
def test_examples_run_and_print_what_is_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    assert failures(listings(page)) == ""


def test_a_wrong_example_is_found() -> None:
    assert "Expected:\n    3\nGot:\n    2" in failures(">>> 1 + 1\n3\n")


def commands(text: str) -> list[list[str]]:
    """Every call of `elman` in a document's console blocks, cut into words."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        lines = block.replace("\\\n", " ")
        for call in re.findall(r"(?:^|[$|] |--no-python )elman (?!\[)(.*)", lines, re.M):
            words = shlex.split(call.partition(" | ")[0], comments=True)
            found.append(list(itertools.takewhile(lambda word: word[0] not in "<>&", words)))
    return found


def test_commands_are_found_whole() -> None:
    text = "```console\n$ elman predict words \\\n    --json 'a b' > out  # so\nelman bench\n```\n"
    assert commands(text) == [["predict", "words", "--json", "a b"], ["bench"]]


def test_commands_have_the_options_that_are_shown() -> None:
    paths = [*PAGES, *DOCS.parent.glob("README*.md")]
    calls = [words for path in paths for words in commands(path.read_text("utf-8"))]
    assert len(calls) > 15
    for words in calls:
        command = typer.main.get_command(app)
        while words and hasattr(command, "get_command"):
            command = command.get_command(None, words.pop(0))
        known = {name for parameter in command.params for name in parameter.opts}
        known |= {name for parameter in command.params for name in parameter.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_every_option_of_training_is_explained() -> None:
    text = (DOCS / "tasks.md").read_text("utf-8")
    commands = typer.main.get_command(training).commands
    assert set(commands) == {"classify", "tag", "lm", "series", "forecast"}
    for parameter in [one for command in commands.values() for one in command.params]:
        assert any(name in text for name in [*parameter.opts, *parameter.secondary_opts]), parameter


SOURCES = DOCS.parent / "src"


def named(source: str) -> set[str]:
    """The pages that a source names: in docstrings, and as messages do."""
    in_text = re.findall(rf"\b{BASE}([\w/.-]+)\.md\b", source)
    return {*in_text, *re.findall(r"\bpage\([\"']([\w/-]+)", source)}


def test_pages_that_sources_name_exist() -> None:
    sources = [path.read_text("utf-8") for path in SOURCES.rglob("*.py")]
    found = set().union(*map(named, sources))
    assert {"cells", "guides/loops", "decisions/int8-weights"} <= found
    assert [it for it in sorted(found) if not (DOCS.parent / page(it)).exists()] == []


LED = "RNN LSTM GRU RNNCell LSTMCell GRUCell Recurrent RecurrentCell Cell Stream accelerate freeze"
LED += " accelerated register scan windows explain set_path export from_keras from_flax from_onnx"


@pytest.mark.parametrize("it", LED.split())
def test_docstrings_lead_to_a_page(it: str) -> None:
    assert named(inspect.getdoc(getattr(elman, it)) or "")
