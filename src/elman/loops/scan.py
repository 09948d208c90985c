"""``elman.scan``: a loop over time, compiled as one recurrence."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ..runtime.bounded import BoundedCache
from ..runtime.untraced import untraced

_KINDS = 32  # of tensors for which a body is kept traced


class _Body:
    """What is known of a body. Its modules are not kept alive."""

    def __init__(self, body: Any) -> None:
        self.modules = [weakref.ref(module) for module in _modules_of(body)]
        self.programs: BoundedCache[Any, Any] = BoundedCache(_KINDS)


_bodies: weakref.WeakKeyDictionary[Any, dict[Any, _Body]] = weakref.WeakKeyDictionary()


@untraced
def scan(
    body: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
) -> tuple[Any, Any]:
    """Runs ``carry, y = body(carry, x)`` for every step, as one compiled recurrence.

    ``body`` is written with modules and functions of PyTorch: cells, linear layers, embeddings,
    layer normalisation, activations, ``torch.cat``, ``chunk``, ``torch.where``, sums over the last
    dimension. It runs once, on tensors without data, and is kept for further calls with tensors of
    these sizes. What it computes from ``x`` alone is computed for all steps at once before the
    loop, and what no carried tensor depends on after it. The rest becomes the formula of a step,
    with its gradient and its kernels.

    Args:
        body: a module or a function, without side effects. It sees the tensors of one step: rows
            ``(B, n)``, or ``(B,)`` for one number a row.
        init: the carry before the first step: a tensor ``(B, n)`` or ``(B,)``, or tuples, lists and
            dicts of them.
        xs: what the steps are given, likewise, with time in front: ``(T, B, n)`` or ``(T, B)``.
        length: how many steps, T; needed if ``xs`` is None.

    Returns:
        The carry after the last step, in the form of ``init``; and ``y`` of all steps, with time in
        front: ``(T, B, n)`` or ``(T, B)``.

    Random numbers in the body (``torch.randn_like``, dropout in training) are drawn for all steps
    at once. So they are other numbers than those of a loop with the same seed. A function keeps
    what it has read when it was traced: numbers, and whether something is None. Of modules that it
    refers to by name, parameters may be replaced and modes may change.

    Raises:
        FormulaError: the body does something that no formula can say, such as a product of two
            values of the loop.
        TypeError, RuntimeError, ValueError: arguments that do not go together.

    The signature is that of ``jax.lax.scan``.

    The guide is docs/guides/loops.md.

    >>> import elman, torch
    >>> cell, head = torch.nn.GRUCell(3, 8), torch.nn.Linear(8, 2)
    >>> def body(h, x):
    ...     h = cell(x, h)
    ...     return h, head(h)
    >>> h, ys = elman.scan(body, torch.zeros(4, 8), torch.rand(7, 4, 3))
    >>> h.shape, ys.shape
    (torch.Size([4, 8]), torch.Size([7, 4, 2]))
    """
    carried, form = tree_flatten(init)
    given, xs_form = tree_flatten(xs) if xs is not None else ([], None)
    T = _check(carried, given, length)
    mine = _known(body)
    modules = [module for ref in mine.modules if (module := ref()) is not None]
    key = (
        *(form, xs_form),
        *((t.shape[1:], t.dtype) for t in carried),
        *((t.shape[2:], t.dtype) for t in given),
        *(module.training for root in modules for module in root.modules()),
    )
    found = mine.programs.get(key)
    if found is None:
        from .program import Program

        program = Program(body, carried, given, form, xs_form)
        found = mine.programs.keep(key, (program, _places(program.read, modules)))
    program, places = found
    read = [place if isinstance(place, Tensor) else _read(*place) for place in places]
    results: tuple[Any, Any] = program.run(carried, given, T, read)
    return results


def _known(body: Any) -> _Body:
    # A bound method is made anew each time that it is read.
    holder, of = (body.__self__, body.__func__) if inspect.ismethod(body) else (body, None)
    known = _bodies.setdefault(holder, {})
    if of not in known:
        known[of] = _Body(body)
    return known[of]


def _check(carried: Sequence[Any], given: Sequence[Any], length: int | None) -> int:
    """The number of steps, if tensors go together."""
    if not carried:
        raise ValueError("scan: expected init to have a tensor, got none")
    for name, tensors, dims in (("init", carried, (1, 2)), ("xs", given, (2, 3))):
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"scan: expected tensors in {name}, got {type(tensor).__name__}")
            if tensor.dim() not in dims:
                rows = "(B, n) or (B,)" if name == "init" else "(T, B, n) or (T, B)"
                raise RuntimeError(
                    f"scan: expected tensors of shape {rows} in {name}, got {tuple(tensor.shape)}"
                )
    first = carried[0]
    for tensor in carried:
        if tensor.dtype != first.dtype or not tensor.is_floating_point():
            raise RuntimeError(
                "scan: expected all tensors of init to have one floating-point dtype, got "
                f"{first.dtype} and {tensor.dtype}"
            )
    batches = {"init": {t.shape[0] for t in carried}, "xs": {t.shape[1] for t in given}}
    if len(batches["init"] | batches["xs"]) > 1:
        raise RuntimeError(f"scan: expected the same number of rows everywhere, got {batches}")
    lengths = {t.shape[0] for t in given} | ({length} if length is not None else set())
    if len(lengths) != 1:
        raise ValueError(
            f"scan: expected one number of steps, got {sorted(lengths)}: it is the first dimension "
            "of xs, or length"
        )
    (T,) = lengths
    if type(T) is not int or T < 1:
        raise ValueError(f"scan: expected at least one step, got {T!r}")
    return T


def _modules_of(body: Any) -> Iterator[torch.nn.Module]:
    """The modules that a body is, or refers to by name."""
    if isinstance(body, torch.nn.Module):
        yield body
    elif isinstance(body, functools.partial):
        for part in (body.func, *body.args, *body.keywords.values()):
            yield from _modules_of(part)
    elif inspect.ismethod(body):
        yield from _modules_of(body.__self__)
    elif inspect.isfunction(body):
        inner = inspect.getclosurevars(body)
        for value in (*inner.nonlocals.values(), *inner.globals.values()):
            if isinstance(value, torch.nn.Module):
                yield value


def _places(read: Sequence[Tensor], modules: Sequence[torch.nn.Module]) -> list[Any]:
    """Of each tensor the module and the name by which it is read anew; the tensor, if it is no
    module's."""
    every = {m: None for root in modules for m in root.modules()}
    known = {
        id(tensor): (weakref.ref(module), name)
        for module in every
        for held in (module.named_parameters, module.named_buffers)
        for name, tensor in held(recurse=False)
    }
    return [known.get(id(tensor), tensor) for tensor in read]


def _read(module: weakref.ref[torch.nn.Module], name: str) -> Any:
    return getattr(module(), name)
