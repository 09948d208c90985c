"""`elman evaluate`: a trained model on data whose labels are known."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError
from .columns import SkipBad


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    file: Annotated[Path, typer.Argument(help="Texts and labels, in a form that `train` reads.")],
    text: Annotated[
        str | None, typer.Option(help="The column with the texts; by default that of training.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The column with their labels; by default that of training.")
    ] = None,
    labels_separator: Annotated[
        str | None,
        typer.Option(help="What stands between several labels; by default as in training."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report and pictures; by default 'evaluate-FILE' in MODEL."),
    ] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Score a model on a file: by label, what is taken for what or what was missed.

    A label that a classifier has never seen is an error, which names its lines, or with --skip-bad
    left out; a tagger misses its spans.
    """
    from ..models.opening import load_model
    from ..registry import job_class
    from ..report.record import columns_of
    from .start import console

    opened, terminal = load_model(model), console()
    task = job_class(opened)
    named = {"text": text, "label": label, "labels_separator": labels_separator}
    given = {name: value for name, value in named.items() if value}
    if strange := [f"--{name.replace('_', '-')}" for name in given if name not in task.COLUMNS]:
        raise TaskError(f"{', '.join(strange)} does not apply to this model; leave it out.")
    columns = columns_of(model, task.COLUMNS, file) | given
    job = task(opened, task.read(opened, file, columns, skip_bad))
    for note in job.data.notes:
        terminal.print(note)
    folder = output or model / f"evaluate-{file.stem}"
    job.evaluate(file, folder, terminal)
    terminal.print(f"Report in {folder}")
