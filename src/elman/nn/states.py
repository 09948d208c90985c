"""The initial states of a call, as it holds them and as they are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch.select import any_autocast
from .messages import described, no_tensor, raised_by, refusal

#: A state as it was given, and its name.
Named = tuple[str, Any]


def states_of(hx: Any, count: int) -> Sequence[Tensor | None]:
    """The initial states that a checked ``hx`` holds: none, one, or a tuple of them."""
    return [None] * count if hx is None else [hx] if isinstance(hx, Tensor) else hx


def hx_of(states: Sequence[Any]) -> Any:
    """States in the form of ``hx``: one itself, or a tuple of several."""
    return tuple(states) if len(states) > 1 else states[0]


def join(parts: Sequence[Tensor], how: Callable[[Any], Tensor] = torch.cat) -> Tensor:
    """The parts that layers have of a state, as one tensor."""
    if not any_autocast():
        return how([*parts])
    with torch.autocast(parts[0].device.type, enabled=False):  # it would refuse the other dtype
        return how([*parts])


def named(
    owner: str, hx: Any, count: int, asked: Callable[[], object], several: str, label: str = "hx"
) -> Sequence[Named]:
    """The initial states as ``hx`` holds them: itself, or a tuple of several; [] if it is None.
    Errors call it by its ``label``.

    ``asked`` is what torch.nn asks ``hx`` for first, ``several`` what it says of a wrong number.
    """
    if hx is None:
        return []
    if count == 1:
        return [(label, hx)]
    fits = isinstance(hx, (tuple, list))
    if not fits or len(hx) != count:
        got = f"one of {len(hx)}" if fits else type(hx).__name__
        kind, sentence = raised_by(asked) or ((RuntimeError, several) if fits else (TypeError, ""))
        raise refusal(kind, sentence, owner, f"{label} to be a tuple of {count} tensors", got)
    return [(f"{label}[{i}]", state) for i, state in enumerate(hx)]


def of_layers(
    owner: str,
    hx: Any,
    count: int,
    batched: bool | None,
    alike: bool = True,
    label: str = "hx",
) -> Sequence[Named]:
    """The initial states of layers as they were given. ``batched`` says whether the input is, None
    if it is packed; unless layers are ``alike``, each state is a list."""
    if hx is None:
        return []

    def asked() -> None:
        if batched is None:
            len(hx)
        elif sentence := _of_dims([hx[i].dim() for i in range(count)], batched):
            raise RuntimeError(sentence)

    several = "lstm expects two hidden states" if owner == "LSTM" else ""
    given = named(owner, hx, count, asked, several, label)
    if batched is not None and alike:
        check_dims(owner, given, batched)
    return given


def check_dims(owner: str, given: Sequence[Named], batched: bool) -> None:
    """Raises unless the states of layers have as many dimensions as the input."""
    for name, value in given:
        if not isinstance(value, Tensor):
            raise no_tensor(owner, name, value)
    sentence = _of_dims([value.dim() for _, value in given], batched)
    if sentence:
        dims = 3 if batched else 2
        name, value = next(pair for pair in given if pair[1].dim() != dims)
        expected = f"{name} to be {dims}-D as input is"
        remedy = "its batch dimension is the second, with batch_first as without"
        raise refusal(RuntimeError, sentence, owner, expected, described(value), remedy)


def _of_dims(found: Sequence[int], batched: bool) -> str:
    """What torch.nn says of states of so many dimensions; nothing if they are right."""
    dims, kind = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
    if all(n == dims for n in found):
        return ""
    begin = f"For {kind} input, {'hx' if len(found) == 1 else 'hx and cx'} should also be {dims}-D"
    if len(found) == 1:
        return f"{begin} but got {found[0]}-D tensor"
    return f"{begin} but got ({', '.join(f'{n}-D' for n in found)}) tensors"


def check_shape(
    owner: str, name: str, value: Any, shape: Sequence[int], batched: bool, layers: str
) -> None:
    """Raises unless a state has this shape, of ``(layers, batch, size)``."""
    if not isinstance(value, Tensor):
        raise no_tensor(owner, name, value, lambda value: value.size())
    whole, expected, meaning = [*value.shape], tuple(shape), f"({layers}, batch, size)"
    if not batched:
        whole[1:1], expected, meaning = [1], (shape[0], shape[2]), f"({layers}, size)"
    if whole != [*shape]:
        sentence = f"Expected {name.replace('hx', 'hidden')} size {tuple(shape)}, got {whole}"
        wanted, got = f"{name} of shape {expected}, {meaning}", str(tuple(value.shape))
        raise refusal(RuntimeError, sentence, owner, wanted, got)


def of_each_layer(owner: str, given: Sequence[Named], layers: int, batched: bool) -> list[Named]:
    """States that are lists of one tensor for each layer, one after another."""
    every: list[Named] = []
    for name, value in given:
        if not isinstance(value, (tuple, list)):
            expected = f"{name} to be a list of one tensor for each layer, as their sizes differ"
            raise refusal(TypeError, "", owner, expected, type(value).__name__)
        if len(value) != layers:
            expected = f"{name} to have one tensor for each of the {layers} layers"
            raise refusal(RuntimeError, "", owner, expected, str(len(value)))
        every += [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    for part in every:
        check_dims(owner, [part], batched)
    return every
