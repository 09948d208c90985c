"""What runs, and why: :func:`explain` answers for every recurrent layer of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .compiler.jit import CACHE
from .compiler.kernel import compiled
from .nn.layer import Layer
from .nn.single import Single
from .paths import arithmetic, current_isa, obstacle
from .runtime.threads import threads_status


@dataclass(frozen=True)
class LayerReport:
    """One recurrent layer: its place in the model, and the path its calls take.

    ``reason`` says why it is not the kernel, and is empty if it is. ``dtype`` is that of the
    arithmetic. ``kernels`` tells, of the passes that have been called, whether their code was
    compiled or came from the disk.
    """

    name: str
    layer: str
    path: str
    reason: str
    dtype: str
    isa: str
    kernels: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """The answer of :func:`explain`; printed, a paragraph for each layer."""

    layers: tuple[LayerReport, ...]
    threads: str
    cache: str

    def __str__(self) -> str:
        if not self.layers:
            return "no recurrent layer of elman in this module"
        lines = []
        for row in self.layers:
            lines.append(f"{row.name or '(the module itself)'}: {row.layer}")
            lines.append(
                f"  path     {row.path}" + (f", because {row.reason}" if row.reason else "")
            )
            lines.append(f"  dtype    {row.dtype}")
            if row.path == "kernel":
                made = ", ".join(f"{k} {v}" for k, v in row.kernels.items())
                lines.append(f"  kernel   {row.isa}; {made or 'not compiled yet'}")
        lines.append(f"threads    {self.threads}")
        lines.append(f"cache      {self.cache}")
        return "\n".join(lines)


def explain(module: torch.nn.Module) -> Explanation:
    """Which path the recurrent layers of a module run on, which kernel, and why not the kernel.

    It looks at the module as it is now, under the present :func:`elman.set_path`; the input of a
    call can bring further reasons (another device, a transform).

    >>> import elman, torch
    >>> (layer,) = elman.explain(elman.RNN(2, 4, dtype=torch.bfloat16)).layers
    >>> layer.path, layer.dtype
    ('kernel', 'float32 arithmetic for bfloat16 weights')
    """
    rows = []
    for name, layer in module.named_modules():
        if not isinstance(layer, (Layer, Single)):
            continue
        weights = [p.detach() for p in layer.parameters()]
        dtype = _short(weights[0].dtype) if weights else ""
        wider = arithmetic(weights)
        if wider is not None:
            weights = [w.to(wider) for w in weights]
            dtype = f"{_short(wider)} arithmetic for {dtype} weights"
        reason = obstacle(weights)
        path, isa = "reference" if reason else "kernel", current_isa()
        kernels = compiled(layer._step(), weights[0].dtype if weights else None)
        isa_name = isa.name if isa else ""
        rows.append(LayerReport(name, repr(layer), path, reason, dtype, isa_name, kernels))
    return Explanation(tuple(rows), threads_status(), CACHE.status())


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
