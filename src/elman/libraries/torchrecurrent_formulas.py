"""The formulas of torchrecurrent's cells, each with the gates in the order of its weights.

A formula is named as the library's layer is. Its numbers and activations are those of the cell that
it is made for; :meth:`Formula.tensors` gives the cell's parameters the names that a layer's have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import functions
from ..cell import Cell
from ..functions import sigmoid, tanh

#: How an activation prints, and elman's function.
_ACTIVATIONS = {
    "Identity()": "",
    "Tanh()": "tanh",
    "ReLU()": "relu",
    "Sigmoid()": "sigmoid",
    "Softplus(beta=1.0, threshold=20.0)": "softplus",
    "Hardsigmoid()": "hardsigmoid",
    "GELU(approximate='none')": "gelu",
    "SiLU()": "silu",
    "ELU(alpha=1.0)": "elu",
    "LeakyReLU(negative_slope=0.01)": "leaky_relu",
}


class Formula(Cell):
    """One of torchrecurrent's cells. ``numbers`` and ``activations`` are attributes of it.

    ``own`` are the parameters that a layer of elman's has by the same name, ``renamed`` by elman's
    names those that it has by another.
    """

    numbers: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    own: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    renamed: ClassVar[Mapping[str, str]] = {}

    def __init__(self, cell: Any) -> None:
        for name in self.numbers:
            setattr(self, name, float(getattr(cell, name)))
        for name in self.activations:
            setattr(self, f"{name}_name", _ACTIVATIONS[repr(getattr(cell, name))])

    @classmethod
    def foreign(cls, cell: Any) -> str:
        """Which activation of a cell there is no function for; empty if there is for each."""
        shown = [repr(getattr(cell, name)) for name in cls.activations]
        return next((name for name in shown if name not in _ACTIVATIONS), "")

    def act(self, value: Any) -> Any:
        return self._apply(self.act_name, value)  # type: ignore[attr-defined]

    def gate_act(self, value: Any) -> Any:
        return self._apply(self.gate_act_name, value)  # type: ignore[attr-defined]

    def output_act(self, value: Any) -> Any:
        return self._apply(self.output_act_name, value)  # type: ignore[attr-defined]

    def _apply(self, name: str, value: Any) -> Any:
        return getattr(functions, name)(value) if name else value

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        """The parameters of a cell by their names in a layer of elman's."""
        names = {name: name for name in cls.own} | dict(cls.renamed)
        return {mine: getattr(cell, theirs) for mine, theirs in names.items()}


def parts(tensor: Tensor, *names: str) -> dict[str, Tensor]:
    """Blocks of rows as further matrices or vectors."""
    return {f"weight_{n}": part for n, part in zip(names, tensor.chunk(len(names)), strict=True)}


def _skewed(cell: Any) -> Tensor:
    W = cell.weight_hh
    return W - W.t() - cell.gamma * torch.eye(len(W), dtype=W.dtype, device=W.device)


