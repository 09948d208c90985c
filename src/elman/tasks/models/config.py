"""What `config.json` says of a model: its parameters, labels and vocabulary, as JSON.

`docs/format.md` specifies it. What is read is checked before it is used, so that a folder from
anywhere gives a working model or a `TaskError`.
"""

from collections.abc import Collection, Mapping, Set
from typing import Any

import numpy as np

from ..data.schemes import OUTSIDE, SCHEMES, labels_of
from ..data.series import numbers
from ..data.text import Vocabulary
from ..errors import TaskError
from ..networks.layers import CELLS, find_cell, same_cell

#: What a model is, beside its weights, as far as its task has that. Parameters of the training
#: alone may be missing.
NEEDED = frozenset(("cell", "tokens", "embedding_size", "hidden_size", "num_layers", "recurrent"))
#: What a token of each kind is: a test, and in words.
TOKEN = {
    "characters": (lambda token: isinstance(token, str) and len(token) == 1, "single characters"),
    "words": (lambda token: isinstance(token, str) and len(token) > 0, "words"),
    "bytes": (lambda token: type(token) is int and 0 <= token < 256, "numbers below 256"),
}


def write_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an estimator as JSON has them."""
    written = {**parameters, "cell": _write_cell(parameters["cell"])}
    if isinstance(parameters.get("class_weight"), Mapping):  # a label need not be a string
        written["class_weight"] = [[k, float(w)] for k, w in parameters["class_weight"].items()]
    return written


def read_parameters(
    written: Mapping[str, Any], known: Collection[str], needed: Set[str] = NEEDED, cell: Any = None
) -> dict[str, Any]:
    """The arguments that `write_parameters` was given; a `cell` of one's own is needed again."""
    if missing := sorted((NEEDED & set(known) | needed) - written.keys()):
        raise TaskError(f"'parameters' has no {', '.join(missing)}.")
    if unknown := sorted(written.keys() - set(known)):
        named = ", ".join(name if name.isprintable() else repr(name) for name in unknown)
        raise TaskError(f"'parameters' has {named}, which this elman doesn't know.")
    read = {**written, "cell": _read_cell(written["cell"], cell)}
    weights = written.get("class_weight")
    if isinstance(weights, list):
        pairs = [pair for pair in weights if isinstance(pair, list) and len(pair) == 2]
        if len(pairs) < len(weights) or not all(_is_label(label) for label, _ in pairs):
            raise TaskError("'class_weight' must be null, a string, or a list of [label, weight].")
        read["class_weight"] = dict(weights)
    return read


def _write_cell(cell: Any) -> Any:
    """A name; or an object of a name and arguments; or, if it is one's own, of its formula."""
    if isinstance(cell, str):
        return cell
    found = find_cell(cell)
    arguments = found.__getstate__()
    if all(isinstance(value, (str, int, float)) for value in arguments.values()):
        named = {"name": type(found).__name__.lower(), **arguments}
        if CELLS.get(named["name"]) is type(found) and same_cell(found, find_cell(named)):
            return named
    return {"class": repr(found), "formula": found.trace().name}


def _read_cell(written: Any, given: Any) -> Any:
    own = isinstance(written, dict) and "formula" in written
    if given is None:
        if own:
            raise TaskError(
                f"the cell {str(written.get('class'))[:80]} is one of your own, and a folder holds "
                "no code; give it again: load(folder, cell=...)."
            )
        return written
    formula = written["formula"] if own else find_cell(written).trace().name
    if find_cell(given).trace().name != formula:
        raise TaskError(f"the model was not trained with the formula of cell={given!r}.")
    return given


def read_labels(labels: list[Any], ordered: bool = True) -> np.ndarray:
    """The labels as `classes_`; several for a text may be in any order, that of their columns."""
    if len(labels) < 2 or len({type(label) for label in labels}) > 1 or not _is_label(labels[0]):
        raise TaskError("'labels' must be strings, whole numbers or booleans, two at least.")
    if len(labels) != len(set(labels)) or (ordered and labels != sorted(labels)):
        raise TaskError("'labels' must be in order, each once.")
    classes = np.asarray(labels)
    if classes.dtype.kind not in "Uiub" or classes.tolist() != labels:
        raise TaskError("'labels' must be whole numbers of 64 bits, or strings that end in no NUL.")
    return classes


def read_target(written: list[Any]) -> tuple[float, float]:
    """The mean and the deviation of the numbers that a regressor has learned."""
    if not numbers(written) or len(written) != 2 or written[1] <= 0:
        raise TaskError("'target' must be a mean and a positive deviation.")
    return float(written[0]), float(written[1])


def _is_label(label: Any) -> bool:
    return isinstance(label, (str, int))


def read_vocabulary(tokens: list[Any], kind: str) -> Vocabulary:
    """The vocabulary of tokens of a kind."""
    is_token, words = TOKEN[kind]
    if not all(map(is_token, tokens)):
        raise TaskError(f"'vocabulary' must list {words}, as 'tokens' is {kind!r}.")
    if len(set(tokens)) < len(tokens):
        raise TaskError("'vocabulary' lists a token twice.")
    return Vocabulary(tokens)


def read_tags_of_model(labels: list[Any], scheme: str, name: str = "labels") -> list[str]:
    """The tags of a tagger, in its own order."""
    if scheme not in SCHEMES:
        raise TaskError(f"'scheme' must be one of {', '.join(SCHEMES)}. Got {scheme[:40]!r}.")
    if len(labels) < 2 or not all(map(_is_tag, labels)) or labels_of([labels]) != labels:
        raise TaskError(
            f"{name!r} must be BIOES tags, two at least: O first, then by label B, I, E and S, "
            "each once, and of a label with one of B, I, E all three."
        )
    return labels


def _is_tag(label: Any) -> bool:
    return isinstance(label, str) and (
        label == OUTSIDE or (len(label) > 2 and label[0] in "BIES" and label[1] == "-")
    )


def read_vocabularies(written: Mapping[str, Any], names: Collection[str]) -> list[Vocabulary]:
    """The vocabulary of each column."""
    if sorted(written) != sorted(names):
        raise TaskError(f"'vocabularies' must have {', '.join(names)} and no others.")
    found = []
    for name in names:
        tokens = written[name]
        if not isinstance(tokens, list) or not all(isinstance(t, str) and t for t in tokens):
            raise TaskError(f"'vocabularies' must list strings for {name!r}.")
        if len(set(tokens)) < len(tokens):
            raise TaskError(f"'vocabularies' lists a token of {name!r} twice.")
        found.append(Vocabulary(tokens))
    return found
