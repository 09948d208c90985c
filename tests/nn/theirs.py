"""A library's layer, and what a conversion may put in its place: a module, or a class."""

from typing import Any

import torch

import elman


class Theirs(torch.nn.Module):
    """A library's recurrent layer: weights transposed, one bias, the batch first."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.w = torch.nn.Parameter(torch.randn(features, 2 * units) / 3)
        self.u = torch.nn.Parameter(torch.randn(2 * units, units) / 3)
        self.b = torch.nn.Parameter(torch.randn(2 * units))

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        h = x.new_zeros(len(x), self.units) if h is None else h
        outputs = []
        for x_t in (x @ self.w + self.b).unbind(1):
            h = self.one(x_t, h)
            outputs.append(h)
        return torch.stack(outputs, 1)

    def one(self, x_t: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        z, n = (x_t + h @ self.u.t()).chunk(2, -1)
        z = torch.sigmoid(z)
        return (1 - z) * torch.tanh(n) + z * h


class Formula(elman.Cell):
    gates = ("z", "n")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = elman.sigmoid(x.z + u.z)
        return (1 - z) * elman.tanh(x.n + u.n) + z * s.h


class Ours(torch.nn.Module):
    """Another module in its place, with weights of its own."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        width, units = theirs.w.shape[0], theirs.units
        self.layer = elman.Recurrent(Formula, width, units, batch_first=True, dtype=theirs.w.dtype)
        with torch.no_grad():
            self.layer.weight_ih_l0.copy_(theirs.w.t())
            self.layer.weight_hh_l0.copy_(theirs.u)
            self.layer.bias_ih_l0.copy_(theirs.b)
            self.layer.bias_hh_l0.zero_()

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        output: torch.Tensor = self.layer(x, None if h is None else h[None])[0]
        return output


class Sharing(Ours):
    """The same with the parameters of the original themselves, where the form is the same."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__(theirs)
        self.layer.weight_hh_l0, self.layer.bias_ih_l0 = theirs.u, theirs.b


class Inside(Theirs):
    """Theirs, with another loop."""

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        layer = Ours(self)
        held = {"layer.weight_ih_l0": self.w.t(), "layer.weight_hh_l0": self.u}
        held |= {"layer.bias_ih_l0": self.b}
        return torch.func.functional_call(layer, held, (x, h))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Theirs(3, 4)
        self.rest = torch.nn.ModuleList([Theirs(4, 4), torch.nn.LSTM(4, 2, batch_first=True)])
        self.again = self.rest[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.rest[0](self.first(x)))
        output: torch.Tensor = self.rest[1](x)[0]
        return output


class Around(torch.nn.Module):
    """It keeps the original, and calls it."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, *args: Any) -> Any:
        return self.theirs(*args)
