"""Opacus looks layers up by their class: elman's are entered beside torch.nn's.

Its validator then says of them what it says of torch.nn's layers, and ``ModuleValidator.fix`` makes
them Opacus' own, whose gradients it has sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule
from opacus.validators import ModuleValidator
from opacus.validators.errors import UnsupportedModuleError

from ..nn.accelerate import OURS


def _fixed(fix: Callable[[Any], torch.nn.Module]) -> Callable[[Any], torch.nn.Module]:
    def fixed(module: Any) -> torch.nn.Module:
        if not getattr(module, "reset_after", True):
            raise UnsupportedModuleError(
                "Opacus has no GRU whose reset acts before the product (reset_after=False)"
            )
        return fix(module)

    return fixed


def _sampled(module: torch.nn.Module, *_: Any) -> Any:
    kind = type(module).__name__
    raise NotImplementedError(
        f"Opacus has no per-sample gradients of torch.nn's {kind} or elman's: make the model with "
        "opacus.validators.ModuleValidator.fix(model), which turns it into Opacus' own, before "
        "the optimizer is made"
    )


for _theirs, _ours in OURS.items():
    if _theirs in ModuleValidator.FIXERS:
        ModuleValidator.VALIDATORS[_ours] = ModuleValidator.VALIDATORS[_theirs]
        ModuleValidator.FIXERS[_ours] = _fixed(ModuleValidator.FIXERS[_theirs])
        GradSampleModule.GRAD_SAMPLERS[_ours] = _sampled
