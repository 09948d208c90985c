"""The examples of the guides run, one after the other, and print what is printed there."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", ["cells.md", "tasks.md"])
def test_examples_run_and_print_what_is_printed(name: str, capsys: pytest.CaptureFixture) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```", text, re.M | re.S)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, name, name, 0)
    assert len(test.examples) > 10
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test)
    assert not runner.failures, capsys.readouterr().out
