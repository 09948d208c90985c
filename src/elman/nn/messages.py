"""Exceptions that begin as torch.nn's do.

People search for torch.nn's sentences, and programs match them. So the class of an exception is
torch.nn's, and its message reads
``<torch.nn's sentence>; <owner>: expected ..., got ...: <remedy>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def refusal(
    kind: type[Exception], sentence: str, owner: str, expected: str, got: str, remedy: str = ""
) -> Exception:
    """The exception to raise. The sentence is empty where torch.nn has none, or names the inside
    of an operator."""
    own = f"{owner}: expected {expected}, got {got}" + (f": {remedy}" if remedy else "")
    between = "" if not sentence else " " if sentence.endswith(".") else "; "
    return kind(f"{sentence}{between}{own}")


def raised_by(expression: Callable[[], object]) -> tuple[type[Exception], str] | None:
    """What an expression of torch.nn's raises, if anything: where a call is refused already, and
    torch.nn has no check of its own but stumbles."""
    try:
        expression()
    except Exception as error:  # noqa: BLE001 - whichever it is, elman's must be it
        return type(error), str(error)
    return None


def no_tensor(
    owner: str, name: str, value: Any, asked: Callable[[Any], object] = lambda value: value.dim()
) -> Exception:
    """For what is no tensor. torch.nn asks it for something that it does not have."""
    kind, sentence = raised_by(lambda: asked(value)) or (TypeError, "")
    return refusal(kind, sentence, owner, f"{name} to be a Tensor", type(value).__name__)


def described(tensor: Tensor) -> str:
    """A tensor of a wrong number of dimensions."""
    shape = "a ragged shape" if tensor.is_nested else f"shape {tuple(tensor.shape)}"
    return f"{tensor.dim()}-D of {shape}"


def same_dtype(a: Tensor, b: Tensor) -> str:
    """The sentence of a product of two dtypes."""
    first, second = scalar_type(a), scalar_type(b)
    return f"mat1 and mat2 must have the same dtype, but got {first} and {second}"


def scalar_type(tensor: Tensor) -> str:
    """A dtype's name in messages of PyTorch's operators, such as ``Float``."""
    return str(tensor.type()).rpartition(".")[2].removesuffix("Tensor")


def check_module(owner: str, module: Any) -> None:
    """TypeError for what is no module of PyTorch."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"{owner}: expected a torch.nn.Module, got {type(module).__name__}: give the module "
            "that it holds, or make it within elman.accelerated()"
        )
