"""A model's network as modules one after another, as `elman.export` takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import elman
from elman.nn.parts import Pool

from ..data.series import Reading
from ..errors import TaskError


class Chain(NamedTuple):
    """Modules, and what the numbers mean that go in and out.

    `tokens` is the kind of tokens that are read, one of which has the id `RESERVED` plus its place
    in `vocabulary`; `ids` are those of a text, int32. All three are empty if numbers are read.
    `labels` are those of the outputs.
    """

    modules: Sequence[nn.Module]
    outputs: str  # in words
    tokens: str = ""
    vocabulary: Sequence[Any] = ()
    labels: Sequence[Any] = ()
    about: Mapping[str, Any] = {}  # further facts
    ids: Callable[[str], np.ndarray] | None = None

    @property
    def whole(self) -> bool:
        """Whether sequences are read to their end before there is an answer."""
        return any(isinstance(module, Pool) for module in self.modules)


def pooling(model: Any) -> list[nn.Module]:
    """What is behind a model's recurrent layers: nothing, if each step has its answer."""
    wrong = ["--ngrams 0"] * bool(getattr(model, "ngrams", 0))
    wrong += ["--n-estimators 1"] * (model.n_estimators > 1)
    if wrong:
        raise TaskError(
            "To be exported, a model must have its answer from one network alone; train with "
            f"{' '.join(wrong)}."
        )
    return [Pool(model.pooling)] if model.bidirectional or model.pooling != "last" else []


def on_kernels(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers, where torch.nn's are elman's on the same weights."""
    return [elman.accelerate(layer) if isinstance(layer, nn.RNNBase) else layer for layer in layers]


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of given numbers.

    >>> linear(torch.tensor([[2.0]]), torch.tensor([1.0]))(torch.tensor([3.0])).tolist()
    [7.0]
    """
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(t.detach(), False) for t in (weight, bias))
    return layer


def scaled(layer: nn.Linear, mean: float, scale: float) -> nn.Linear:
    """A linear layer whose results are `scale` times as large, and then `mean` larger."""
    return linear(layer.weight * scale, layer.bias * scale + mean)


def standardising(reading: Reading) -> nn.Linear:
    """What standardises an input (F,) of which values and flags are as they came.

    >>> reading = Reading(np.array([1.0]), np.array([2.0]), patch=2, missing=True)
    >>> standardising(reading)(torch.tensor([5.0, 1.0, 0.0, 1.0])).tolist()
    [2.0, 0.0, 0.0, 1.0]
    """
    flags = reading.features - reading.channels * reading.patch
    slope = np.append((1 / reading.scale).repeat(reading.patch), np.ones(flags))
    offset = np.append((-reading.mean / reading.scale).repeat(reading.patch), np.zeros(flags))
    return linear(torch.from_numpy(slope).diag().float(), torch.from_numpy(offset).float())
