"""`elman evaluate`: a trained model on data whose labels are known."""

from pathlib import Path
from typing import Annotated, Any

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
    """Score a model on a file: by label, what is taken for what or what was missed.

    A label that a classifier has never seen is an error, which names its lines; a tagger misses
    its spans.
    """
    from ..classifier import SequenceClassifier
    from ..opened import load_model
    from ..report.record import columns_of, write_report
    from ..tagger import SequenceTagger
    from .terminal import console

    opened, terminal = load_model(model), console()
    if not file.is_dir():
        known = columns_of(model)
        text, label = text or known[0], label or known[1]
    folder = output or model / f"evaluate-{file.stem}"
    if isinstance(opened, SequenceClassifier):
        report = _classifier(opened, file, text, label, folder, skip_bad, terminal)
    else:
        assert isinstance(opened, SequenceTagger)
        report = _tagger(opened, file, text, label, folder, skip_bad, terminal)
    write_report(folder, report)
    terminal.print(f"Report in {folder}")


def _classifier(
    model: Any, file: Path, text: Any, label: Any, folder: Path, skip_bad: bool, terminal: Any
) -> dict[str, Any]:
    """Show and draw a classifier's scores; its report."""
    from ..data import read_table
    from ..data.values import label_name
    from ..report.evaluation import evaluate
    from ..report.pictures import save_pictures
    from ..report.record import describe
    from ..report.show import show_evaluation

    table = read_table(file, text, label, skip_bad=skip_bad)
    labels = [label_name(one) for one in model.classes_.tolist()]
    table.check_labels(labels, file)
    for note in table.notes:
        terminal.print(note)
    found = evaluate(table.labels, model.predict_proba(table.texts), labels)
    terminal.print(f"{len(table.texts):,} texts of {file}:")
    show_evaluation(found, terminal)
    folder.mkdir(parents=True, exist_ok=True)
    terminal.print(f"\n{save_pictures(folder, found)}")
    return {"data": describe(table), "evaluation": found.as_json()}


def _tagger(
    model: Any, file: Path, text: Any, label: Any, folder: Path, skip_bad: bool, terminal: Any
) -> dict[str, Any]:
    """Show a tagger's scores and list its mistakes; its report."""
    from ..data.tagged import to_tokens
    from ..data.tagtable import read_tagged
    from ..report.entities import compare
    from ..report.mistakes import write_mistakes
    from ..report.record import describe_tags
    from ..report.show import show_comparison

    scheme = model.scheme_
    table = read_tagged(file, text, label, tokens=model.tokens, scheme=scheme, skip_bad=skip_bad)
    for note in table.notes:
        terminal.print(note)
    found = compare(table.spans(), model.tag(table.texts))
    terminal.print(f"{len(table):,} texts of {file}:")
    show_comparison(found, terminal)
    tokens = [to_tokens(one, model.tokens) for one in table.texts]
    terminal.print(f"\n{write_mistakes(folder, found, tokens)}")
    return {"data": describe_tags(table), "evaluation": found.as_json()}
