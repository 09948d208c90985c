"""`elman score`: how surprising a text is to a language model."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError

FORMATS = ("text", "tsv", "jsonl", "html")


def score(
    model: Annotated[Path, typer.Argument(help="The folder of a language model.")],
    text: Annotated[
        str, typer.Argument(help="A text, or the name of a file; -: what is piped in.")
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="text (coloured), tsv (token, bits), jsonl, or html."),
    ] = "text",
) -> None:
    """Show how surprising each token of a text is, in bits."""
    from ..models.language import TrainedLanguageModel
    from ..models.opening import load_model
    from ..report.surprise import FOOT, HEAD
    from .start import console

    if form not in FORMATS:
        raise TaskError(f"--format must be one of {', '.join(FORMATS)}. Got {form!r}.")
    opened = load_model(model)
    if not isinstance(opened, TrainedLanguageModel):
        raise TaskError(
            f"{model}: is {opened.kind()}; expected a model of elman train lm. Use: elman evaluate."
        )
    found = opened.surprise(_read(text))
    mean = f"{found.bits.sum() / max(1, found.characters):.3f} bits a character"
    if form == "html":
        print(f"{HEAD}{found.as_html()}\n<p>{mean}</p>\n{FOOT}", end="")
    elif form == "text":
        found.show(console())
        print(f"\n{mean}")
    else:
        for token, bits in zip(found.texts(), found.bits.tolist(), strict=True):
            if form == "tsv":
                print(f"{json.dumps(token, ensure_ascii=False)[1:-1]}\t{bits:.3f}")
            else:
                print(json.dumps({"token": token, "bits": round(bits, 4)}, ensure_ascii=False))


def _read(text: str) -> str:
    """What is meant: the input, a file's text, or the text itself."""
    if text == "-":
        return sys.stdin.read()
    try:
        there = os.path.isfile(text)
    except ValueError:  # a NUL byte
        there = False
    if not there:
        return text
    try:
        return Path(text).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise TaskError(f"{text}: is not UTF-8 (byte {error.start:,}).") from None
