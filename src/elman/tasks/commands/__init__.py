"""The commands of `elman`: options in, work done by the rooms beside this one, a report out."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from elman.pages import page
from elman.version import __version__

from . import bench, demo, evaluate, export, generate, inspect, predict, score, train
from .start import execute

# What trains and predicts is imported by the commands that do: `elman --help` should be quick.


def _executed(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        execute()
        command(*args, **kwargs)

    return run


app = typer.Typer(
    help="Recurrent networks for sequences: train them, use them.",
    epilog=f"Documentation: {page('guides/tour')}, {page('index')}",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of all commands below
    pretty_exceptions_enable=False,
)
app.add_typer(train.app, name="train", help="Train a model on a file of your own.")
for command in (
    *(evaluate.evaluate, predict.predict, generate.generate, score.score, inspect.inspect),
    *(export.export, demo.demo, bench.bench),
):
    app.command()(_executed(command))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"elman {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
