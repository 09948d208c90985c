"""What a page repeats of other places: the commands with all their options, and the changelog."""

import re
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from elman.tasks.commands import app

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def commands() -> str:
    """Every command of `elman` with its options, below a heading each; typer writes it."""
    command = typer.main.get_command(app)
    context = command.context_class(command, info_name="elman")
    text = get_docs_for_click(obj=command, ctx=context, name="elman")
    return text[text.index("\n## ") :]  # the page has a title, and the list of commands beside it


def changelog() -> str:
    """The changelog below its title, with links for the site."""
    text = CHANGELOG.read_text("utf-8")
    return re.sub(r"\]\(docs/", "](", text[text.index("\n## ") :])
