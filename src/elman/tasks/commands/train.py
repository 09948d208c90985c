"""`elman train`: from a file of one's own to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.pages import page

from ..errors import TaskError
from .columns import Id, Label, Numbers, Separator, Text, Time
from .training import trains

if TYPE_CHECKING:
    from ..classifier import SequenceClassifier
    from ..forecaster import SequenceForecaster
    from ..jobs.classify import OfTexts
    from ..jobs.forecast import Forecast
    from ..jobs.lm import Foretell
    from ..jobs.series import Recognise
    from ..jobs.tag import Tag
    from ..language_model import LanguageModel
    from ..series import SeriesEstimator
    from ..tagger import SequenceTagger

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=f"Documentation: {page('guides/tuning')}, {page('index')}",
)


@trains(
    *(app, "classify", "classifier:SequenceClassifier"),
    noun="texts",
    columns={"texts": "texts", "labels": "their labels"},
    baseline="TF-IDF with a linear model",
    kinds=("SequenceClassifier", "SequenceRegressor"),
)
def classify(
    model: "SequenceClassifier",
    valid: Path | None,
    skip_bad: bool,
    file: Annotated[
        Path,
        typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file, or a folder LABEL/NAME.txt."),
    ],
    text: Text = None,
    label: Label = None,
    labels_separator: Separator = None,
    regression: Numbers = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train the same on torch.nn and show both.")
    ] = False,
) -> "OfTexts":
    """Learn the labels of texts, or a number of each, and save the model."""
    from ..data import read_table
    from ..data.values import LABEL, LABELS, NUMBER
    from ..jobs.classify import Classify, Regress, regressor_like
    from ..regressor import SequenceRegressor

    goes_on = hasattr(model, "net_")
    if regression and not goes_on:
        model = regressor_like(model)
    kind = None if not goes_on else LABELS if getattr(model, "several_", False) else LABEL
    numbers = isinstance(model, SequenceRegressor)
    if regression and not numbers:
        raise TaskError("--regression: the model of --from learned labels; leave the option out.")
    if numbers:
        kind = NUMBER
        if labels_separator is not None:
            raise TaskError("--labels-separator is for labels; leave it out with --regression.")
    how: dict[str, Any] = {"labels_separator": labels_separator, "skip_bad": skip_bad}
    table = read_table(file, text, label, kind=kind, **how)
    held_out = read_table(valid, text, label, kind=table.kind, **how) if valid else None
    return (Regress if numbers else Classify)(model, table, held_out, compare)


@trains(
    *(app, "tag", "tagger:SequenceTagger"),
    noun="texts",
    columns={
        "texts": "texts or tokens; by default text or, of CoNLL, 1",
        "labels": "tags or spans; by default label or, of CoNLL, -1, the last",
    },
    baseline="each token's commonest tag",
)
def tag(
    model: "SequenceTagger",
    valid: Path | None,
    skip_bad: bool,
    file: Annotated[
        Path,
        typer.Argument(help="CoNLL columns (.conll, .bio, ...), or .jsonl, .csv, .tsv, .parquet."),
    ],
    text: Text = None,
    label: Label = None,
    auxiliary: Annotated[
        str | None,
        typer.Option(
            help="A column of further tags or spans, such as parts of speech, which are learned "
            "beside the labels: they help in training, and are not answered."
        ),
    ] = None,
) -> "Tag":
    """Learn to tag the tokens of texts, names for example, and save the model."""
    from ..data.tagtable import read_tagged
    from ..jobs.tag import Tag

    tokens, scheme = model.tokens, getattr(model, "scheme_", model.scheme)
    how: dict[str, Any] = {"tokens": tokens, "skip_bad": skip_bad}
    table = read_tagged(file, text, label, auxiliary, scheme=scheme, **how)
    scheme = table.scheme
    if not hasattr(model, "net_"):
        model.scheme = scheme
    held_out = None
    if valid:
        held_out = read_tagged(valid, text, label, scheme=scheme, **how)
    return Tag(model, table, held_out)


@trains(
    *(app, "lm", "language_model:LanguageModel"),
    noun="text",
    columns={"texts": "texts, if FILE is a table"},
    baseline="Kneser-Ney n-grams",
)
def lm(
    model: "LanguageModel",
    valid: Path | None,
    skip_bad: bool,
    file: Annotated[
        list[Path], typer.Argument(help="Files of plain text; or tables, with --text.")
    ],
    text: Text = None,
) -> "Foretell":
    """Learn what comes next in texts, and save the model."""
    from ..data.plain import read_corpus
    from ..jobs.lm import Foretell

    held_out = read_corpus([valid], text, skip_bad=skip_bad) if valid else None
    return Foretell(model, read_corpus(file, text, skip_bad=skip_bad), held_out)


@trains(
    *(app, "series", "series:SeriesEstimator"),
    noun="series",
    columns={"labels": "the labels of series, if FILE is a table"},
    kinds=("SeriesClassifier", "SeriesRegressor"),
    baseline="nearest neighbours with DTW and ROCKET, by aeon",
)
def series(
    model: "SeriesEstimator",
    valid: Path | None,
    skip_bad: bool,
    baseline: bool,
    file: Annotated[
        Path,
        typer.Argument(help="A .ts file, or a table with a row for each step of a series."),
    ],
    label: Label = None,
    id: Id = None,
    time: Time = None,
    values: Annotated[
        list[str] | None,
        typer.Option(help="A table's columns of values, with commas; by default all others."),
    ] = None,
    regression: Numbers = False,
) -> "Recognise":
    """Learn the labels of series of numbers, or a number of each, and save the model."""
    from ..data.seriestable import has_numbers, read_series
    from ..jobs.series import Recognise
    from ..jobs.series_baselines import series_baselines
    from ..series import SeriesClassifier, SeriesRegressor

    goes_on = hasattr(model, "net_")
    regression = isinstance(model, SeriesRegressor) if goes_on else regression or has_numbers(file)
    if baseline:
        series_baselines(regression, 0)  # before anything is trained
    given = {"id": id, "time": time, "values": values, "label": label}
    table, *held_out = (
        read_series(one, numbers=regression, skip_bad=skip_bad, **given)
        for one in (file, valid)
        if one
    )
    if not goes_on:
        model = (SeriesRegressor if regression else SeriesClassifier)(**model.get_params())
    return Recognise(model, table, *held_out)


@trains(
    *(app, "forecast", "forecaster:SequenceForecaster"),
    noun="steps",
    baseline="the seasonal naive forecast and, with statsmodels, ETS",
)
def forecast(
    model: "SequenceForecaster",
    valid: Path | None,
    skip_bad: bool,
    file: Annotated[
        Path, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet table, a row for each step.")
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(help="The column to be told, or several with commas, each a series."),
    ] = None,
    time: Time = None,
    id: Id = None,
    known: Annotated[
        list[str] | None,
        typer.Option(help="Columns, with commas, that are known ahead: of the horizon, too."),
    ] = None,
) -> "Forecast":
    """Learn to foretell series of numbers, in quantiles or as a distribution; save the model."""
    from ..data.forecasttable import read_forecast_table
    from ..jobs.forecast import Forecast

    if valid:
        raise TaskError("Forecasts hold out the end of each series; leave out --valid.")
    given = {"target": target, "time": time, "id": id, "known": known}
    return Forecast(model, read_forecast_table(file, given, skip_bad=skip_bad))
