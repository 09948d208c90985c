"""Training that goes on from a saved model: `elman train ... --from MODEL`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import TaskError
from .options import NAMES

#: Parameters of training alone. All others say what a model is, and stay.
FREE = frozenset(
    (
        *("epochs", "batch_size", "lr", "patience", "random_state", "class_weight", "weight_decay"),
        *("averaging", "precision", "backend", "threshold", "noise", "dropout"),
        *("token_dropout", "embedding_dropout", "input_dropout", "hidden_dropout"),
    )
)


def begun_from(
    folder: Path, kinds: Iterable[str], given: Mapping[str, Any], usual: Mapping[str, Any]
) -> Any:
    """The saved estimator, of one of the kinds, ready to go on with the given parameters.

    Files of options give all of a command's: those with their `usual` values that this kind hasn't
    are left out.

    Raises:
        TaskError: it is of another kind; a parameter would make it another model.
    """
    from ... import tasks
    from ..models.folder import read_config

    found, expected = read_config(folder)["format"], [getattr(tasks, kind) for kind in kinds]
    if found not in [kind.FORMAT for kind in expected]:
        raise TaskError(
            f"--from {folder}: holds {found!r}, expected {expected[0].FORMAT!r}; train a model of "
            "another kind with its own command."
        )
    (kind,) = (kind for kind in expected if found == kind.FORMAT)
    model = kind.load(folder)
    parameters = model.get_params()
    given = {n: v for n, v in given.items() if n in parameters or v != usual[n]}
    for name, value in given.items():
        option = f"--{NAMES.get(name, name).replace('_', '-')}"
        if name not in parameters:
            raise TaskError(f"{option}: the model in {folder} has nothing of that; leave it out.")
        own = parameters[name]
        if name not in FREE and value != own:
            raise TaskError(
                f"{option} {value}: the model in {folder} has {own}, and can't be changed; leave "
                "the option out, or train a new model without --from."
            )
    free = {name: value for name, value in given.items() if name in FREE}
    model.set_params(warm_start=True, **free)
    model._check_parameters()
    return model
