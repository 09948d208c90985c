"""Checks of what an estimator is given; the messages name the argument, and how to mend it."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .data.spool import Texts
from .data.text import TOKENS
from .errors import TaskError, meant, places
from .networks.layers import BACKENDS
from .networks.pooling import POOLINGS

LAYERS = 256  # at most
MEMBERS = 64  # at most


class Rule(NamedTuple):
    """What a parameter must be: as a test, and in words."""

    holds: Callable[[Any], bool]
    words: str
    names: Collection[str] = ()  # of which one was perhaps meant


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float comes near
        return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole(most: int = 2**31 - 1, least: int = 1) -> Rule:
    """A whole number within bounds."""

    def holds(value: Any) -> bool:
        return _is_whole(value) and least <= int(value) <= most

    return Rule(holds, f"a whole number from {least:,} to {most:,}")


def or_none(rule: Rule) -> Rule:
    """What a rule allows, or nothing."""
    return Rule(
        lambda value: value is None or rule.holds(value), f"None, or {rule.words}", rule.names
    )


def one_of(names: Collection[str]) -> Rule:
    """One of some strings."""
    return Rule(
        lambda value: isinstance(value, str) and value in names,
        f"one of {', '.join(names)}",
        names,
    )


def _sizes(rule: Rule, layers: int) -> Rule:
    """One size, or one for each layer."""

    def holds(value: Any) -> bool:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return 1 <= len(value) <= layers and all(map(rule.holds, value))
        return rule.holds(value)

    return Rule(holds, f"{rule.words}, or a list of one for each layer")


def _named(values: Mapping[str, type]) -> Rule:
    """None, or some of the values by name."""

    def holds(given: Any) -> bool:
        return given is None or (
            isinstance(given, Mapping)
            and all(type(value) is values.get(name) for name, value in given.items())
        )

    shown = ", ".join(f"{name} ({kind.__name__})" for name, kind in values.items())
    return Rule(holds, f"None, or by name some of {shown}")


def _is_class_weight(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(is_number(weight) and weight > 0 for weight in value.values())
    return value is None or (isinstance(value, str) and value == "balanced")


SHARE = Rule(lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1")
TRUE_OR_FALSE = Rule(lambda value: isinstance(value, (bool, np.bool_)), "True or False")
NOT_NEGATIVE = Rule(lambda value: is_number(value) and value >= 0, "a number of at least 0")
RULES = {
    "tokens": one_of(TOKENS),
    "embedding_size": whole(2**16),
    "hidden_size": _sizes(whole(2**16), LAYERS),
    "num_layers": whole(LAYERS),
    **dict.fromkeys(("bidirectional", "repeats"), TRUE_OR_FALSE),
    "recurrent": _named(
        dict.fromkeys(("bias", "residual", "learn_initial", "recompute"), bool)
        | {"merge": str, "proj_size": int}
    ),
    "n_estimators": whole(MEMBERS),
    "pooling": one_of(POOLINGS),
    "ngrams": whole(8, least=0),
    **dict.fromkeys(("token_dropout", "dropout", "threshold", "averaging"), SHARE),
    **dict.fromkeys(("embedding_dropout", "input_dropout", "hidden_dropout"), SHARE),
    **dict.fromkeys(("auxiliary_weight", "noise", "weight_decay"), NOT_NEGATIVE),
    "class_weight": Rule(
        _is_class_weight, "None, 'balanced', or a dict of a positive number for each label"
    ),
    "max_length": whole(),
    "min_count": whole(),
    "epochs": whole(),
    "batch_size": whole(),
    "lr": Rule(lambda value: is_number(value) and value > 0, "a positive number"),
    "random_state": Rule(
        lambda value: (
            value is None
            or isinstance(value, np.random.RandomState)
            or (_is_whole(value) and 0 <= int(value) < 2**32)
        ),
        "None, a whole number from 0 to 4,294,967,295, or a numpy.random.RandomState",
    ),
    "patience": or_none(whole()),
    "backend": one_of(BACKENDS),
    "verbose": Rule(lambda value: isinstance(value, (bool, int)) and 0 <= value <= 1, "0 or 1"),
}


def check_parameters(given: Mapping[str, Any], own: Mapping[str, Rule]) -> None:
    """The parameters of an estimator, each for itself; the network checks the rest.

    Its `own` rules count before those of all estimators.
    """
    for name, rule in {**RULES, **own}.items():
        if name in given and not rule.holds(given[name]):
            hint = meant(given[name], rule.names)
            raise TaskError(f"{name} must be {rule.words}. Got {given[name]!r}.{hint}")


def as_column(X: Any, name: str) -> Any:
    """The values of one column, of whatever library: a collection that is quick to read.

    Arrays, lists and elman's own texts on disk stay as they are. A table of one column (pandas'
    `DataFrame`) is that column, of a table of several the error names them.
    """
    if isinstance(X, (list, tuple, np.ndarray, Texts)):
        return X
    columns = getattr(X, "column_names", getattr(X, "columns", None))  # of datasets, of pandas
    if columns is not None:
        names = [str(column) for column in columns]
        if len(names) != 1:
            raise TaskError(
                f"{name} must be one column. Got a table of {', '.join(map(repr, names[:10]))}; "
                f"take one of them, table[{names[0] if names else 'column'!r}]."
            )
        X = X[next(iter(columns))]
    if hasattr(X, "to_pylist"):  # of pyarrow
        return X.to_pylist()
    return X if getattr(X, "ndim", 1) != 1 else list(X)


def is_missing(value: Any) -> bool:
    """Whether a value stands for one that isn't there: None, NaN, pandas' NA and NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA; an array
        return type(value).__name__ == "NAType"


