"""An option for every parameter of an estimator, and files that hold options.

The parameters' types and defaults are those of the class, read off its source: importing it takes
seconds, and help is to be there at once. Only what they mean to a user, and the bounds that typer
can check, are written here.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import TaskError, on_disk

if TYPE_CHECKING:
    from ..estimator import SequenceEstimator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Weights = Literal["float32", "bfloat16", "int8"]  # what weight matrices are written or read as

# parameter -> its meaning, for each panel of the help
PANELS: dict[str, dict[str, str]] = {
    "Model": {
        "cell": "The recurrence: rnn, lstm, gru, or another cell of elman.cells.",
        "tokens": "What is read one after another: characters, words or bytes.",
        "embedding_size": "Features of a token.",
        "horizon": "Steps that are told.",
        "season": "Steps until a pattern comes again; 1: none; by default as dates say.",
        "quantiles": "What is told, as a JSON list between 0 and 1 with 0.5.",
        "distribution": "Learn a distribution of each step, not those quantiles alone.",
        "patch": "Steps of a series that are read together; by default at most 100 remain.",
        "hidden_size": "Units of each layer and direction; a JSON list: one for each layer.",
        "num_layers": "Recurrent layers.",
        "bidirectional": "Read from the end, too.",
        "recurrent": "Further arguments of elman.Recurrent, as a JSON object.",
        "repeats": "Read what a text says of the same token elsewhere: texts are articles.",
        "n_estimators": "Networks that learn side by side and answer with their mean.",
        "pooling": "How all steps become one: max, mean, max_mean or last.",
        "embedding_dropout": "Share of the tokens without features for a step of training.",
        "input_dropout": "Share of the features set to zero on the way in, in training.",
        "hidden_dropout": "Share of the features set to zero between layers, in training.",
        "ngrams": "Tokens of the longest n-gram that is weighed beside the network; 0: none.",
        "token_dropout": "Share of the tokens that are read as unknown in training.",
        "noise": "Deviation of noise on the standardised values, in training.",
        "dropout": "Share of the features set to zero in training.",
        "scheme": "That of the tags: BIO, BIOES, IOB1, IO, tags (one a token), or auto.",
        "threshold": "Of several labels those are named whose probability is above this.",
        "max_length": "Tokens of a text that the network reads.",
        "adaptive_from": "Size of the vocabulary from which on the softmax is adaptive.",
        "min_count": "Rarer tokens share the id 'unknown'.",
        "backend": "Whose layers run: elman's or torch.nn's.",
    },
    "Training": {
        "epochs": "Passes over the data.",
        "batch_size": "Texts or series a step; of a language model, places that are read at once.",
        "window": "Tokens, or steps of a series, that are read at once.",
        "weight_decay": "How far weights fall towards zero (AdamW).",
        "averaging": "Share that the mean of the weights keeps at a step; 0: no mean.",
        "precision": "float32, bfloat16, or auto: the latter where the processor has it.",
        "auxiliary_weight": "How much an auxiliary tag counts beside a tag.",
        "lr": "The highest learning rate.",
        "patience": "End after so many epochs without a lower loss on what is held out.",
        "class_weight": "balanced: all labels count the same; or a JSON object of weights.",
        "random_state": "Seed of all that is random.",
    },
}
PANEL = {name: panel for panel, names in PANELS.items() for name in names}
UNSEEN = frozenset(
    {"verbose", "warm_start"}
)  # parameters of Python alone: commands show what they do
NAMES = {"random_state": "seed"}  # other than in Python
BOUNDS = {"random_state": (0, 2**32 - 1)}  # checked here, as errors must use that name
# Of parameters that take several types in Python; a str is JSON or, if it isn't, itself.
TYPES: dict[str, Any] = {
    **dict.fromkeys(("cell", "hidden_size", "recurrent", "class_weight", "quantiles"), str),
    "random_state": int,
    "backend": Literal["elman", "torch"],
    "distribution": Literal["normal", "student-t", "negative-binomial"] | None,
}


def parameters_of(task: str) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default of each parameter of an estimator, given as "module:class".

    The types are those of `TYPES`, or made of Python's own.
    """
    module, _, name = task.partition(":")
    source = (Path(__file__).parents[1] / f"{module}.py").read_text("utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    inits: list[ast.FunctionDef] = []
    while not inits:  # its own, or that of a class above in this file
        found = classes[name]
        inits = [n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        name = next((b.id for b in found.bases if isinstance(b, ast.Name) and b.id in classes), "")
    (init,) = inits
    for given, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        assert given.annotation is not None
        assert default is not None
        kind = TYPES.get(given.arg) or eval(ast.unparse(given.annotation))
        yield given.arg, kind, ast.literal_eval(default)


def parameter_options(task: str) -> Iterator[inspect.Parameter]:
    """An option for each parameter of a task's estimator."""
    for name, kind, default in parameters_of(task):
        if name in UNSEEN:
            continue
        panel = PANEL[name]
        lowest, highest = BOUNDS.get(name, (None, None))
        option = typer.Option(
            help=PANELS[panel][name],
            rich_help_panel=panel,
            parser=_parsed if kind is str else None,
            metavar="<str>" if kind is str else None,
            min=lowest,
            max=highest,
        )
        yield inspect.Parameter(
            NAMES.get(name, name),
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, option],
        )


def estimator(task: str, options: Mapping[str, Any]) -> SequenceEstimator:
    """The untrained estimator that the options describe."""
    kind = resolve_name(f"elman.tasks.{task}")
    names = [name for name in kind._get_param_names() if name not in UNSEEN]
    given = {name: options[NAMES.get(name, name)] for name in names}
    model: SequenceEstimator = kind(**given)
    model._check_parameters()
    return model


def read_config(context: typer.Context, path: Path | None) -> None:
    """Makes the options in a TOML file the defaults of a command."""
    if path is None:
        return
    try:
        config = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise TaskError(f"{path}: is not TOML ({error}).") from None
    known = [option.name for option in context.command.params if option.name]
    for name in config:
        if name not in known:
            close = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" There are {', '.join(known)}."
            raise TaskError(f"{path}: there is no option {name!r}.{hint}")
    several = {
        option.name
        for option in context.command.params
        if option.nargs == -1 or getattr(option, "multiple", False)
    }

    def as_typed(name: str, value: Any) -> Any:
        """As on the command line: 0.5 is no whole number there."""
        if name in several and isinstance(value, list):
            return [str(one) for one in value]
        return value if isinstance(value, str) else json.dumps(value, default=str)

    context.default_map = {name: as_typed(name, value) for name, value in config.items()}


def write_config(path: Path, options: Mapping[str, Any]) -> None:
    """Write options as `read_config` reads them."""
    lines = [
        f"{name} = {_written(value)}\n" for name, value in options.items() if value is not None
    ]
    with on_disk(path, "written"):
        path.write_text("".join(lines), "utf-8")


def _parsed(given: Any) -> Any:
    try:
        return json.loads(given)
    except (ValueError, TypeError, RecursionError):  # no JSON, or a default
        return given


def _written(value: Any) -> str:
    """A value as TOML has it: of JSON's forms only that of an object means nothing there."""
    if isinstance(value, Mapping):
        value = json.dumps(value)
    return json.dumps(value, ensure_ascii=False, default=str)
