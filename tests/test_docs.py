"""The examples of all pages run, one after the other, and print what is printed there."""

import inspect
import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer

import elman
from docs import repeated
from elman import tasks
from elman.pages import BASE, page
from elman.tasks.commands import app
from elman.tasks.commands.train import app as training
from tests.pages import CHINESE, DOCS, PAGES, failures, is_repeated, listings, name, text


@pytest.mark.parametrize(
    "page", [page for page in PAGES if listings(page) and not is_repeated(page)], ids=name
)
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
    page = "```console\n$ elman predict words \\\n    --json 'a b' > out  # so\nelman bench\n```\n"
    assert commands(page) == [["predict", "words", "--json", "a b"], ["bench"]]


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


GUIDES = {it: it for it in ("classify", "tag", "series", "forecast")} | {"lm": "generate"}
SUFFIXES = (".md", CHINESE)  # in both languages


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_option_of_training_is_explained(suffix: str) -> None:
    commands = typer.main.get_command(training).commands
    assert set(commands) == set(GUIDES)
    shared = text(DOCS / "guides" / f"training{suffix}")
    for task, command in commands.items():
        explained = text(DOCS / "guides" / f"{GUIDES[task]}{suffix}") + shared
        options = set(re.findall(r"--[a-z][a-z-]*", explained))
        for one in command.params:
            names = {*one.opts, *one.secondary_opts}
            assert names & options or not one.opts[0].startswith("--"), names


def defaults(page: Path) -> dict[str, str]:
    """The options in a guide's table, each with its default."""
    return dict(re.findall(r"^\| `(--[\w-]+)` \| ([^|\n]*?) ?\|[^|\n]*\|$", text(page), re.M))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("task", GUIDES)
def test_defaults_are_those_of_the_command(task: str, suffix: str) -> None:
    shown = defaults(DOCS / "guides" / f"{GUIDES[task]}{suffix}")
    assert len(shown) > 8
    parameters = typer.main.get_command(training).commands[task].params
    have = {one.opts[0]: "" if one.default is None else str(one.default) for one in parameters}
    assert shown == {option: have[option].strip("()") for option in shown}


MADE = {
    "classify": {"new.csv": "review,label", "reviews.csv": "review,label"},
    "tag": {"new.jsonl": '{"text": ', "paper.jsonl": '{"text": '},
    "generate": {"reference.txt": "The "},
    "forecast": {"sales.csv": "day,shop,price,sales\n2023-01-01,north,1.0,121\n"},
}


@pytest.mark.parametrize("guide", MADE)
def test_guides_make_their_data(
    guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = text(DOCS / "guides" / f"{guide}.md")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    exec(compile(program, guide, "exec"), {})
    made = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert made.keys() == MADE[guide].keys()
    assert all(made[name].startswith(begins) for name, begins in MADE[guide].items())


def test_the_page_of_commands_has_all_options() -> None:
    shown = repeated.commands()
    for called, command in typer.main.get_command(app).commands.items():
        assert f"\n## `elman {called}`\n" in shown
        for one in command.params:
            assert not one.opts[0].startswith("--") or f"`{one.opts[0]}" in shown, one.opts


def test_the_page_of_changes_begins_with_the_newest() -> None:
    assert repeated.changelog().startswith("\n## [Unreleased]\n")


def test_the_page_says_what_the_citation_file_says() -> None:
    title, licence = re.findall(r'^(?:title|license): "?([^"\n]*)"?$', CITATION.read_text(), re.M)
    for suffix in SUFFIXES:
        said = text(DOCS / f"cite{suffix}")
        assert f"title = {{{title}}}" in said
        assert f"license = {{{licence}}}" in said


CITATION = DOCS.parent / "CITATION.cff"
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


def test_docstrings_of_estimators_lead_to_their_guides() -> None:
    public = [getattr(tasks, it) for it in tasks.__all__]
    estimators = [it for it in public if hasattr(it, "fit")]
    assert len(estimators) == 7
    guides = [named(inspect.getdoc(it) or "") for it in estimators]
    assert set.union(*guides) == {f"guides/{it}" for it in GUIDES.values()}
    assert all(guides)
