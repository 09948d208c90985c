"""`elman predict`: the labels of texts from the command line, a file or the standard input."""

import itertools
import json
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
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with every probability.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Texts that can't be used are no failure.")
    ] = False,
) -> None:
    """Name the label of each text: label, probability and text, with tabs between.

    Texts that can't be used are left out, counted and named at the end, with exit status 1.
    """
    from ..classifier import SequenceClassifier
    from ..data.text import TOKENS
    from ..report.record import columns_of

    if file and texts:
        raise TaskError("Give texts or --file, not both.")
    classifier, findings = SequenceClassifier.load(model), Findings()
    column = text or columns_of(model)[0] or "text"
    if file:
        rows = read_rows(file, [column], findings)
        chunks = iter(lambda: list(itertools.islice(rows, CHUNK)), [])
    elif not texts or texts == ["-"]:
        chunks = _input()
    else:
        findings.unit, chunks = "argument", iter([[(n, [t]) for n, t in enumerate(texts, 1)]])
    split = TOKENS[classifier.tokens]
    labels, answered, cut = classifier.classes_.tolist(), 0, 0
    try:
        for chunk in chunks:
            good = list(accepted(chunk, {column: as_text}, findings))
            given = [strings[0] for _, strings in good]
            cut += sum(len(split(one)) > classifier.max_length for one in given)
            answers = zip(good, given, classifier.predict_proba(given).tolist(), strict=True)
            for (place, _), one, chances in answers:
                best = chances.index(max(chances))
                if as_json:
                    answer = {findings.unit: place, "text": one, "label": labels[best]}
                    print(_json(answer, labels, chances))
                else:
                    print(f"{labels[best]}\t{chances[best]:.3f}\t{' '.join(one.split())}")
            answered += len(good)
            sys.stdout.flush()
        if file and not answered and not findings:
            print(f"elman: {file}: has no rows", file=sys.stderr)
    finally:
        if cut:
            limit = f"only the first {classifier.max_length} {classifier.tokens} are read"
            print(f"elman: {cut:,} of the texts: {limit}", file=sys.stderr)
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


def _json(answer: dict[str, Any], labels: list[Any], chances: list[float]) -> str:
    rounded = {str(name): round(chance, 6) for name, chance in zip(labels, chances, strict=True)}
    return json.dumps({**answer, "probabilities": rounded}, ensure_ascii=False)
