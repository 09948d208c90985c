"""`elman predict`: what a model says of texts from the command line, a file or the input."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ..errors import TaskError, on_disk

if TYPE_CHECKING:
    from ..data.readers import Row

CHUNK = 2048  # texts of a file that are answered at once


def predict(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; without any, or for -, the lines of the standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Read the texts from a file that `train` would read.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The file's column of texts; by default that of training.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="text or jsonl; of spans also conll or html (coloured)."),
    ] = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: --format jsonl.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="So many of a classifier's labels, the likeliest first."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the answers to this file, not to the terminal.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Texts that can't be used are no failure.")
    ] = False,
) -> None:
    """Name the label of each text or series, the spans in it, or what comes next in a series.

    Answer and text have tabs between; forecasts are CSV, by default those of what was trained on.

    Texts that can't be used are left out, counted and named at the end, with exit status 1.
    """
    from ..data.findings import Findings
    from ..models.opening import load_model
    from ..report.record import read_report
    from .answers import answers_of

    if file and texts:
        raise TaskError("Give texts or --file, not both.")
    opened = load_model(model)
    data, findings, answered = read_report(model).get("data", {}), Findings(), 0
    answer = answers_of(opened, "jsonl" if as_json else form, data, top)
    column = text or data.get("text")
    file = file or (None if texts else answer.file)
    if file:
        rows = answer.rows(file, column, findings)
        chunks = iter(lambda: list(itertools.islice(rows, CHUNK)), [])
    elif not texts or texts == ["-"]:
        chunks = _input()
    else:
        findings.unit, chunks = "argument", iter([[(n, [t]) for n, t in enumerate(texts, 1)]])
    out: TextIO = sys.stdout
    if output is not None:
        with on_disk(output, "written"):
            out = output.open("w", encoding="utf-8")
    try:
        out.write(answer.begin)
        for chunk in chunks:
            given = [
                ({findings.unit: place}, one)
                for place, one in answer.usable(chunk, column or "text", findings)
            ]
            for line in answer(given) if given else ():
                print(line, file=out)
            answered += len(given)
            out.flush()
        out.write(answer.end)
        if file and not answered and not findings:
            print(f"elman: {file}: has no rows", file=sys.stderr)
    finally:
        if output is not None:
            out.close()
        for text in filter(_is_file, texts or ()):
            print(f"elman: {text} was taken as a text: read that file by --file", file=sys.stderr)
        for remark in answer.remarks():
            print(f"elman: {remark}", file=sys.stderr)
        if findings:
            total = findings.rows(answered + len(findings))
            unusable = f"{len(findings):,} of {total} can't be used"
            print(f"elman: {unusable}:\n{findings}", file=sys.stderr)
    if findings and not skip_bad:
        raise typer.Exit(1)


def _is_file(text: str) -> bool:
    """Whether a text is the name of a file."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a null character
        return False


def _input() -> Iterator[list[Row]]:
    """The lines of the standard input, numbered, as they arrive."""
    from ..data.lines import arriving

    if sys.stdin.isatty():
        print("elman: one text a line; Ctrl-D ends the input", file=sys.stderr)
    number = itertools.count(1)
    for lines in arriving(sys.stdin.buffer):
        yield [(next(number), [line]) for line in lines]
