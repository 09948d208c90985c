"""What runs, and why: :func:`explain` answers for every recurrent layer of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .compiler.jit import CACHE
from .dispatch.parallel import hindrance
from .dispatch.select import arithmetic, current_isa, decide, isa_status, products
from .launch.kernel_cache import compiled
from .nn.accelerate import changed_class, refusal, takes
from .nn.base import RecurrentModule
from .nn.counterpart import Counterpart
from .nn.freeze import status
from .nn.layers import LayerStack
from .nn.steps import StepModule
from .nn.unsupported import inside, why_unsupported
from .runtime.threads import threads_status


@dataclass(frozen=True)
class LayerReport:
    """One recurrent layer: its place in the model, and the path its calls take.

    Attributes:
        name: as ``named_modules`` has it; empty for the module itself.
        layer: the layer as it is printed.
        path: of a layer of elman's, ``"kernel"``, ``"reference"`` or ``"torch"`` for torch.nn's
            operator; ``"none"`` where :func:`elman.set_path` forces a path that cannot run. Of
            other layers ``"torch.nn"`` or ``"other"``.
        reason: why it is not the kernel; empty if it is.
        dtype: of the arithmetic; empty for a layer of torch.nn.
        isa: the instruction set of the kernel; empty on other paths.
        kernels: by pass, of the code that is in memory, where it came from: ``"compiled"`` in
            this process, or from the ``"disk"``. It is made for the dtype, the instruction set
            and the sizes of the layer. A batch of one row has code of its own, and so have
            sessions with another ``weight_dtype``.
        frozen: whether weights stay packed between calls, see :func:`elman.freeze`, and what they
            take; empty if nobody has asked for it.
        time: whether the reference has all steps of a layer at once, or why it has one after
            another; empty on other paths.
    """

    name: str
    layer: str
    path: str
    reason: str = ""
    dtype: str = ""
    isa: str = ""
    kernels: dict[str, str] = field(default_factory=dict)
    frozen: str = ""
    time: str = ""

    def __str__(self) -> str:
        why = f", because {self.reason}" if self.reason else ""
        lines = [
            f"{self.name or '(the module itself)'}: {self.layer}",
            f"  path     {self.path}{why}",
        ]
        if self.dtype:
            lines.append(f"  dtype    {self.dtype}")
        if self.path == "kernel":
            made = "; ".join(f"{k}: {v}" for k, v in self.kernels.items())
            made = made or "nothing in memory before the first call"
            lines.append(f"  kernel   {self.isa}; {made}")
        if self.time:
            lines.append(f"  time     {self.time}")
        if self.frozen:
            lines.append(f"  frozen   {self.frozen}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Explanation:
    """The answer of :func:`explain`; printed, a paragraph for each layer.

    ``isa`` tells which instruction set kernels are made for, and why no wider one. ``threads``
    tells how many threads a call of kernels may use. ``cache`` tells where their code is stored on
    disk, or why it is not.
    """

    layers: tuple[LayerReport, ...]
    isa: str
    threads: str
    cache: str

    def __str__(self) -> str:
        if not self.layers:
            return "no recurrent layer in this module"
        ends = [f"isa        {self.isa}", f"threads    {self.threads}", f"cache      {self.cache}"]
        return "\n".join([*map(str, self.layers), *ends])


def explain(module: Any, *, return_states: bool = False) -> Explanation:
    """Which path the recurrent layers of a module run on, which kernel, and why not the kernel.

    It looks at the module as it is now, under the present :func:`elman.set_path` and autocast; the
    input of a call can bring further reasons (a tensor subclass, a transform). Layers of torch.nn
    are listed too, with what :func:`elman.accelerate` would do with them: so one sees which are
    torch.nn's again in a model that was built anew or loaded. Loops written by hand, TorchScript
    and quantized layers are listed with what to do instead, captured graphs with the recurrent
    operators that they call.

    Args:
        module: a module, an estimator that holds one (or another estimator) as ``module_``,
            ``model``, ``policy``, ..., or a program of ``torch.export``.
        return_states: whether it is about calls with ``return_states=True``. torch.nn's operators
            give out no states at every step but the output.

    Returns:
        What to print, or to read: ``layers`` has an entry for each layer, with its name, its path
        and the reason why that is not the kernel.

    Raises:
        TypeError: if it is neither.

    The guide is docs/guides/gpus.md.

    >>> import elman, torch
    >>> (layer,) = elman.explain(elman.RNN(2, 4, dtype=torch.float16)).layers
    >>> layer.path, layer.dtype
    ('kernel', 'float32 arithmetic for float16 weights')
    >>> (layer,) = elman.explain(torch.nn.RNN(2, 4)).layers
    >>> layer.path, layer.reason
    ('torch.nn', 'elman.accelerate, which takes it, was not called')
    """
    rows: list[LayerReport] = []
    whole: list[str] = []  # how the names of parts of layers begin that stand for all of them
    for name, layer in inside(module).named_modules():
        if isinstance(layer, RecurrentModule):
            rows.append(replace(_ours(name, layer, return_states), frozen=status(layer)))
        elif changed_class(layer) or takes(layer):
            rows.append(_library(name, layer) if changed_class(layer) else _untaken(name, layer))
            whole.append(f"{name}." if name else "")
        elif not name.startswith(tuple(whole)) and (reason := why_unsupported(layer)):
            rows.append(LayerReport(name, repr(layer), "other", reason))
    return Explanation(tuple(rows), isa_status(), threads_status(), CACHE.status())


def _untaken(name: str, layer: torch.nn.Module) -> LayerReport:
    """A layer that :func:`elman.accelerate` asks about and that is not elman's, and why."""
    try:
        why = refusal(layer)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = f"elman.accelerate raises {type(error).__name__}: {error}"
    else:  # a model that is built anew, copied from a class or loaded begins as torch.nn's
        not_called = "elman.accelerate, which takes it, was not called"
        reason = f"elman.accelerate leaves it: {why}" if why else not_called
    path = "torch.nn" if isinstance(layer, (RNNBase, RNNCellBase)) else "other"
    return LayerReport(name, repr(layer), path, reason)


