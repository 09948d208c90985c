"""The commands of `elman`: options in, work done by the rooms beside this one, a report out."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import elman
from elman.version import __version__

from . import bench, demo, evaluate, generate, inspect, predict, score

# What trains and predicts is imported by the commands that do: `elman --help` should be quick.


def execute() -> None:
    """Execute elman, which `elman_cli` may only have put in place."""
    assert elman.Cell


def _executed(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        execute()
        command(*args, **kwargs)

    return run


class _Training(TyperGroup):
    """`elman train`, whose options are those of a class that takes a second to import."""

    def list_commands(self, ctx: Any) -> list[str]:
        return ["classify", "tag", "lm"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        execute()
        from .train import app

        found = typer.main.get_command(app)
        return found.commands.get(cmd_name) if isinstance(found, TyperGroup) else None


app = typer.Typer(
    help="Recurrent networks for sequences: train them, use them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of all commands below
    pretty_exceptions_enable=False,
)
app.add_typer(
    typer.Typer(cls=_Training, no_args_is_help=True),
    name="train",
    help="Train a model on a file of your own.",
)
for command in (
    *(evaluate.evaluate, predict.predict, generate.generate, score.score, inspect.inspect),
    *(demo.demo, bench.bench),
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
