"""What the conversions share: a recurrence as a function of tensors, when kernels run it, and
whether a library's code is still the one that a conversion was compared with."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..batch import Weights
from ..cell import Cell
from ..dispatch.layer import recur
from ..dispatch.select import kernel_isa
from ..rows import Rows

_ASIDE = ("ctx", "kind", "type_comment")  # of a node of a syntax tree
_DTYPES = (torch.float32, torch.float64)


def serves(*tensors: Tensor | None) -> bool:
    """Whether kernels run on these tensors as they are; where not, the library's own code does.

    Raises:
        PathError: if the kernel was asked for by force and cannot run.
    """
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    found = [t for t in tensors if t is not None]
    return kernel_isa(found) is not None and found[0].dtype in _DTYPES


def plain(part: torch.nn.Module, *kinds: type) -> bool:
    """Whether a part whose weights are read, and which isn't called, does nothing else when it is:
    it is exactly of one of these classes, and has no hooks. An adapter that took its place, or a
    weight that is made of others before each call, is not."""
    hooks = (
        part._forward_pre_hooks,
        part._forward_hooks,
        part._backward_pre_hooks,
        part._backward_hooks,
    )
    return type(part) in kinds and not any(hooks)


def run(
    cell: Cell,
    x: Tensor,
    initial: Sequence[Tensor | None],
    tensors: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor] | None = None,
    rows: Rows | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """One layer of a cell in one direction.

    Args:
        cell: the formula.
        x: ``(T, B, I)``, or ``(N, I)`` for packed rows.
        initial: for each state ``(B, H)``, or None for zeros.
        tensors: the parameters by their names in a layer, ``weight_ih`` and so on.
        inputs: the cell's further inputs by name, ``(T, B, H)`` or ``(N, H)``.
        rows: which rows of a packed input are active when.

    Returns:
        The first state at every step, and for each state its final value, ``(B, H)``.
    """
    step = cell.trace()
    if rows is None:
        T, B = x.shape[:2]
        rows = Rows(T, B, T * B)
    weights = Weights.of([tensors.get(name) for name in step.parameters])
    further = [inputs[name] for name in step.inputs] if inputs else []
    begin = [None if s is None else s[None] for s in initial]
    output, final = recur(step, rows, x, begin, [weights], further)
    return output, [s[0] for s in final]


def blank(like: Tensor, *lead: int) -> Tensor:
    """The input of a formula that reads none: one feature, which has no memory of its own."""
    return like.new_zeros(1).expand(*lead, 1)


def begins(state: Tensor | None) -> bool:
    """Whether the states of an sLSTM are such as a sequence begins or goes on with: the libraries'
    own look at all rows together to see which."""
    if state is None or len(state) < 4:
        return True
    normaliser = state[2]
    return bool((normaliser == 0).all() or (normaliser > 0).all())


_Class = TypeVar("_Class", bound=type)


def printed_as(theirs: type) -> Callable[[_Class], _Class]:
    """Has modules of a class print as those of the library do; pickles name it as it is."""

    def name(mine: _Class) -> _Class:
        mine.__name__ = theirs.__name__
        return mine

    return name


def changed(digest: str, *functions: Callable[..., Any]) -> str:
    """Why a conversion isn't used, in words, if the code that it stands for is another than the
    one that it was compared with; empty if it is the same."""
    found = digest_of(*functions)
    if found == digest:
        return ""
    owner = functions[0].__module__
    return f"the code of {owner} is not that which elman's was compared with ({found})"


def digest_of(*functions: Callable[..., Any]) -> str:
    """A digest of what functions do: of their source without comments, docstrings and layout."""
    text = []
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, SyntaxError):
            return "no source"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        text.append(repr(_shape(tree)))
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:12]


def _shape(node: Any) -> Any:
    """What a syntax tree holds, in a form that all versions of Python agree on."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if name not in _ASIDE]
        held = [(name, _shape(value)) for name, value in fields if value is not None]
        return type(node).__name__, *(pair for pair in held if pair[1] != ())
    if isinstance(node, list):
        return tuple(map(_shape, node))
    return repr(node)
