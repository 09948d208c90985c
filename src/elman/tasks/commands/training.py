"""What every `elman train ...` shares: its options, and what is done with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from .columns import SkipBad
from .options import NAMES, estimator, parameter_options, read_config, write_config
from .start import console, execute

if TYPE_CHECKING:
    from ..jobs.job import Job

NOT_OPTIONS = ("config", "save_config", "resume")  # of the training that a file describes


def _shared(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option(help="The model's folder; by default FILE's name with '-model'.")
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(help="A file of held-out {noun}, in the form of FILE.")
    ] = None,
    valid_fraction: Annotated[
        float, typer.Option(help="Share of FILE's {noun} that is held out, without --valid.")
    ] = 0.2,
    skip_bad: SkipBad = False,
    begin_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Go on from this model: its weights change, what it knows and its columns stay.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the training that was interrupted in --output."),
    ] = False,
    baseline: Annotated[bool, typer.Option("--baseline", help="Show {baseline}, too.")] = False,
    config: Annotated[
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
) -> None:
    """Only the parameters count: they are options of every training."""


def trains(
    app: typer.Typer,
    name: str,
    task: str,
    *,
    noun: str,
    baseline: str,
    columns: Mapping[str, str] | None = None,
    kinds: Sequence[str] = (),
) -> Callable[[Callable[..., Job[Any, Any]]], Callable[..., Job[Any, Any]]]:
    """Makes `elman train NAME` of a function that makes a job of an untrained model and options.

    `task` names the estimator, "module:class": nothing of it is imported before the command runs.
    Of the function's parameters `model` is the estimator, and those that `_shared` has get these
    options' values. The others are options or arguments of its own. `noun`, `baseline` and
    `columns` name in the help what is held out, what is compared, and what columns hold. `kinds`
    are the estimators that may come of it, by default that of `task`.
    """

    def add(make: Callable[..., Job[Any, Any]]) -> Callable[..., Job[Any, Any]]:
        wanted = inspect.signature(make).parameters
        common = inspect.signature(_shared, eval_str=True).parameters
        own = [p for name, p in wanted.items() if name != "model" and name not in common]

        @wraps(make)
        def command(context: typer.Context, **given: Any) -> None:
            execute()
            from ..jobs.job import Plan, default_folder, run_job

            options = {k: v for k, v in context.params.items() if k not in NOT_OPTIONS}
            begun: Path | None = given["begin_from"]
            first = given["file"][0] if isinstance(given["file"], list) else given["file"]
            folder = given["output"] or default_folder(first)
            model = estimator(task, given)
            if begun:
                model = _begun(begun, folder, kinds or [task.partition(":")[2]], context, model)
                kept = {NAMES.get(name, name): v for name, v in model.get_params().items()}
                kept |= (remembered := _columns(begun, model, first, given))
                given |= remembered
                options |= {name: value for name, value in kept.items() if name in options}
            if given["save_config"]:
                write_config(given["save_config"], options)
            job = make(**{k: model if k == "model" else given[k] for k in wanted})
            plan = Plan(folder, given["valid_fraction"], given["baseline"], given["resume"], begun)
            if run_job(job, plan, console()):
                write_config(folder / "options.toml", options)

        words = {"noun": noun, "baseline": baseline, **(columns or {})}
        context, *shared = (_named(p, **words) for p in common.values())
        shown = [_named(p, **words) for p in own]
        parameters = [context, *shown, *shared, *parameter_options(task)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {}  # typer takes them from the signature
        app.command(name)(command)
        return make

    return add


def _begun(
    begun: Path, folder: Path, kinds: Sequence[str], context: typer.Context, model: Any
) -> Any:
    """The model that a training goes on from, with the parameters that its options name."""
    from ..errors import TaskError
    from .begun import begun_from

    if begun.resolve() == folder.resolve():
        raise TaskError(f"--from {begun}: would be overwritten; give another folder as --output.")
    parameters, given = model.get_params(), {}
    for name, value in parameters.items():
        source = context.get_parameter_source(NAMES.get(name, name))
        if source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP", "PROMPT"):
            given[name] = value
    return begun_from(begun, kinds, given, type(model)().get_params())


def _columns(begun: Path, model: Any, file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that the options don't name, as the model's folder remembers them."""
    from ..registry import job_class
    from ..report.record import columns_of

    found = columns_of(begun, job_class(model).COLUMNS, file)
    return {name: value for name, value in found.items() if value and not given[name]}


def _named(parameter: inspect.Parameter, **words: str) -> inspect.Parameter:
    """A parameter whose help names things as the task does."""
    kind, *options = get_args(parameter.annotation) or (parameter.annotation,)
    if not options:
        return parameter
    option = copy(options[0])  # each task has its own
    option.help = option.help.format(**words)
    return parameter.replace(annotation=Annotated[kind, option])
