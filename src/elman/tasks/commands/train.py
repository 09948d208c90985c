"""`elman train`: from a file of one's own to a model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..classifier import SequenceClassifier
from ..data import read_table
from ..data.tagtable import read_tagged
from ..job import Job, run_job
from ..tagger import SequenceTagger
from ..tagjob import default_folder, run_tag_job
from .options import estimator, read_config, with_parameters, write_config
from .terminal import console

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("classify")
@with_parameters(SequenceClassifier)
def classify(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file, or a folder LABEL/NAME.txt."),
    ],
    text: Annotated[str | None, typer.Option(help="The column with the texts.")] = None,
    label: Annotated[str | None, typer.Option(help="The column with their labels.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The model's folder; by default FILE's name with '-model'.")
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(help="A file of held-out texts, with the same columns as FILE.")
    ] = None,
    valid_fraction: Annotated[
        float, typer.Option(help="Share of FILE's texts that is held out, without --valid.")
    ] = 0.2,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that can't be used, and say why.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the training that was interrupted in --output."),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train the same on torch.nn and show both.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Show TF-IDF with logistic regression, too.")
    ] = False,
    config: Annotated[  # noqa: ARG001 (`read_config` has used it)
        Path | None,
        typer.Option(
            help="A TOML file of options; those given here override it.",
            is_eager=True,
            callback=read_config,
        ),
    ] = None,
    save_config: Annotated[
        Path | None, typer.Option(help="Write all options to this TOML file, and train.")
    ] = None,
    **parameters: Any,
) -> None:
    """Learn the labels of texts, and save the model."""
    options = dict(context.params)
    for name in ("config", "save_config", "resume"):
        del options[name]
    if save_config:
        write_config(save_config, options)
    model = estimator(SequenceClassifier, parameters)
    table = read_table(file, text, label, skip_bad=skip_bad)
    held_out = read_table(valid, text, label, skip_bad=skip_bad) if valid else None
    folder = output or default_folder(file)
    job = Job(folder, valid_fraction, held_out, compare, baseline, resume)
    if run_job(table, model, job, console()):
        write_config(folder / "options.toml", options)


@app.command("tag")
@with_parameters(SequenceTagger)
def tag(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="CoNLL columns (.conll, .bio, ...), or .jsonl, .csv, .tsv, .parquet."),
    ],
    text: Annotated[
        str | None,
        typer.Option(help="The column with texts or tokens; of CoNLL a number, by default 1."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="The column with tags or spans; of CoNLL a number, by default -1."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The model's folder; by default FILE's name with '-model'.")
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(help="A file of held-out texts, with the same columns as FILE.")
    ] = None,
    valid_fraction: Annotated[
        float, typer.Option(help="Share of FILE's texts that is held out, without --valid.")
    ] = 0.2,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that can't be used, and say why.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the training that was interrupted in --output."),
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Show each token's commonest tag, too.")
    ] = False,
    config: Annotated[  # noqa: ARG001 (`read_config` has used it)
        Path | None,
        typer.Option(
            help="A TOML file of options; those given here override it.",
            is_eager=True,
            callback=read_config,
        ),
    ] = None,
    save_config: Annotated[
        Path | None, typer.Option(help="Write all options to this TOML file, and train.")
    ] = None,
    **parameters: Any,
) -> None:
    """Learn to tag the tokens of texts, names for example, and save the model."""
    options = dict(context.params)
    for name in ("config", "save_config", "resume"):
        del options[name]
    if save_config:
        write_config(save_config, options)
    model = estimator(SequenceTagger, parameters)
    how: dict[str, Any] = {"tokens": model.tokens, "scheme": model.scheme, "skip_bad": skip_bad}
    table = read_tagged(file, text, label, **how)
    how["scheme"] = model.scheme = table.scheme
    held_out = read_tagged(valid, text, label, **how) if valid else None
    folder = output or default_folder(file)
    job = Job(folder, valid_fraction, held_out, baseline=baseline, resume=resume)
    if run_tag_job(table, model, job, console()):
        write_config(folder / "options.toml", options)
