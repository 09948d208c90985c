"""`elman evaluate`: a trained model on texts whose labels are known."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    file: Annotated[Path, typer.Argument(help="Texts and labels, in a form that `train` reads.")],
    text: Annotated[
        str | None, typer.Option(help="The column with the texts; by default that of training.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The column with their labels; by default that of training.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report and pictures; by default 'evaluate-FILE' in MODEL."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that can't be used, and say why.")
    ] = False,
) -> None:
    """Score a model on a file: by label, what is taken for what, and how far to trust it.

    A label that the model has never seen is an error, which names its lines.
    """
    from ..classifier import SequenceClassifier
    from ..data import read_table
    from ..data.values import label_name
    from ..report.evaluation import evaluate
    from ..report.pictures import save_pictures
    from ..report.record import columns_of, describe, write_report
    from ..report.show import show_evaluation
    from .terminal import console

    classifier = SequenceClassifier.load(model)
    if not file.is_dir():
        known = columns_of(model)
        text, label = text or known[0], label or known[1]
    table = read_table(file, text, label, skip_bad=skip_bad)
    labels = [label_name(one) for one in classifier.classes_.tolist()]
    table.check_labels(labels, file)
    terminal = console()
    for note in table.notes:
        terminal.print(note)
    found = evaluate(table.labels, classifier.predict_proba(table.texts), labels)
    terminal.print(f"{len(table.texts):,} texts of {file}:")
    show_evaluation(found, terminal)
    folder = output or model / f"evaluate-{file.stem}"
    write_report(folder, {"data": describe(table), "evaluation": found.as_json()})
    terminal.print(f"\n{save_pictures(folder, found)}\nReport in {folder}")
