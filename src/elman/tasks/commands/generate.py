"""`elman generate`: a text that a language model makes up."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError
from .options import Weights


def generate(
    model: Annotated[Path, typer.Argument(help="The folder of a language model.")],
    prompt: Annotated[
        str, typer.Option(help="What the text begins with; -: what is piped in.")
    ] = "",
    length: Annotated[
        int, typer.Option(min=0, help="Tokens; fewer where the text ends before.")
    ] = 200,
    temperature: Annotated[
        float, typer.Option(help="Below 1 likely tokens are likelier; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among so many likeliest tokens only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw among the likeliest that have this probability together."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Equal seeds, equal texts; by default one is drawn.")
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="What weight matrices are read as; fewer bytes are faster.")
    ] = "float32",
) -> None:
    """Go on with a text, token by token as they are drawn."""
    from ..models.language import TrainedLanguageModel
    from ..models.opening import load_model

    if prompt == "-":
        prompt = sys.stdin.read()
    opened = load_model(model)
    if not isinstance(opened, TrainedLanguageModel):
        raise TaskError(
            f"{model}: is {opened.kind()}, which makes up no text; expected a model of "
            "elman train lm. Use: elman predict."
        )
    drawn = opened.generate(
        prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        weights=weights,
    )
    sys.stdout.write(prompt)
    each = sys.stdout.isatty()
    for text in drawn:
        sys.stdout.write(text)
        if each:
            sys.stdout.flush()
    print()