def _library(name: str, layer: torch.nn.Module) -> LayerReport:
    """A layer of another library whose recurrence elman runs, or the library itself."""
    weights = [p.detach() for p in layer.parameters()]
    path, reason = decide(weights)
    if path == "kernel" and arithmetic(weights) is not None:
        path, reason = "reference", f"there are no kernels for a library's {weights[0].dtype}"
    isa = current_isa() if path == "kernel" else None
    if path == "reference":
        path, reason = "other", f"{reason}: the library's own code runs"
    return LayerReport(name, repr(layer), path, reason, _dtypes(weights), isa.name if isa else "")


def _ours(name: str, layer: Any, return_states: bool) -> LayerReport:
    weights = [p.detach() for p in layer.parameters()]
    dtype, narrow, own = _dtypes(weights), "", [w.dtype for w in weights[:1]]
    if weights:
        if not isinstance(layer, StepModule):  # one step is float32
            narrow = products(weights[0].dtype)
        wider = arithmetic(weights)
        if wider is not None:
            weights = [w.to(wider) for w in weights]
            dtype = f"{_dtypes(weights)} arithmetic for {dtype} weights"
    counterpart = layer._own_counterpart() if isinstance(layer, Counterpart) else None
    step = layer._step()
    if return_states and isinstance(layer, LayerStack):
        step = step.full
        counterpart = counterpart if layer.num_layers == len(step.outputs) == 1 else None
    path, reason = decide(weights, counterpart)
    isa = current_isa()
    if path != "kernel" or isa is None or not weights:
        time = ""
        if path == "reference" and not isinstance(layer, StepModule):
            why = hindrance(step)
            time = f"one step after another, because {why}" if why else "all steps at once"
        return LayerReport(name, repr(layer), path, reason, dtype, time=time)
    if isa.bf16_pairs and narrow:
        dtype = "float32 sums of bfloat16 products"
    size = layer.hidden_size
    kernels: dict[str, str] = {}
    every = size if isinstance(size, tuple) else (size,)
    if step.reads_input:
        every = tuple(step.row_units(sizes) for sizes in layer._layer_sizes())
    for units in every:
        for of in dict.fromkeys((*own, weights[0].dtype)):
            kernels |= compiled(step, of, isa, units)
    return LayerReport(name, repr(layer), path, reason, dtype, isa.name, kernels)


def _dtypes(weights: Iterable[torch.Tensor]) -> str:
    return " and ".join(dict.fromkeys(str(w.dtype).removeprefix("torch.") for w in weights))
