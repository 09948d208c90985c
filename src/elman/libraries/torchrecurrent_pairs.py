"""The formulas of torchrecurrent's cells that have two states, as those of one state are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..functions import relu, sigmoid, tanh
from .torchrecurrent_formulas import Formula, parts


class Pair(Formula):
    """A cell of two states, h and c."""

    states = ("h", "c")


class CoRNN(Pair):
    gates, matrices, vectors = ("h",), ("c",), ("b",)
    numbers = ("dt", "gamma", "epsilon")
    renamed: ClassVar[Mapping[str, str]] = {"weight_c": "weight_ch", "weight_b": "bias_ch"}
    dt: float
    gamma: float
    epsilon: float

    def step(self, x: Any, u: Any, s: Any) -> Any:
        act = tanh(x.h + u.h + self.product("c", s.c) + self.vector("b"))
        c = s.c + self.dt * act - self.dt * self.gamma * s.h - self.dt * self.epsilon * s.c
        return s.h + self.dt * c, c


class JANET(Pair):
    gates, vectors = ("f", "g"), ("beta",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = x.f + u.f
        c = sigmoid(f) * s.c + (1 - sigmoid(f - self.vector("beta"))) * tanh(x.g + u.g)
        return c, c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        return super().tensors(cell) | {"weight_beta": cell.beta.expand(cell.hidden_size)}


class LEM(Pair):
    gates, matrices, vectors, numbers = ("b", "d", "c", "h"), ("ch",), ("bias",), ("dt",)
    own, renamed = (*Formula.own, "weight_ch"), {"weight_bias": "bias_ch"}
    dt: float

    def step(self, x: Any, u: Any, s: Any) -> Any:
        long, short = (self.dt * sigmoid(getattr(x, k) + getattr(u, k)) for k in "bd")
        c = (1 - short) * s.c + short * tanh(x.c + u.c)
        seen = self.product("ch", s.c) + self.vector("bias")
        return (1 - long) * s.h + long * tanh(x.h + seen), c


class MultiplicativeLSTM(Pair):
    gates, matrices = ("m", "i", "f", "g", "o"), ("mi", "mf", "mg", "mo")
    vectors = ("bi", "bf", "bg", "bo")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        m = x.m * u.m
        i, f, g, o = (
            getattr(x, k) + self.product(f"m{k}", m) + self.vector(f"b{k}") for k in "ifgo"
        )
        c = sigmoid(f) * s.c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        more = parts(cell.weight_mh, *cls.matrices) | parts(cell.bias_mh, *cls.vectors)
        return super().tensors(cell) | more


class NAS(Pair):
    gates = tuple(f"k{i}" for i in range(8))

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a, b, c, d, e, f, g, h = (getattr(x, k) + getattr(u, k) for k in self.gates)
        cell = tanh(tanh(sigmoid(a) * relu(b)) + s.c) * tanh(sigmoid(c) + relu(d))
        last = tanh(tanh(tanh(e) * sigmoid(f)) + sigmoid(tanh(g) + sigmoid(h)))
        return tanh(cell * last), cell


class OriginalLSTM(Pair):
    gates = ("i", "g", "o")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        c = s.c + sigmoid(x.i + u.i) * tanh(x.g + u.g)
        return sigmoid(x.o + u.o) * tanh(c), c


class PeepholeLSTM(Pair):
    gates: tuple[str, ...] = ("i", "f", "g", "o")
    vectors, activations = ("pi", "pf", "po"), ("act", "gate_act")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i = self.gate_act(x.i + u.i + self.vector("pi") * s.c)
        f = self.gate_act(x.f + u.f + self.vector("pf") * s.c)
        c = f * s.c + i * self.act(x.g + u.g)
        return self._output(x, self.gate_act(x.o + u.o + self.vector("po") * c), c), c

    def _output(self, _: Any, o: Any, c: Any) -> Any:
        return o * self.act(c)

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        return super().tensors(cell) | parts(cell.weight_ph, *cls.vectors)


class ResLSTM(PeepholeLSTM):
    gates, matrices = ("i", "f", "g", "o", "r"), ("proj",)

    def _output(self, x: Any, o: Any, c: Any) -> Any:
        return o * (self.product("proj", self.act(c)) + x.r)

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        none = cell.bias_ih.new_zeros(cell.hidden_size)
        return super().tensors(cell) | {
            "weight_ih": torch.cat([cell.weight_ih, cell.weight_res]),
            "bias_ih": torch.cat([cell.bias_ih, none]),
            "weight_proj": cell.weight_proj,
        }


class RAN(Pair):
    gates = ("c", "i", "f")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        c = sigmoid(x.i + u.i) * x.c + sigmoid(x.f + u.f) * s.c
        return tanh(c), c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        none = cell.bias_ih.new_zeros(cell.hidden_size)
        return super().tensors(cell) | {"bias_ih": torch.cat([none, cell.bias_ih])}


class SCRN(Pair):
    gates, matrices, vectors = ("c", "h", "o"), ("ch", "co"), ("bh", "bo", "alpha")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        alpha = self.vector("alpha")
        c = (1 - alpha) * x.c + alpha * s.c
        h, o = (self.product(f"c{k}", c) + self.vector(f"b{k}") for k in "ho")
        return tanh(self.product("o", sigmoid(x.h + u.h + h)) + o), c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        more = parts(cell.weight_ch, "ch", "co") | parts(cell.bias_ch, "bh", "bo")
        return super().tensors(cell) | more | {"weight_alpha": cell.alpha.expand(cell.hidden_size)}


class UnICORNN(Pair):
    gates, vectors, numbers = ("h",), ("w", "b", "c"), ("dt", "alpha")
    own, renamed = ("weight_ih", "bias_ih"), {"weight_w": "weight_hh", "weight_b": "bias_hh"}
    dt: float
    alpha: float

    def step(self, x: Any, _: Any, s: Any) -> Any:
        candidate = tanh(x.h + s.h * self.vector("w") + self.vector("b"))
        share = self.dt * self.vector("c")
        c = s.c - share * (candidate + self.alpha * s.h)
        return s.h + share * c, c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        return super().tensors(cell) | {"weight_c": torch.sigmoid(cell.weight_ch)}


class WMCLSTM(Pair):
    gates, matrices = ("i", "f", "g", "o"), ("mi", "mf", "mo")
    vectors = ("bi", "bf", "bo")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        def seen(k: str, c: Any) -> Any:
            memory = tanh(self.product(f"m{k}", c) + self.vector(f"b{k}"))
            return sigmoid(getattr(x, k) + getattr(u, k) + memory)

        c = seen("f", s.c) * s.c + seen("i", s.c) * tanh(x.g + u.g)
        return seen("o", c) * tanh(c), c

    @classmethod
    def tensors(cls, cell: Any) -> dict[str, Tensor]:
        more = parts(cell.weight_mh, *cls.matrices) | parts(cell.bias_mh, *cls.vectors)
        return super().tensors(cell) | more
