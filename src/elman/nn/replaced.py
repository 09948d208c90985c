"""A module in another's place, and the way of its weights back to the original."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor

from .conversions import Convert, answer, conversion

_ORIGINAL = "_elman_original"  # of a module that took another's place: the other
#: The modules in others' places by what those were, so that one in two places stays one.
_TAKEN: weakref.WeakValueDictionary[Any, torch.nn.Module] = weakref.WeakValueDictionary()
_FIRST = 0x3FA31415  # the bits of 1.274...: a number that no module begins with
_HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    *("_backward_hooks", "_backward_pre_hooks"),
)
_FULL = "_is_full_backward_hook"


def replacement(original: torch.nn.Module, convert: Convert) -> torch.nn.Module | None:
    """The module that already has the place of this one as it is now."""
    return _TAKEN.get(_state(original, convert))


def fit(original: torch.nn.Module, ours: torch.nn.Module, convert: Convert) -> None:
    """Has a new module train what the other trains, whose place it is to take.

    Raises:
        ValueError: if it has weights of another dtype or on another device, if weights of the
            original would not find their way back, or if it joins frozen ones with others.
    """
    wanted, found = _kinds(original), _kinds(ours)
    if wanted and found - wanted:
        raise ValueError(
            f"the conversion that is registered for {type(original).__name__} has to make weights "
            f"of the same dtype on the same device: expected {_words(wanted)}, got "
            f"{_words(found)}: give elman's layer dtype= and device="
        )
    if _shares(original, ours):
        if not any(p.requires_grad for p in original.parameters()):
            ours.requires_grad_(False)
        return
    flags = [p.requires_grad for p in original.parameters()]
    sources = _places(original, convert)[1]
    for (name, p), numbers in zip(ours.named_parameters(), sources, strict=True):
        of = {flags[i] for i in numbers}
        if len(of) > 1:
            raise ValueError(
                f"the conversion that is registered for {type(original).__name__} joins weights "
                f"that require a gradient with others that do not, in {name}: expected all of them "
                "or none"
            )
        p.requires_grad_(of.pop() if of else p.requires_grad and any(flags))


def replace(original: torch.nn.Module, ours: torch.nn.Module, convert: Convert | None) -> None:
    """Puts a module that fits in the other's place: it remembers the other, and has its hooks."""
    if ours.__dict__.get(_ORIGINAL) is original:
        return
    ours.__dict__[_ORIGINAL] = original  # as no submodule of it
    _TAKEN[_state(original, convert)] = ours
    if all(part is not original for part in ours.modules()):  # else it may call the original
        for name in _HOOKS:
            # The same dict, so that handles and what restore puts back are of the same hooks.
            theirs = getattr(original, name)
            theirs.update(getattr(ours, name))
            setattr(ours, name, theirs)
        if getattr(ours, _FULL) is None:
            setattr(ours, _FULL, getattr(original, _FULL))
    ours.train(original.training)


def stands_in(module: torch.nn.Module) -> bool:
    """Whether a module has another's place, which it may hold itself."""
    return _ORIGINAL in module.__dict__


def original_of(ours: torch.nn.Module) -> torch.nn.Module | None:
    """The module whose place this one took, with the weights that this one has now; None if it
    took nobody's."""
    original: torch.nn.Module | None = ours.__dict__.get(_ORIGINAL)
    if original is None:
        return None
    for key in [key for key, taken in _TAKEN.items() if taken is ours]:
        del _TAKEN[key]
    if ours._forward_hooks is original._forward_hooks:
        setattr(original, _FULL, getattr(ours, _FULL))
    if not _shares(original, ours):
        convert = conversion(type(original))
        if convert is None:
            raise RuntimeError(
                f"restore: expected a conversion to be registered for {type(original).__name__}, "
                "which tells where its weights are: call elman.register as before"
            )
        mine = torch.cat([p.detach().flatten() for p in ours.parameters()])
        if not _kinds(ours) <= _kinds(original):  # it has been moved since
            original.to(mine.device, mine.dtype)
        places = _places(original, convert)[0]
        ends = torch.tensor(_sizes(ours)).cumsum(0)
        trained = torch.tensor([p.requires_grad for p in ours.parameters()])
        with torch.no_grad():
            for p, at in zip(original.parameters(), places.split(_sizes(original)), strict=True):
                p.copy_(mine[at.to(mine.device)].view_as(p))
                p.requires_grad_(bool(trained[torch.bucketize(at, ends, right=True)].any()))
    return original.train(ours.training)


def _shares(original: torch.nn.Module, ours: torch.nn.Module) -> bool:
    """Whether a module has all parameters of the original themselves."""
    mine = {id(p) for p in ours.parameters()}
    return all(id(p) in mine for p in original.parameters())


def _kinds(module: torch.nn.Module) -> set[tuple[torch.dtype, torch.device]]:
    return {(p.dtype, p.device) for p in module.parameters()}


def _words(kinds: set[tuple[torch.dtype, torch.device]]) -> str:
    return " and ".join(f"{dtype} on {device}" for dtype, device in sorted(kinds, key=str))


def _state(original: torch.nn.Module, convert: Convert | None) -> tuple[Any, ...]:
    """What a replacement depends on. It holds the original, so no other has this id meanwhile."""
    weights = (
        (id(p), p.dtype, None if p.is_inference() else p._version) for p in original.parameters()
    )
    return id(original), id(convert), *weights


def _places(original: torch.nn.Module, convert: Convert) -> tuple[Tensor, list[list[int]]]:
    """Where each weight of the original stands among those of what it is converted to; and of
    which parameters, by their numbers, each parameter there is.

    A copy is converted whose weights are all different numbers: float32s whose bits follow one
    another.
    """
    probe = copy.deepcopy(original).float()
    sizes = _sizes(probe)
    numbers = torch.arange(sum(sizes), dtype=torch.int32).add_(_FIRST).view(torch.float32)
    with torch.no_grad():
        for p, part in zip(probe.parameters(), numbers.split(sizes), strict=True):
            p.copy_(part.view_as(p))
    converted = answer(probe, convert)
    held = [*converted.parameters()] if isinstance(converted, torch.nn.Module) else []
    values = torch.cat([torch.zeros(1), *(p.detach().cpu().float().flatten() for p in held)])
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
    ends = torch.tensor(sizes).cumsum(0)
    sources = []
    for p in held:
        number = p.detach().cpu().float().flatten().view(torch.int32).long() - _FIRST
        number = number[(number >= 0) & (number < len(numbers))]
        sources.append(torch.searchsorted(ends, number, right=True).unique().tolist())
    return at - 1, sources


def _sizes(module: torch.nn.Module) -> list[int]:
    return [p.numel() for p in module.parameters()]
