"""What runs, and why: :func:`explain` answers for every recurrent layer of a model."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .compiler.jit import CACHE
from .compiler.kernel import compiled
from .nn.accelerate import refusal
from .nn.layer import Layer
from .nn.ofcell import OfCell
from .nn.recurrent import RecurrentCell
from .nn.single import Single
from .paths import arithmetic, current_isa, decide, isa_status, products
from .runtime.threads import threads_status


@dataclass(frozen=True)
class LayerReport:
    """One recurrent layer: its place in the model, and the path its calls take.

    Attributes:
        name: as ``named_modules`` has it; empty for the module itself.
        layer: the layer as it is printed.
        path: ``"kernel"``, ``"torch"`` for torch.nn's operator in a layer of elman's,
            ``"reference"``, ``"torch.nn"`` for a layer that is not elman's, or ``"none"`` where
            :func:`elman.set_path` forces a path that cannot run.
        reason: why it is not the kernel; empty if it is.
        dtype: of the arithmetic; empty for a layer of torch.nn.
        isa: the instruction set of the kernel; empty on other paths.
        kernels: by pass, of the code that is in memory, where it came from: ``"compiled"`` in
            this process, or from the ``"disk"``. It is made for the dtype, the instruction set
            and the sizes of the layer, and kept apart for a batch of one row, and for sessions
            with another ``weight_dtype``.
    """

    name: str
    layer: str
    path: str
    reason: str = ""
    dtype: str = ""
    isa: str = ""
    kernels: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.name or '(the module itself)'}: {self.layer}"]
        lines.append(
            f"  path     {self.path}" + (f", because {self.reason}" if self.reason else "")
        )
        if self.dtype:
            lines.append(f"  dtype    {self.dtype}")
        if self.path == "kernel":
            made = "; ".join(f"{k}: {v}" for k, v in self.kernels.items())
            lines.append(
                f"  kernel   {self.isa}; {made or 'nothing in memory before the first call'}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Explanation:
    """The answer of :func:`explain`; printed, a paragraph for each layer.

    ``isa`` tells which instruction set kernels are made for and why no wider one, ``threads`` how
    many threads a call of kernels may use, ``cache`` where their code is kept on disk, or why it
    is not.
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


def explain(module: torch.nn.Module) -> Explanation:
    """Which path the recurrent layers of a module run on, which kernel, and why not the kernel.

    It looks at the module as it is now, under the present :func:`elman.set_path` and autocast; the
    input of a call can bring further reasons (a tensor subclass, a transform). Layers of torch.nn
    are listed too, with what :func:`elman.accelerate` would do with them.

    >>> import elman, torch
    >>> (layer,) = elman.explain(elman.RNN(2, 4, dtype=torch.float16)).layers
    >>> layer.path, layer.dtype
    ('kernel', 'float32 arithmetic for float16 weights')
    >>> (layer,) = elman.explain(torch.nn.RNN(2, 4)).layers
    >>> layer.path, layer.reason
    ('torch.nn', 'elman.accelerate, which takes it, was not called')
    """
    rows = []
    for name, layer in module.named_modules():
        if isinstance(layer, (Layer, Single, OfCell)):
            rows.append(_ours(name, layer))
        elif isinstance(layer, (RNNBase, RNNCellBase)):
            why = refusal(layer)
            reason = (
                f"elman.accelerate leaves it: {why}"
                if why
                else "elman.accelerate, which takes it, was not called"
            )
            rows.append(LayerReport(name, repr(layer), "torch.nn", reason))
    return Explanation(tuple(rows), isa_status(), threads_status(), CACHE.status())


def _ours(name: str, layer: Layer | Single | OfCell) -> LayerReport:
    weights = [p.detach() for p in layer.parameters()]
    dtype, narrow = "", ""
    if weights:
        if not isinstance(layer, (Single, RecurrentCell)):  # one step is float32
            narrow = products(weights[0].dtype)
        dtype = " and ".join(dict.fromkeys(_short(w.dtype) for w in weights))
        wider = arithmetic(weights)
        if wider is not None:
            weights = [w.to(wider) for w in weights]
            dtype = f"{_short(wider)} arithmetic for {dtype} weights"
    counterpart = layer._own_counterpart() if isinstance(layer, (Layer, Single)) else None
    path, reason = decide(weights, counterpart)
    isa = current_isa()
    if path == "kernel" and isa is not None and isa.couples and narrow:
        dtype = "float32 sums of bfloat16 products"
    if path != "kernel" or isa is None or not weights:
        return LayerReport(name, repr(layer), path, reason, dtype)
    size = layer.hidden_size
    kernels: dict[str, str] = {}
    for units in size if isinstance(size, tuple) else (size,):
        kernels |= compiled(layer._step(), weights[0].dtype, isa, units)
    return LayerReport(name, repr(layer), path, reason, dtype, isa.name, kernels)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