def check_missing(values: Iterable[Any], name: str) -> None:
    """Refuses a column in which values are missing, naming their rows."""
    if rows := [row for row, value in enumerate(values) if is_missing(value)]:
        raise TaskError(
            f"{name} has no value in {places(rows, 'row', 'rows')}, counted from 0; leave them "
            "out, of X and y alike, or fill them in."
        )


def check_texts(X: Iterable[str], name: str = "X") -> Collection[str]:
    """The texts, each with something to read in it; a list of them if `X` can be read only once."""
    if isinstance(X, str):
        raise TaskError(f"{name} must be a list of texts. Got one text; write [text].")
    texts: Collection[str] = as_column(X, name)
    if getattr(texts, "ndim", 1) != 1:
        raise TaskError(
            f"{name} must be one-dimensional. Got shape {getattr(texts, 'shape', '?')}; "
            "take the column of texts."
        )
    empty = []
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            check_missing(texts, name)
            raise TaskError(f"{name}[{row}] must be a text. Got {type(text).__name__}: {text!r}.")
        if not text.strip():
            empty.append(row)
    if empty:
        raise TaskError(
            f"{len(empty)} of the {len(texts)} texts in {name} are empty "
            f"({places(empty, 'number', 'numbers')}); leave them out."
        )
    return texts


def as_labels(y: Iterable[Any], name: str = "y") -> np.ndarray:
    """The labels as an array; one that is an array already is not copied."""
    y = as_column(y, name)
    if isinstance(y, np.ndarray) and y.dtype != object:
        return y
    labels = list(y)
    # An array of several types would be one of strings.
    kinds = {_kind(label): label for label in reversed(labels)}
    if len(kinds) > 1:
        check_missing(labels, name)
        found = ", ".join(f"{kind} ({label!r})" for kind, label in sorted(kinds.items()))
        raise TaskError(
            f"{name} must hold labels of one type. Got {len(kinds)}: {found}. Convert "
            "them to one type, strings for example, or leave those rows out."
        )
    return y if isinstance(y, np.ndarray) else np.asarray(labels)


def _kind(label: Any) -> str:
    """The type of a label, NumPy's as Python's."""
    return type(label.item() if isinstance(label, np.generic) else label).__name__


def check_labels(
    labels: np.ndarray,
    texts: int,
    name_x: str = "X",
    name_y: str = "y",
    fewest: int = 2,
    nouns: tuple[str, str] = ("text", "texts"),
) -> None:
    """One label a text, or what the nouns say, of as many kinds as it takes."""
    if labels.ndim != 1 or len(labels) != texts:
        raise TaskError(
            f"{name_y} must have one label for each {nouns[0]} in {name_x}. Got labels of shape "
            f"{labels.shape} for {texts} {nouns[1]}."
        )
    strings = labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels)
    if labels.dtype.kind not in "Uiub" and not strings:
        raise TaskError(
            f"{name_y} must hold strings, whole numbers or booleans. Unknown label type: "
            f"{labels.dtype}."
        )
    kinds = set(labels.tolist())
    if len(kinds) < fewest:
        raise TaskError(
            f"{name_y} has {len(kinds)} class{'es' * (len(kinds) != 1)}; there must be at least "
            f"{fewest} different labels."
        )


def as_numbers(y: Any, rows: int, name: str = "y", noun: str = "text") -> np.ndarray:
    """One finite number for each row, (B,) float64."""
    values = as_column(y, name)
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        check_missing(values, name)
        raise TaskError(f"{name} must hold numbers. Got {list(values)[:1]!r}.") from None
    if numbers.shape == (rows,) and np.isnan(numbers).any():
        check_missing(values, name)
    if numbers.shape != (rows,) or not np.isfinite(numbers).all():
        raise TaskError(
            f"{name} must have one finite number for each {noun}. Got shape {numbers.shape} where "
            f"{(rows,)} was expected, {int((~np.isfinite(numbers)).sum())} of them not finite."
        )
    return numbers


def refuse_unseen(name: str, unknown: Sequence[str], known: Sequence[str], what: str) -> None:
    """Refuses labels, or `what` else, that a training hadn't which is gone on from."""
    if unknown:
        raise TaskError(
            f"{name} has {what} that were not there in training: {', '.join(unknown[:5])}; "
            f"expected {', '.join(known[:20])}. Correct them, or train a new model on all texts."
        )


def as_targets(labels: np.ndarray, classes: np.ndarray, name: str = "y") -> np.ndarray:
    """The labels' numbers among the classes, (B,) int64, if all of them are there."""
    known = classes.tolist()
    unknown = sorted(set(labels.tolist()) - set(known), key=str)
    refuse_unseen(name, [*map(repr, unknown)], [*map(repr, known)], "labels")
    return np.searchsorted(classes, labels)
