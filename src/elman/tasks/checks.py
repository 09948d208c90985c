"""Checks of what a classifier is given; the messages name the argument, and how to mend it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from .errors import TaskError, places
from .model import RECURRENT

WHOLE = (
    *("embedding_size", "hidden_size", "layers", "max_length", "min_count"),
    *("epochs", "batch_size"),
)


def check_parameters(given: Mapping[str, Any]) -> None:
    """The parameters of a `SequenceClassifier`."""
    for name in WHOLE:
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise TaskError(f"{name} must be a whole number of at least 1. Got {value!r}.")
    for name, value in given.items():
        if name == "bidirectional" and not isinstance(value, (bool, np.bool_)):
            raise TaskError(f"{name} must be True or False. Got {value!r}.")
        if name == "dropout" and not (_is_number(value) and 0 <= value < 1):
            raise TaskError(f"{name} must be at least 0 and below 1. Got {value!r}.")
        if name == "lr" and not (_is_number(value) and 0 < value < float("inf")):
            raise TaskError(f"{name} must be a positive number. Got {value!r}.")
        if name == "backend" and value not in RECURRENT:
            raise TaskError(f"{name} must be one of {', '.join(RECURRENT)}. Got {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def check_texts(X: Iterable[str], name: str = "X") -> Collection[str]:
    """The texts, each with something to read in it; a list of them if `X` can be read only once."""
    if isinstance(X, str):
        raise TaskError(f"{name} must be a list of texts. Got one text; write [text].")
    if getattr(X, "ndim", 1) != 1:
        raise TaskError(
            f"{name} must be one-dimensional. Got shape {getattr(X, 'shape', '?')}; "
            "take the column of texts."
        )
    texts = X if isinstance(X, Collection) else list(X)
    empty = []
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TaskError(f"{name}[{row}] must be a text. Got {type(text).__name__}: {text!r}.")
        if not text.strip():
            empty.append(row)
    if empty:
        raise TaskError(
            f"{len(empty)} of the {len(texts)} texts in {name} are empty "
            f"({places(empty, 'number', 'numbers')}); leave them out."
        )
    return texts


def as_labels(y: Iterable[Any]) -> np.ndarray:
    """The labels as an array; one that is an array already is not copied."""
    return y if isinstance(y, np.ndarray) else np.asarray(list(y))


def check_labels(
    labels: np.ndarray, texts: int, name_x: str = "X", name_y: str = "y", fewest: int = 2
) -> None:
    """One label a text, of as many kinds as it takes."""
    if labels.ndim != 1 or len(labels) != texts:
        raise TaskError(
            f"{name_y} must have one label for each text in {name_x}. Got labels of shape "
            f"{labels.shape} for {texts} texts."
        )
    strings = labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels)
    if labels.dtype.kind not in "Uiub" and not strings:
        raise TaskError(
            f"{name_y} must hold strings, whole numbers or booleans. Got {labels.dtype}."
        )
    kinds = set(labels.tolist())
    if len(kinds) < fewest:
        raise TaskError(
            f"{name_y} has {len(kinds)} different labels; there must be at least {fewest}."
        )
