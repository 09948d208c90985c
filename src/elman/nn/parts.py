"""What a model is made of, as layers: a linear layer is a recurrence that looks at no state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import functions, reductions
from ..cell import Cell
from .base import RecurrentModule
from .recurrent import Recurrent

#: What may follow a linear layer, as a function of formulas.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "ReLU": functions.relu,
    "Sigmoid": functions.sigmoid,
    "SiLU": functions.silu,
    "Tanh": functions.tanh,
    "Softmax": reductions.softmax,
}
#: What is made of each feature over time, by the names that poolings have.
POOLS = {"max_mean": ("max", "mean"), "max": ("max",), "mean": ("mean",), "last": ("last",)}
_NOTHING = (nn.Identity, nn.Dropout)  # in evaluation


class Dense(Cell):
    """``y_t = f(W x_t + b)``, with the name in torch.nn of a function or none."""

    gates = ("y",)
    states = ("y",)

    def __init__(self, activation: str = "") -> None:
        self.activation = activation

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """One time step."""
        return ACTIVATIONS[self.activation](x.y) if self.activation else x.y


class Pool(nn.Module):
    """One row of features for a whole sequence, by the name of a pooling."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def extra_repr(self) -> str:
        return self.how


def pooled(how: str, rows: Tensor, forward: int) -> Tensor:
    """One row of rows ``(T, B, F)``. The last of a second direction, the features from ``forward``
    on, is the first step."""
    found = {
        "max": lambda: rows.amax(0),
        "mean": lambda: rows.mean(0),
        "last": lambda: torch.cat([rows[-1, :, :forward], rows[0, :, forward:]], 1),
    }
    return torch.cat([found[each]() for each in POOLS[how]], 1)[None]


class Layer(NamedTuple):
    """A layer, and the pooling behind it or none."""

    module: RecurrentModule
    pool: str = ""


def parts_of(owner: str, module: Any) -> tuple[nn.Embedding | None, list[Layer]]:
    """The embedding, if there is one, and the layers on it.

    Raises:
        TypeError: a module that is no part.
        ValueError: modules in an order that has no meaning here.
    """
    embedding, layers, linear = None, list[Layer](), None
    for part in _flat(module):
        if isinstance(part, RecurrentModule):
            layers.append(Layer(part))
        elif type(part) is nn.Embedding and not layers and embedding is None:
            _check_embedding(owner, part)
            embedding = part
        elif type(part) is nn.Linear:
            layers.append(Layer(dense(part)))
        elif type(part) is Pool and layers and not any(layer.pool for layer in layers):
            layers[-1] = layers[-1]._replace(pool=part.how)
        elif _activation(part) and linear is not None:
            _check_softmax(owner, part)
            layers[-1] = Layer(dense(linear, _activation(part)))
        else:
            _refuse(owner, part)
        linear = part if type(part) is nn.Linear else None
    if not layers:
        raise ValueError(f"{owner}: expected at least one layer, got an empty torch.nn.Sequential")
    return embedding, layers


def _flat(module: Any) -> Iterator[nn.Module]:
    """The modules one after another, without those that do nothing in evaluation."""
    if type(module) is nn.Sequential:
        for part in module:
            yield from _flat(part)
    elif type(module) not in _NOTHING:
        yield module


def dense(linear: nn.Linear, activation: str = "") -> Recurrent:
    """A linear layer, and the activation after it, as a recurrent layer with its weights."""
    biased = linear.bias is not None
    layer = Recurrent(
        Dense(activation), linear.in_features, linear.out_features, bias=biased, device="meta"
    )
    layer.weight_ih_l0 = linear.weight
    if biased:
        layer.bias_ih_l0 = linear.bias
    return layer


def is_dense(module: RecurrentModule) -> bool:
    """Whether a layer is what :func:`dense` makes, whose state nobody reads."""
    return isinstance(module, Recurrent) and isinstance(module.cell, Dense)


def _activation(part: Any) -> str:
    """The name of a function that may follow a linear layer; empty if it is another module."""
    name = type(part).__name__
    return name if name in ACTIVATIONS and type(part) is getattr(nn, name) else ""


def _check_embedding(owner: str, embedding: nn.Embedding) -> None:
    if embedding.max_norm is not None:
        raise ValueError(f"{owner}: expected a torch.nn.Embedding without max_norm")


def _check_softmax(owner: str, part: Any) -> None:
    if type(part) is nn.Softmax and part.dim != -1:
        raise ValueError(f"{owner}: expected torch.nn.Softmax(dim=-1), got dim={part.dim}")


def _refuse(owner: str, part: Any) -> None:
    """Raises for a module that is no part, or none here."""
    if type(part) is nn.Embedding:
        raise ValueError(f"{owner}: expected torch.nn.Embedding in the first place only")
    if name := _activation(part):
        raise ValueError(f"{owner}: expected torch.nn.{name} right after a torch.nn.Linear only")
    raise TypeError(
        f"{owner}: expected a layer or cell of elman, or a torch.nn.Sequential of an Embedding, "
        f"such layers and Linear, got {type(part).__name__}; elman.accelerate turns torch.nn's "
        "recurrent layers into elman's"
    )


def check_fits(owner: str, layer: RecurrentModule, features: int | None) -> None:
    """Whether a layer can be on top of what gives so many features."""
    if features is not None and features != layer.input_size:
        raise ValueError(
            f"{owner}: expected modules that go together, got {features} features for "
            f"{' '.join(repr(layer).split())}, whose input_size is {layer.input_size}"
        )
