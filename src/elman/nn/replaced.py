"""A module in another's place, and the way of its weights back to the original."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from .conversions import Convert, answer, conversion

_ORIGINAL = "_elman_original"  # of a module that took another's place: the other


def replace(original: torch.nn.Module, ours: torch.nn.Module, convert: Convert) -> None:
    """Has a module remember the one whose place it takes.

    Raises:
        ValueError: if weights of the original would not find their way back.
    """
    if not _shares(original, ours):
        _places(original, convert)
    ours.__dict__[_ORIGINAL] = original  # as no submodule of it
    ours.train(original.training)


def original_of(ours: torch.nn.Module) -> torch.nn.Module | None:
    """The module whose place this one took, with the weights that this one has now; None if it
    took nobody's."""
    original: torch.nn.Module | None = ours.__dict__.get(_ORIGINAL)
    if original is None:
        return None
    if not _shares(original, ours):
        convert = conversion(type(original))
        if convert is None:
            raise RuntimeError(
                f"restore: expected a conversion to be registered for {type(original).__name__}, "
                "which tells where its weights are: call elman.register as before"
            )
        mine = torch.cat([p.detach().flatten() for p in ours.parameters()])
        original.to(mine.device, mine.dtype)
        places = _places(original, convert).to(mine.device)
        with torch.no_grad():
            for p, at in zip(original.parameters(), places.split(_sizes(original)), strict=True):
                p.copy_(mine[at].view_as(p))
    return original.train(ours.training)


def _shares(original: torch.nn.Module, ours: torch.nn.Module) -> bool:
    """Whether a module has all parameters of the original themselves."""
    mine = {id(p) for p in ours.parameters()}
    return all(id(p) in mine for p in original.parameters())


def _places(original: torch.nn.Module, convert: Convert) -> Tensor:
    """Where each weight of the original stands among those of what it is converted to.

    A copy is converted whose weights are all different numbers: float32s whose bits follow one
    another from those of 1.0 on.
    """
    probe = copy.deepcopy(original).float()
    sizes = _sizes(probe)
    numbers = torch.arange(sum(sizes), dtype=torch.int32).add_(0x3F800000).view(torch.float32)
    with torch.no_grad():
        for p, part in zip(probe.parameters(), numbers.split(sizes), strict=True):
            p.copy_(part.view_as(p))
    converted = answer(probe, convert)
    held = [*converted.parameters()] if isinstance(converted, torch.nn.Module) else []
    values = torch.cat([torch.zeros(1), *(p.detach().float().flatten() for p in held)])
    order = values.argsort()
    at = order[torch.searchsorted(values[order], numbers).clamp_(max=len(values) - 1)]
    missing = (values[at] != numbers).split(sizes)
    names = [name for name, _ in probe.named_parameters()]
    if lost := [name for name, m in zip(names, missing, strict=True) if m.any()]:
        raise ValueError(
            f"the conversion that is registered for {type(original).__name__} has to keep every "
            "weight as it is, somewhere in the new module, so that elman.restore finds it; not "
            f"found: {', '.join(lost)}. Use the parameters themselves, or a formula with all of "
            "them"
        )
    return at - 1


def _sizes(module: torch.nn.Module) -> list[int]:
    return [p.numel() for p in module.parameters()]
