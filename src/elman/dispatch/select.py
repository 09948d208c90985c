"""Which path a recurrence runs on: the kernel where it can; else torch.nn's own operator, where a
layer has one; else the reference. Or as told."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..compiler import isa as isa_table
from ..compiler import jit
from ..compiler.isa import ISA
from ..errors import PathError
from ..launch.kernel_cache import DTYPES, has_kernels

# Names of their own: in every call, each lookup counts.
peek_functorch = torch._C._functorch.peek_interpreter_stack
any_autocast = torch._C._is_any_autocast_enabled
tracing_state = torch._C._get_tracing_state
_count_modes = torch._C._len_torch_dispatch_stack
_is_batched = torch._C._functorch.is_legacy_batchedtensor  # by grad(is_grads_batched=True)
PLAIN = (Tensor, torch.nn.Parameter)
PATHS = ("auto", "kernel", "torch", "reference")
_WITHOUT_KERNELS = frozenset({"torch", "reference"})
#: What recurrences in these dtypes are computed in, on every path: too narrow for a loop over time.
_WIDER = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
NO_OPERATOR = (
    "torch.nn has no operator for this layer's formula, or none that gives out its states: use "
    "another path"
)
_path: contextvars.ContextVar[str] = contextvars.ContextVar("elman_path", default="auto")
_forced_isa: contextvars.ContextVar[ISA | None] = contextvars.ContextVar("elman_isa", default=None)


@contextlib.contextmanager
def set_path(path: str) -> Iterator[None]:
    """Within the context, recurrences run on this path.

    On a CPU a compiled program (``torch.compile``) knows the kernel only, and raises
    :class:`elman.PathError` where that may not run.

    Args:
        path: one of

            - ``"auto"``: the kernel where it can run; else torch.nn's own operator, for layers
              that torch.nn has; else the reference.
            - ``"kernel"``: raises :class:`elman.PathError` where the kernel cannot run.
            - ``"torch"``: torch.nn's own operator, with its results bit for bit. Raises
              :class:`elman.PathError` for layers that torch.nn does not have.
            - ``"reference"``: the formula, step by step, in PyTorch operations.

    Raises:
        ValueError: another ``path``.

    The guide is docs/guides/gpus.md.

    >>> import elman, torch
    >>> with elman.set_path("reference"):
    ...     output, h_n = elman.RNN(2, 4)(torch.rand(3, 1, 2))
    """
    if path not in PATHS:
        raise ValueError(f"path must be one of {PATHS}, got {path!r}")
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)


@contextlib.contextmanager
def set_isa(name: str) -> Iterator[None]:
    """Within the context, kernels are made for this instruction set: for tests and comparison."""
    row = isa_table.by_name(name)
    if row not in isa_table.available():
        names = [r.name for r in isa_table.available()]
        raise PathError(f"this processor cannot run ISA {name!r}, only {names}")
    token = _forced_isa.set(row)
    try:
        yield
    finally:
        _forced_isa.reset(token)


def current_isa() -> ISA | None:
    """The instruction set that kernels are made for; None if there is none for this machine."""
    return _forced_isa.get() or _own_isa()


@functools.cache
def _own_isa() -> ISA | None:
    rows = isa_table.available()
    return rows[0] if rows and not jit.obstacle() else None


def isa_status() -> str:
    """In words: which instruction set kernels are made for, and why no wider one, or why none."""
    row = current_isa()
    if row is None:
        return f"none: {_no_isa()}"
    if _forced_isa.get():
        return f"{row.name}, forced by set_isa"
    rows = isa_table.of_this_kind()
    wider = {w.name: ", ".join(isa_table.lacking(w)) for w in rows[: rows.index(row)]}
    here = "for which the processor or the operating system lacks"
    return "; ".join([row.name, *(f"not {name}, {here} {what}" for name, what in wider.items())])


def _no_isa() -> str:
    """Why there is no instruction set to make kernels for, in words."""
    machine, _ = isa_table.host()
    kinds = sorted({row.machine for row in isa_table.TABLE})
    if machine not in kinds:
        return f"there are no kernels for {machine} processors, only for {' and '.join(kinds)}"
    return jit.obstacle()


def onlooker() -> str:
    """Who else follows the operations of this thread, in words: a kernel has none to follow."""
    if peek_functorch() is not None:
        return "a functorch transform needs PyTorch operations"
    if forward_ad._current_level >= 0:
        return "forward-mode derivatives need PyTorch operations"
    if tracing_state() is not None:
        return "torch.jit.trace records PyTorch operations"
    if _count_modes() > 0:
        return "a dispatch mode follows PyTorch operations"
    return ""


def unfit(tensors: Sequence[Tensor | None]) -> str:
    """Why a kernel cannot read one of the tensors, in words; empty if it can read all."""
    dtype = None
    for t in tensors:
        if t is None:
            continue
        if dtype is None:
            dtype = t.dtype
        if type(t) in PLAIN and t.is_cpu and t.dtype is dtype and not t.is_neg():
            continue  # of another layout than strided, it raises when its strides are asked for
        if not t.is_cpu:
            return f"a tensor is on {t.device}, kernels run on the CPU"
        if t.dtype != dtype:
            return f"tensors are of both {dtype} and {t.dtype}"
        if type(t) not in PLAIN:
            return f"a tensor is a {type(t).__name__}, a subclass with operations of its own"
        return "a tensor is the negative of another's memory, without resolve_neg()"
    if dtype is None or dtype in DTYPES or has_kernels(dtype, current_isa()):
        return ""
    return f"there are no kernels for {dtype}"


def arithmetic(tensors: Sequence[Tensor | None]) -> torch.dtype | None:
    """The wider dtype that a layer's tensors are converted to, its results being rounded once to
    theirs; None if they are computed in as they are (or are of several dtypes, which is refused).
    """
    dtype = tensors[0].dtype if tensors and tensors[0] is not None else None
    if dtype not in _WIDER or any(t is not None and t.dtype != dtype for t in tensors):
        return None
    return _WIDER[dtype]


def takes_halves(tensors: Sequence[Tensor | None]) -> bool:
    """Whether kernels read and write a layer's tensors of a narrow dtype as they are: where no
    gradient is wanted."""
    if ready_isa() is None or unfit(tensors):
        return False
    wanted = any(t is not None and t.requires_grad for t in tensors)
    return not (wanted and torch.is_grad_enabled())


def products(dtype: torch.dtype) -> str:
    """What is bfloat16 in products of a layer of this dtype, here and now, see ``bind``:
    their factors, if it is of bfloat16, or of float32 and PyTorch is told to do with less."""
    if dtype is torch.float32:
        autocast = torch.is_autocast_enabled("cpu")
        narrow = autocast and torch.get_autocast_dtype("cpu") is torch.bfloat16
    else:
        narrow = dtype is torch.bfloat16
    return "products" if narrow else ""


def readable(gradients: Sequence[Tensor | None]) -> bool:
    """Whether a kernel can read gradients: plain tensors with memory, and no transform at work."""
    if onlooker() or unfit(gradients):
        return False
    for g in gradients:  # noqa: SIM110 - a generator takes twice as long
        if g is not None and (g._is_zerotensor() or _is_batched(g)):
            return False
    return True


def ready_isa() -> ISA | None:
    """The instruction set that kernels run with here and now, if they can read the tensors."""
    if _path.get() in _WITHOUT_KERNELS or onlooker():
        return None
    return _forced_isa.get() or _own_isa()


def is_reference() -> bool:
    """Whether the path was set to the reference."""
    return _path.get() == "reference"


def kernel_isa(tensors: Sequence[Tensor | None]) -> ISA | None:
    """The instruction set of the kernel for these tensors; None if the reference runs.

    Raises PathError if the kernel was asked for by force and cannot run.
    """
    isa = ready_isa()
    if isa is not None and not unfit(tensors):
        return isa
    if _path.get() == "kernel":
        raise PathError(f"set_path('kernel'), but {obstacle(tensors)}")
    return None


class Decision(NamedTuple):
    """Where a call runs."""

    path: str  # "kernel", "torch" or "reference"; "none" if a forced path cannot run
    reason: str  # why it is not the kernel, in words


def decide(
    tensors: Sequence[Tensor | None], counterpart: type[torch.nn.Module] | None = None
) -> Decision:
    """The path of a call on these tensors, the first of which is the input; calls and
    :func:`elman.explain` both ask here.

    ``counterpart`` is the class of torch.nn that the layer takes the place of, if there is one.
    """
    if torch.compiler.is_compiling():  # Dynamo could not follow the rest
        x = tensors[0]
        elsewhere = counterpart and x is not None and not x.is_cpu
        elsewhere = elsewhere and not torch.onnx.is_in_onnx_export()
        return Decision("torch" if elsewhere else "kernel", "")
    why, path = obstacle(tensors), _path.get()
    if not why:
        return Decision("kernel", "")
    if path == "kernel":
        return Decision("none", f"set_path('kernel'), but {why}")
    if path == "torch" and counterpart is None:
        return Decision("none", f"set_path('torch'), but {NO_OPERATOR}")
    if path == "torch" or (path == "auto" and counterpart and _torch_serves(tensors)):
        return Decision("torch", why)
    return Decision("reference", why)


def _torch_serves(tensors: Sequence[Tensor | None]) -> bool:
    """Whether torch.nn's operators take a call that kernels do not. None works under a functorch
    transform, and not all have forward-mode derivatives."""
    given = [t for t in tensors if t is not None]
    if peek_functorch() is not None or forward_ad._current_level >= 0:
        return False
    if onlooker() or current_isa() is None or not any(t.is_cpu for t in given):
        return True
    if len({(t.dtype, t.device) for t in given}) > 1:
        return False  # elman's checks say what is wrong, or convert
    dtype = given[0].dtype
    return (dtype not in DTYPES and dtype not in _WIDER) or any(
        type(t) not in PLAIN or t.is_neg() for t in given
    )


def obstacle(tensors: Sequence[Tensor | None], watched: bool = True) -> str:
    """Why the kernel does not run on these tensors, in words; empty if it does. Where a call may be
    ``watched``, an :func:`onlooker` is a reason."""
    if _path.get() in _WITHOUT_KERNELS:
        return f"set_path({_path.get()!r})"
    if current_isa() is None:
        return _no_isa()
    return (watched and onlooker()) or unfit(tensors)
