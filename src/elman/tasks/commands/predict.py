"""`elman predict`: what a model says of texts from the command line, a file or the input."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.findings import Findings
from ..data.lines import arriving
from ..data.readers import Row, read_rows
from ..data.values import accepted, as_text
from ..errors import TaskError

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
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Texts that can't be used are no failure.")
    ] = False,
) -> None:
    """Name the label of each text, or the spans in it: answer and text, with tabs between.

    Texts that can't be used are left out, counted and named at the end, with exit status 1.
    """
    from ..classifier import SequenceClassifier
    from ..opened import load_model
    from ..report.record import columns_of
    from .answers import Labels, Spans

    if file and texts:
        raise TaskError("Give texts or --file, not both.")
    opened, findings = load_model(model), Findings()
    form = "jsonl" if as_json else form
    answers: Any = Labels if isinstance(opened, SequenceClassifier) else Spans
    answer, answered = answers(opened, form), 0
    column = text or columns_of(model)[0]
    if file:
        rows = answers is Labels and read_rows(file, [column or "text"], findings)
        rows = rows or _untagged(file, column, findings)
        chunks = iter(lambda: list(itertools.islice(rows, CHUNK)), [])
    elif not texts or texts == ["-"]:
        chunks = _input()
    else:
        findings.unit, chunks = "argument", iter([[(n, [t]) for n, t in enumerate(texts, 1)]])
    use = accepted if answers is Labels else given
    try:
        sys.stdout.write(answer.begin)
        for chunk in chunks:
            good = list(use(chunk, {column or "text": as_text}, findings))
            places = [({findings.unit: place}, strings[0]) for place, strings in good]
            for line in answer(places) if places else ():
                print(line)
            answered += len(good)
            sys.stdout.flush()
        sys.stdout.write(answer.end)
        if file and not answered and not findings:
            print(f"elman: {file}: has no rows", file=sys.stderr)
    finally:
        for remark in answer.remarks():
            print(f"elman: {remark}", file=sys.stderr)
        if findings:
            total = findings.rows(answered + len(findings))
            unusable = f"{len(findings):,} of {total} can't be used"
            print(f"elman: {unusable}:\n{findings}", file=sys.stderr)
    if findings and not skip_bad:
        raise typer.Exit(1)


def _input() -> Iterator[list[Row]]:
    """The lines of the standard input, numbered, as they arrive."""
    if sys.stdin.isatty():
        print("elman: one text a line; Ctrl-D ends the input", file=sys.stderr)
    number = itertools.count(1)
    for lines in arriving(sys.stdin.buffer):
        yield [(next(number), [line]) for line in lines]


def _untagged(file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
    """The texts of a file that a tagger reads."""
    from ..data.tagtable import tagged_rows

    return tagged_rows(file, column, "", findings)


def given(
    rows: Any, columns: dict[str, Any], findings: Findings
) -> Iterator[tuple[int | str, list[Any]]]:
    """The rows whose texts or lists of tokens can be used."""
    from ..data.schemes import SchemeError
    from ..data.tagtable import as_given

    (column,) = columns
    for place, values in rows:
        try:
            one = as_given(values[0], column)
        except SchemeError as error:
            findings.reject(place, error.reason, error.detail)
        else:
            # Spaces around a text don't count, as in training.
            yield place, [one]
