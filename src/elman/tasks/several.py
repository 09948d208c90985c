"""Several labels for each text: as lists of them, or as a matrix of ones and zeros."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .checks import as_column, as_labels, check_missing, refuse_unseen
from .errors import TaskError

LISTS = (list, tuple, set, frozenset, np.ndarray)


class Several(NamedTuple):
    """Which text (B, rows) has which label (columns)."""

    flags: np.ndarray  # (B, L) bool
    names: np.ndarray | None  # (L,) the labels; None: nothing is known but their places

    def __len__(self) -> int:
        return len(self.flags)

    def classes(self) -> np.ndarray:
        """The labels, or the numbers of their places."""
        return np.arange(self.flags.shape[1]) if self.names is None else self.names

    def of(self, classes: np.ndarray, name: str = "y") -> np.ndarray:
        """The targets (B, labels) float32 of a model with these classes."""
        if self.names is None:
            if self.flags.shape[1] != len(classes):
                raise TaskError(
                    f"{name} must have a column for each of the {len(classes)} labels. Got shape "
                    f"{self.flags.shape}."
                )
            return self.flags.astype(np.float32)
        known, found = classes.tolist(), np.zeros((len(self), len(classes)), np.float32)
        names = self.names.tolist()
        unknown = [repr(label) for label in names if label not in known]
        refuse_unseen(name, unknown, [*map(repr, known)], "labels")
        found[:, [known.index(label) for label in names]] = self.flags
        return found

    def listed(self) -> list[list[Any]]:
        """The labels of each text."""
        names = self.classes()
        return [names[row].tolist() for row in self.flags]


def as_several(y: Any, name: str = "y") -> Several | None:
    """Several labels for each text, if that is what `y` says.

    A matrix of zeros and ones has a column for each label (an array, a sparse matrix, a DataFrame,
    whose columns then name them). Lists, tuples or sets hold the labels of a text.

    >>> as_several([["new", "old"], [], ["new"]]).flags.tolist()
    [[True, True], [False, False], [True, False]]
    >>> as_several(["new", "old"]) is None
    True
    """
    columns = getattr(y, "columns", None)
    if columns is not None and len(columns) > 1:
        found = _matrix(y.to_numpy(), name)
        return Several(found.flags, as_labels([*columns], f"{name}.columns"))
    if columns is None and getattr(y, "ndim", 1) == 2:
        matrix = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        return _matrix(matrix, name) if matrix.shape[1] > 1 else None
    rows = as_column(y, name)
    if not any(isinstance(row, LISTS) for row in rows):
        return None
    check_missing(rows, name)
    for number, row in enumerate(rows):
        if not isinstance(row, LISTS):
            raise TaskError(
                f"{name}[{number}] must be a list of labels, as others are. Got {row!r}; write "
                f"[{row!r}]."
            )
    lists = [[*row] for row in rows]
    width = len(lists[0])
    if width > 1 and all(len(row) == width and {*row} <= {0, 1} for row in lists):
        return _matrix(np.array(lists), name)
    flat = [label for row in lists for label in row]
    named = as_labels(flat, name) if flat else np.array([], object)
    names, numbers = np.unique(named, return_inverse=True)
    flags = np.zeros((len(lists), len(names)), bool)
    flags[np.arange(len(lists)).repeat([len(row) for row in lists]), numbers] = True
    return Several(flags, names)


def _matrix(matrix: Any, name: str) -> Several:
    flags = np.asarray(matrix)
    if not np.isin(flags, (0, 1)).all():
        raise TaskError(
            f"{name} must have one label for each text, or be a matrix of zeros and ones with a "
            f"column for each label. Got shape {flags.shape} with other values."
        )
    return Several(flags.astype(bool), None)
