"""The commands `train classify`, `predict` and `demo`: options in, a job run, its report out."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

import elman

from ..errors import TaskError, places

# What trains and predicts is imported by the commands that do: `elman --help` should be quick.

Backend = Literal["elman", "torch"]

app = typer.Typer(
    help="Recurrent networks for sequences: train them, use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
training = typer.Typer(help="Train a model on a file of your own.", no_args_is_help=True)
app.add_typer(training, name="train")

# Sentences for the demo that nobody reviewed.
SENTENCES = [
    "房间很干净,前台态度也好,下次还会住这里。",
    "等了两个小时才入住,空调还是坏的,太失望了。",
    "这本书文笔优美,孩子读得津津有味。",
    "电脑用了三天就死机,客服推来推去,后悔买了。",
]


def _console() -> Console:
    # Labels and texts are the user's: brackets and numbers in them mean nothing to rich.
    return Console(markup=False, highlight=False, soft_wrap=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"elman {elman.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@training.command("classify")
def classify(
    file: Annotated[
        Path,
        typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file, or a folder LABEL/NAME.txt."),
    ],
    text: Annotated[str | None, typer.Option(help="The column with the texts.")] = None,
    label: Annotated[str | None, typer.Option(help="The column with their labels.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The model's folder; by default FILE's name with '-model'.")
    ] = None,
    embedding_size: Annotated[int, typer.Option(min=1, help="Features of a character.")] = 64,
    hidden_size: Annotated[int, typer.Option(min=1, help="Units a layer and direction.")] = 64,
    num_layers: Annotated[int, typer.Option(min=1, help="Recurrent layers.")] = 1,
    bidirectional: Annotated[bool, typer.Option(help="Read the texts from the end, too.")] = True,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.99)] = 0.3,
    max_length: Annotated[
        int, typer.Option(min=1, help="Characters of a text that are read.")
    ] = 200,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the texts.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a step.")] = 64,
    lr: Annotated[float, typer.Option(help="The highest learning rate.")] = 3e-3,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    valid_fraction: Annotated[float, typer.Option(help="Share of the texts held out.")] = 0.2,
    backend: Annotated[Backend, typer.Option(help="elman.RNN or torch.nn.RNN.")] = "elman",
    compare: Annotated[
        bool, typer.Option(help="Train the same on torch.nn.RNN and show both.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option(help="Show TF-IDF with logistic regression, too.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that can't be used, and say why.")
    ] = False,
) -> None:
    """Learn the labels of texts, and save the model."""
    from ..classifier import SequenceClassifier
    from ..data import read_table
    from ..job import Job, run_job

    model = SequenceClassifier(
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        bidirectional=bidirectional,
        dropout=dropout,
        max_length=max_length,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        random_state=seed,
        backend=backend,
    )
    table = read_table(file, text, label, skip_bad=skip_bad)
    folder = output or Path(f"{file.stem}-model")
    run_job(table, model, Job(folder, valid_fraction, compare, baseline), _console())


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    texts: Annotated[list[str], typer.Argument(help="Texts; - reads one a line from the input.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with every probability.")
    ] = False,
) -> None:
    """Name the label of each text: label, probability and text, with tabs between."""
    from ..checks import check_texts
    from ..classifier import SequenceClassifier
    from ..data.text import TOKENS

    given = [text for one in texts for text in (_input() if one == "-" else [one])]
    for text in given:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise TaskError(f"{text!r} is not UTF-8; convert it first.")
    classifier = SequenceClassifier.load(model)
    probabilities = classifier.predict_proba(check_texts(given, "TEXT"))
    long = sum(len(TOKENS[classifier.tokens](text)) > classifier.max_length for text in given)
    if long:
        first = f"first {classifier.max_length} {classifier.tokens}"
        print(f"elman: {long} of the texts: only the {first} are read", file=sys.stderr)
    labels = classifier.classes_.tolist()
    for text, row in zip(given, probabilities.tolist(), strict=True):
        best = max(range(len(labels)), key=row.__getitem__)
        if as_json:
            chances = {str(label): round(p, 6) for label, p in zip(labels, row, strict=True)}
            answer = {"text": text, "label": labels[best], "probabilities": chances}
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(f"{labels[best]}\t{row[best]:.3f}\t{' '.join(text.split())}")


def _input() -> list[str]:
    """The lines of the standard input; a blank one could not be answered for."""
    try:
        content = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TaskError(
            f"Line {line} of the input is not UTF-8; convert it first, for example with iconv."
        ) from None
    lines = [line.rstrip("\r") for line in content.removesuffix("\n").split("\n")]
    blank = [number for number, line in enumerate(lines, 1) if not line.strip()]
    if blank:
        raise TaskError(
            f"The input has {len(blank)} blank lines ({places(blank)}); leave them out."
        )
    return lines


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="The model's folder.")] = Path("elman-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the reviews.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    compare: Annotated[bool, typer.Option(help="Train the same on torch.nn.RNN, too.")] = True,
) -> None:
    """Learn from 35,000 Chinese reviews what praise is; compare; judge a few new sentences."""
    from ..classifier import SequenceClassifier
    from ..data.reviews import read_reviews
    from ..job import Job, run_job

    console = _console()
    model = SequenceClassifier(epochs=epochs, random_state=seed)
    run_job(read_reviews(), model, Job(output, compare=compare, baseline=True), console)
    console.print("\nSentences that it hasn't seen:")
    loaded = SequenceClassifier.load(output)
    for text, row in zip(SENTENCES, loaded.predict_proba(SENTENCES).tolist(), strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        console.print(f"  {loaded.classes_[best]}  {row[best]:.2f}  {text}")
