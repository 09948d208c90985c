"""ONNX's RNN, LSTM and GRU as cells, with all attributes that change their formula.

Gates and vectors have ONNX's names and order, so that its tensors are those of a cell.
Source: the operators' definitions, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..cell import Cell
from ..expr import where
from ..functions import clamp, elu, leaky_relu, relu, sigmoid, softplus, softsign, tanh


class Function(NamedTuple):
    """One of ONNX's activations: its formula of a value, alpha and beta, and what these are where
    a model does not say (None: it has no such number)."""

    formula: Callable[[Any, Any, Any], Any]
    alpha: float | None = None
    beta: float | None = None


FUNCTIONS: dict[str, Function] = {
    "Tanh": Function(lambda v, a, b: tanh(v)),
    "Sigmoid": Function(lambda v, a, b: sigmoid(v)),
    "Relu": Function(lambda v, a, b: relu(v)),
    "Softsign": Function(lambda v, a, b: softsign(v)),
    "Softplus": Function(lambda v, a, b: softplus(v)),
    "Elu": Function(lambda v, a, b: elu(v, a), 1.0),
    "LeakyRelu": Function(lambda v, a, b: leaky_relu(v, a), 0.01),
    "ThresholdedRelu": Function(lambda v, a, b: where(v > a, v, 0.0), 1.0),
    "HardSigmoid": Function(lambda v, a, b: clamp(a * v + b, 0.0, 1.0), 0.2, 0.5),
    "ScaledTanh": Function(lambda v, a, b: a * tanh(b * v), 1.0, 1.0),
    "Affine": Function(lambda v, a, b: a * v + b, 1.0, 0.0),
}

#: A name of ``FUNCTIONS``, alpha and beta.
Activation = tuple[str, float | None, float | None]


def activation(name: str, alpha: float | None = None, beta: float | None = None) -> Activation:
    """An activation with the numbers that are given, else its own."""
    row = FUNCTIONS[name]
    return (
        name,
        row.alpha if alpha is None or row.alpha is None else alpha,
        row.beta if beta is None or row.beta is None else beta,
    )


class Operator(Cell):
    """What the three have in common.

    Args:
        activations: one for each of the operator's functions; by default ONNX's.
        clip: the gates' arguments are kept between ``-clip`` and ``clip``; None for no limit. A
            cell state is not, as in ONNX Runtime and OpenVINO; ONNX's words would allow both.
    """

    #: The activations where a model does not say.
    usual: tuple[str, ...] = ()

    def __init__(
        self, activations: tuple[Activation, ...] | None = None, clip: float | None = None
    ) -> None:
        self.activations = activations or tuple(map(activation, self.usual))
        self.clip = clip

    def act(self, place: int, value: Any) -> Any:
        """The activation of a gate's argument."""
        if self.clip is not None:
            value = clamp(value, -self.clip, self.clip)
        return self.function(place, value)

    def function(self, place: int, value: Any) -> Any:
        """The activation in a place, of a value."""
        name, alpha, beta = self.activations[place]
        return FUNCTIONS[name].formula(value, alpha, beta)


class RNN(Operator):
    """``H_t = f(X_t W^T + Wb + H_{t-1} R^T + Rb)``.

    >>> RNN((activation("Elu"),)).trace().x_gates
    ('h',)
    """

    gates = ("h",)
    usual = ("Tanh",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return self.act(0, x.h + u.h)


class LSTM(Operator):
    """The long short-term memory, with peepholes and with one gate for both input and forget.

    Args:
        peepholes: whether the gates see the cell state; vectors ``pi``, ``po`` and ``pf``.
        input_forget: whether the forget gate is one less the input gate, without rows of its own.
    """

    states = ("h", "c")
    usual = ("Sigmoid", "Tanh", "Tanh")

    def __init__(
        self,
        activations: tuple[Activation, ...] | None = None,
        clip: float | None = None,
        peepholes: bool = False,
        input_forget: bool = False,
    ) -> None:
        super().__init__(activations, clip)
        self.peepholes, self.input_forget = peepholes, input_forget
        own = "ioc" if input_forget else "iofc"
        self.gates = tuple(own)
        self.vectors = tuple(f"p{gate}" for gate in own if gate != "c") if peepholes else ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        def gate(name: str, c: Any) -> Any:
            value = getattr(x, name) + getattr(u, name)
            return self.act(0, value + self.vector("p" + name) * c if self.peepholes else value)

        i = gate("i", s.c)
        f = 1 - i if self.input_forget else gate("f", s.c)
        c = f * s.c + i * self.act(1, x.c + u.c)
        return gate("o", c) * self.function(2, c), c


class GRU(Operator):
    """The gated recurrent unit.

    Args:
        linear_before_reset: whether the reset acts on the product, or on what is multiplied.
    """

    gates = ("z", "r", "h")
    usual = ("Sigmoid", "Tanh")

    def __init__(
        self,
        activations: tuple[Activation, ...] | None = None,
        clip: float | None = None,
        linear_before_reset: bool = False,
    ) -> None:
        super().__init__(activations, clip)
        self.linear_before_reset = linear_before_reset

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z, r = self.act(0, x.z + u.z), self.act(0, x.r + u.r)
        product = r * u.h if self.linear_before_reset else self.product("h", r * s.h)
        return (1 - z) * self.act(1, x.h + product) + z * s.h
