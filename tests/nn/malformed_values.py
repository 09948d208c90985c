"""Tensors, and what is passed for them, that calls of modules have to refuse or to take."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

I, H, T, B = 4, 5, 3, 2  # noqa: E741 - input, hidden, steps, rows
Call = Callable[[ModuleType], Any]


def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers that tell their places apart."""
    count = int(np.prod(shape, dtype=int))
    return torch.linspace(-1.0, 1.0, max(count, 1))[:count].reshape(shape).to(dtype)


class Quiet(Tensor):
    """A subclass that does nothing of its own."""


def no_storage(tensor: Tensor) -> Tensor:
    tensor.untyped_storage().resize_(0)
    return tensor


def inference(make: Callable[[], Tensor]) -> Tensor:
    with torch.inference_mode():
        return make()


def quantized(tensor: Tensor) -> Tensor:
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


def written(tensor: Tensor) -> Tensor:
    array = tensor.numpy().copy()
    array.flags.writeable = False
    return torch.from_numpy(array)


def others(*shape: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that may stand where a tensor of this shape belongs, good and bad."""
    yield "right", lambda: values(*shape)
    sizes: list[tuple[int, ...]] = [shape[i:] for i in range(1, len(shape) + 1)]
    sizes += [(1,) * n + shape for n in range(1, 6 - len(shape))]
    for i, n in enumerate(shape):
        sizes += [(*shape[:i], m, *shape[i + 1 :]) for m in (0, 1, n - 1, n + 1, 8 * n)]
    sizes += [(0,), (0,) * len(shape), tuple(reversed(shape)), (7,) * len(shape)]
    for size in dict.fromkeys(sizes):
        if size != shape:
            yield f"shape {size}", lambda size=size: values(*size)
    for name in (
        *("float64", "float16", "bfloat16", "float8_e4m3fn", "int64", "int32", "int8", "uint8"),
        *("bool", "complex64", "complex128"),
    ):
        yield name, lambda name=name: values(*shape).to(getattr(torch, name))
    right = lambda: values(*shape)  # noqa: E731
    wide = tuple(2 * n for n in shape)
    yield from {
        "no argument": lambda: None,
        "an int": lambda: 3,
        "a float": lambda: 1.5,
        "a string": lambda: "input",
        "a list": lambda: right().tolist(),
        "a list of tensors": lambda: list(right()),
        "a tuple of the tensor": lambda: (right(),),
        "a pair": lambda: (right(), right()),
        "three": lambda: (right(), right(), right()),
        "an empty tuple": lambda: (),
        "a dict": dict,
        "an array": lambda: right().numpy(),
        "a size": lambda: torch.Size(shape),
        "a class": lambda: Tensor,
        "a storage": lambda: right().untyped_storage(),
        "a generator": torch.Generator,
        "coo": lambda: right().to_sparse(),
        "csr": lambda: right().flatten(0, -2).to_sparse_csr() if len(shape) > 1 else None,
        "batched csr": lambda: right().to_sparse_csr(),
        "mkldnn": lambda: right().to_mkldnn(),
        "quantized": lambda: quantized(right()),
        "nested": lambda: torch.nested.nested_tensor(list(right())),
        "ragged nested": lambda: torch.nested.nested_tensor([right(), right()[:1]]),
        "jagged": lambda: torch.nested.nested_tensor([right(), right()[:1]], layout=torch.jagged),
        "meta": lambda: right().to("meta"),
        "meta of another shape": lambda: values(7).to("meta"),
        "subclass": lambda: right().as_subclass(Quiet),
        "parameter": lambda: Parameter(right()),
        "buffer": lambda: torch.nn.Buffer(right()),
        "uninitialised": torch.nn.UninitializedParameter,
        "expanded": lambda: values(*shape[-1:]).expand(shape),
        "one number": lambda: values(1)[0].expand(shape),
        "overlapping": lambda: values(99).as_strided(shape, (1,) * len(shape)),
        "huge strides": lambda: values(1).as_strided((1,) * len(shape), (2**61,) * len(shape)),
        "huge strides, one row": lambda: values(*shape[:-1], 1).expand(shape),
        "huge strides of size one": lambda: right().as_strided(
            shape, [2**61 if n == 1 else s for n, s in zip(shape, right().stride(), strict=True)]
        ),
        "beyond its storage": lambda: values(3).as_strided(shape, right().stride()),
        "negative strides": lambda: values(99).as_strided(shape, (-1,) * len(shape)),
        "every second": lambda: values(*wide)[(slice(None, None, 2),) * len(shape)],
        "transposed": lambda: values(*reversed(shape)).permute(*reversed(range(len(shape)))),
        "at an odd place": lambda: values(right().numel() + 1)[1:].view(shape),
        "freed storage": lambda: no_storage(right()),
        "negative": lambda: torch.complex(right(), right()).conj().imag,
        "a real part": lambda: torch.complex(right(), right()).real,
        "conjugate": lambda: torch.complex(right(), right()).conj(),
        "zero tensor": lambda: torch._efficientzerotensor(shape),
        "of inference": lambda: inference(right),
        "read only": lambda: written(right()),
        "not finite": lambda: right() / 0,
        "requires grad": lambda: right().requires_grad_(),
        "a result": lambda: right().requires_grad_() * 2,
    }.items()