class AntisymmetricRNN(Formula):
    gates, numbers, activations = ("h",), ("epsilon",), ("act",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return s.h + self.epsilon * self.act(x.h + u.h)  # type: ignore[attr-defined]

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        return super().tensors(cell) | {"weight_hh": _skewed(cell)}


class GatedAntisymmetricRNN(Formula):
    gates, vectors, numbers = ("z", "h"), ("b",), ("epsilon",)
    own, renamed = ("weight_ih", "bias_ih"), {"weight_b": "bias_hh"}

    def step(self, x: Any, u: Any, s: Any) -> Any:
        gate = sigmoid(x.z + u.h)
        return s.h + self.epsilon * gate * tanh(x.h + u.h + self.vector("b"))  # type: ignore[attr-defined]

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        return super().tensors(cell) | {"weight_hh": _skewed(cell)}


class ATR(Formula):
    gates = ("h",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return sigmoid(x.h + u.h) * x.h + sigmoid(x.h - u.h) * s.h


class BR(Formula):
    gates, vectors = ("a", "c", "h"), ("wa", "wc", "ba", "bc")
    own = ("weight_ih", "bias_ih")

    def step(self, x: Any, _: Any, s: Any) -> Any:
        a = 1 + tanh(x.a + self.vector("wa") * s.h + self.vector("ba"))
        c = sigmoid(x.c + self.vector("wc") * s.h + self.vector("bc"))
        return c * s.h + (1 - c) * tanh(x.h + a * s.h)

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        more = parts(cell.weight_hh, "wa", "wc") | parts(cell.bias_hh, "ba", "bc")
        return super().tensors(cell) | more


class NBR(Formula):
    gates = ("a", "c", "h")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a, c = 1 + tanh(x.a + u.a), sigmoid(x.c + u.c)
        return c * s.h + (1 - c) * tanh(x.h + a * s.h)


class CFN(Formula):
    gates = ("f", "i", "h")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return sigmoid(x.f + u.f) * tanh(s.h) + sigmoid(x.i + u.i) * tanh(x.h)


class FastRNN(Formula):
    gates, vectors, activations = ("h",), ("alpha", "beta"), ("act",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return self.vector("alpha") * self.act(x.h + u.h) + self.vector("beta") * s.h

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        alpha, beta = (torch.sigmoid(v).expand(cell.hidden_size) for v in (cell.alpha, cell.beta))
        return super().tensors(cell) | {"weight_alpha": alpha, "weight_beta": beta}


class FastGRNN(Formula):
    gates, vectors, activations = ("h",), ("bz", "bh", "zeta", "nu"), ("act",)
    own = ("weight_ih", "weight_hh")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        both = x.h + u.h
        z = self.act(both + self.vector("bz"))
        share = self.vector("zeta") * (1 - z) + self.vector("nu")
        return share * tanh(both + self.vector("bh")) + z * s.h

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        zeta, nu = (torch.sigmoid(v).expand(cell.hidden_size) for v in (cell.zeta, cell.nu))
        biases = parts(cell.bias_ih + cell.bias_hh, "bz", "bh")
        return super().tensors(cell) | biases | {"weight_zeta": zeta, "weight_nu": nu}


class IndRNN(Formula):
    gates, vectors, activations = ("h",), ("u", "b"), ("act",)
    own, renamed = ("weight_ih", "bias_ih"), {"weight_u": "vector_u", "weight_b": "bias_hh"}

    def step(self, x: Any, _: Any, s: Any) -> Any:
        return self.act(x.h + self.vector("u") * s.h + self.vector("b"))


class LiGRU(Formula):
    gates, activations = ("z", "h"), ("act", "gate_act")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = self.gate_act(x.z + u.z)
        return (1 - z) * self.act(x.h + u.h) + z * s.h


class LightRU(Formula):
    gates = ("h", "f")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = sigmoid(x.f + u.f)
        return (1 - f) * s.h + f * tanh(x.h)


class MGU(Formula):
    gates, activations = ("f", "h"), ("act", "gate_act")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = self.gate_act(x.f + u.f)
        return f * self.act(x.h + self.product("h", f * s.h)) + (1 - f) * s.h


class MinimalRNN(Formula):
    gates, matrices, activations = ("z", "u"), ("mm",), ("act", "gate_act")
    own = (*Formula.own, "weight_mm")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = self.act(x.z)
        keep = self.gate_act(u.u + self.product("mm", z))
        return keep * s.h + (1 - keep) * z


class MiRU1(Formula):
    gates, activations = ("r", "h"), ("act", "gate_act")
    numbers = ("update_coefficient",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        keep = self.update_coefficient  # type: ignore[attr-defined]
        r = self.gate_act(x.r + u.r)
        return keep * s.h + (1 - keep) * self.act(x.h + self.product("h", r * s.h))


class MiRU2(Formula):
    gates, activations = ("h",), ("act",)
    numbers = ("update_coefficient", "reset_coefficient")

    def step(self, x: Any, _: Any, s: Any) -> Any:
        keep, reset = self.update_coefficient, self.reset_coefficient  # type: ignore[attr-defined]
        return keep * s.h + (1 - keep) * self.act(x.h + self.product("h", reset * s.h))


class MUT1(Formula):
    gates = ("z", "r", "h")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z, r = sigmoid(x.z), sigmoid(x.r + u.r)
        return tanh(self.product("h", r * s.h) + tanh(x.h)) * z + s.h * (1 - z)


class MUT2(Formula):
    gates = ("z", "r", "h")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z, r = sigmoid(x.z + self._seen(s)), sigmoid(x.r + u.r)
        return tanh(x.h + self.product("h", r * s.h)) * z + s.h * (1 - z)

    def _seen(self, s: Any) -> Any:
        return self.product("z", s.h)


class MUT3(MUT2):
    def _seen(self, s: Any) -> Any:
        return self.product("z", tanh(s.h))


class SGRN(Formula):
    gates = ("h",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = sigmoid(x.h + u.h)
        return tanh((1 - f) * x.h + f * s.h)


class SGU(Formula):
    gates, activations = ("g", "z"), ("act", "gate_act", "output_act")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        g = self.act(self.product("g", x.g * s.h))
        z = self.gate_act(x.z + u.z)
        return (1 - z) * s.h + z * self.output_act(self._shown(g * s.h))

    def _shown(self, value: Any) -> Any:
        return value


class DSGU(SGU):
    matrices = ("ho",)
    own = (*Formula.own, "weight_ho")

    def _shown(self, value: Any) -> Any:
        return self.product("ho", value)


class STAR(Formula):
    gates = ("z", "k")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        k = sigmoid(x.k + u.k)
        return tanh((1 - k) * s.h + k * tanh(x.z))


class TRNN(Formula):
    gates, activations = ("z", "f"), ("gate_act",)
    own = ("weight_ih", "bias_ih")

    def step(self, x: Any, _: Any, s: Any) -> Any:
        f = self.gate_act(x.f)
        return f * s.h + (1 - f) * x.z


class UGRNN(Formula):
    gates = ("c", "g")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        g = sigmoid(x.g + u.g)
        return g * s.h + (1 - g) * tanh(x.c + u.c)
