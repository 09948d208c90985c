"""What the tests of weights in fewer bytes share: modules with rounded matrices, and sessions."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.streaming.modules import MODULES, I, T, dtype_of

SINGLE = {name: make for name, make in MODULES.items() if dtype_of(make()) == torch.float32}
each_module = pytest.mark.parametrize("make", SINGLE.values(), ids=SINGLE.keys())


def to_int8(weight: Tensor) -> Tensor:
    """The numbers that int8s leave of a matrix, in float64: whole numbers times a scale of each
    row, the largest / 127 without what a float has beyond 17 bits."""
    mantissa, exponent = torch.frexp((weight.abs().amax(1, keepdim=True) / 127).double())
    scale = torch.ldexp(torch.floor(mantissa * 2**17) / 2**17, exponent)
    scale = torch.where(scale < 2.0**-126, 1.0, scale)
    return (weight.double() / scale).round() * scale


def rounded_to(dtype: torch.dtype, module: Any) -> Any:
    """A copy whose weight matrices have passed through the dtype."""
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if name.startswith("weight") and weight.dim() == 2:
                weight.copy_(to_int8(weight) if dtype is torch.int8 else weight.to(dtype).float())
    return twin


def played(stream: Any, x: Tensor) -> list[Any]:
    """What a session gives back when all of its methods take part."""
    found = [stream.step(x[0]).clone(), stream.chunk(x[1:4]), stream.step(x[4]).clone()]
    kept = stream.snapshot()
    found += [kept, stream.chunk(x[5:])]
    stream.restore(kept)
    found += [stream.step(x[5]).clone()]
    stream.reset([1] if stream.batch_size else None)
    found += [stream.chunk(x[2:5]), stream.step(x[6]).clone(), stream.snapshot()]
    return found


def example(rows: int | None, features: int = I) -> Tensor:
    return torch.randn((T, features) if rows is None else (T, rows, features))
