"""Bodies of loops, with tensors to run them on, and the loop that they are compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

import elman

T, B = 6, 5


class Body(nn.Module):
    """A function of modules, the carry and x."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, carry: Any, x: Any) -> Any:
        return self.function(self.parts, carry, x)


@dataclass
class Case:
    """A body, and the shapes of a row of its carry and of what it is given."""

    body: Callable[[], nn.Module]
    carry: Any
    x: Any

    def tensors(self, T: int = T, B: int = B) -> tuple[Any, Any]:
        torch.manual_seed(2)

        def made(lead: tuple[int, ...]) -> Callable[[Any], Tensor]:
            return lambda n: torch.randn(*lead, *([n] if n else []), requires_grad=True)

        return tree_map(made((B,)), self.carry), tree_map(made((T, B)), self.x)


def looped(body: Any, carry: Any, xs: Any, length: int | None = None) -> tuple[Any, Any]:
    """What a scan computes, step by step."""
    steps = length or tree_leaves(xs)[0].shape[0]
    every = []
    for t in range(steps):
        x = None if xs is None else tree_map(lambda tensor, t=t: tensor[t], xs)
        carry, y = body(carry, x)
        every.append(y)
    return carry, tree_map(lambda *ys: None if ys[0] is None else torch.stack(ys), *every)


def both(h: Tensor) -> tuple[Tensor, Tensor]:
    return h, h


def _lstm(m: Any, c: Any, x: Tensor) -> Any:
    h, c = m[0](x, c)
    return (h, c), h


def _gru(m: Any, h: Tensor, x: Tensor) -> Any:
    h = m[0](x, h)
    return h, m[1](h)


def _rssm(m: Any, carry: Any, x: Any) -> Any:
    """The recurrent state-space model of D. Hafner et al., "Learning Latent Dynamics for Planning
    from Pixels" (2019), with an observation at each step."""
    h, z = carry
    h = m[0](torch.cat([z, x["action"]], -1), h)
    hidden = F.elu(m[2](m[1](h)))
    mean, deviation = m[3](torch.cat([hidden, x["seen"]], -1)).chunk(2, -1)
    z = mean + (F.softplus(deviation) + 0.1) * x["noise"]
    return (h, z), {"mean": mean, "h": h, "size": h.mean(-1)}


def _feedback(m: Any, carry: Any, x: Tensor) -> Any:
    h, y = carry
    h = m[0](torch.cat([x, y], -1), h)
    y = m[1](h)
    return (h, y), y


def _distribution(m: Any, carry: Any, x: Tensor) -> Any:
    h, p = carry
    h = m[0](p, h) + x
    p = torch.softmax(m[1](h), -1)
    return (h, p), p.log()


def _tied(m: Any, h: Tensor, x: Tensor) -> Any:
    h = torch.tanh(F.linear(h, m[0].weight.t()) + x)
    return h, F.linear(h, m[0].weight)


def _activations(m: Any, h: Tensor, x: Tensor) -> Any:
    h = F.hardtanh(m[0](h.clamp(-1, 0.5))) + F.softplus(x) - F.leaky_relu(x) * F.elu(h)
    h = torch.sigmoid(h).clamp(min=0.2) * F.silu(h) + F.gelu(h, approximate="tanh")
    return h, h


def _more_activations(m: Any, h: Tensor, x: Tensor) -> Any:
    h = torch.tanh(m[0](h) + 2 * x - x.neg()) ** 3 / (1.5 + x.abs()).sqrt()
    return h, (h.pow(2), h.abs().sum(-1), h.amax(-1, keepdim=True), torch.rsub(h, 1, alpha=2))


def _in_place(m: Any, h: Tensor, x: Tensor) -> Any:
    h = m[0](h).add_(x).mul_(0.5).tanh_()
    return h, h


def _number(m: Any, carry: Any, x: Tensor) -> Any:
    h, a = carry
    h = torch.tanh(m[0](h) + x) * a
    return (h, torch.sigmoid(m[1](h))), h


def _flat_number(m: Any, carry: Any, x: Any) -> Any:
    h, a = carry
    h = torch.tanh(m[0](h) + x["x"]) * (a * x["scale"]).unsqueeze(-1)
    return (h, torch.sigmoid(m[1](h)).squeeze(-1)), (h, a)


def _parameters(m: Any, h: Tensor, x: Tensor) -> Any:
    h = torch.tanh(m[0](h)) * m[0].bias.exp() + x
    return h, m[0].weight.norm() * h


def _comparisons(m: Any, h: Tensor, x: Tensor) -> Any:
    h = torch.where(h > x, m[0](h), 0.5 * x) + (h < 0).float() + (x > 0).to(h.dtype)
    return h, torch.maximum(h, x)


def _several_products(m: Any, h: Tensor, x: Tensor) -> Any:
    z = torch.sigmoid(m[0](h) + m[1](x))
    n = torch.tanh(F.linear(z * h, m[2].weight) + m[3](x) + F.linear(h, m[0].weight))
    return (1 - z) * n + z * h, z


def _mlp(m: Any, h: Tensor, x: Tensor) -> Any:
    h = m[0](x, F.gelu(m[1](F.silu(m[2](h)))))
    return h, h[:, 1:3]


CASES: dict[str, Case] = {
    "lstm": Case(lambda: Body(_lstm, nn.LSTMCell(4, 7)), (7, 7), 4),
    "gru and head": Case(lambda: Body(_gru, nn.GRUCell(4, 7), nn.Linear(7, 3)), 7, 4),
    "relu and mlp": Case(
        lambda: Body(
            _mlp, nn.RNNCell(4, 7, nonlinearity="relu"), nn.Linear(19, 7), nn.Linear(7, 19)
        ),
        7,
        4,
    ),
    "rssm": Case(
        lambda: Body(
            _rssm, nn.GRUCell(5, 9), nn.Linear(9, 9), nn.LayerNorm(9), nn.Linear(13, 6, bias=False)
        ),
        (9, 3),
        {"action": 2, "seen": 4, "noise": 3},
    ),
    "feedback": Case(lambda: Body(_feedback, nn.GRUCell(6, 7), nn.Linear(7, 2)), (7, 2), 4),
    "distribution": Case(lambda: Body(_distribution, nn.GRUCell(3, 7), nn.Linear(7, 3)), (7, 3), 7),
    "wider inside": Case(
        lambda: Body(
            lambda m, c, x: (m[1](torch.relu(m[0](torch.cat([c, x], -1)))), c),
            nn.Linear(7, 33),
            nn.Linear(33, 3),
        ),
        3,
        4,
    ),
    "tied": Case(lambda: Body(_tied, nn.Linear(7, 7)), 7, 7),
    "activations": Case(lambda: Body(_activations, nn.Linear(7, 7)), 7, 7),
    "more activations": Case(lambda: Body(_more_activations, nn.Linear(7, 7)), 7, 7),
    "comparisons": Case(lambda: Body(_comparisons, nn.Linear(7, 7)), 7, 7),
    "in place": Case(lambda: Body(_in_place, nn.Linear(7, 7)), 7, 7),
    "number": Case(lambda: Body(_number, nn.Linear(7, 7), nn.Linear(7, 1)), (7, 1), 7),
    "flat number": Case(
        lambda: Body(_flat_number, nn.Linear(7, 7), nn.Linear(7, 1)),
        (7, 0),
        {"x": 7, "scale": 0},
    ),
    "parameters": Case(lambda: Body(_parameters, nn.Linear(7, 7)), 7, 7),
    "several products": Case(
        lambda: Body(
            _several_products,
            *(nn.Linear(n, 7, bias=b) for n, b in ((7, True), (4, True), (7, False), (4, False))),
        ),
        7,
        4,
    ),
    "no product": Case(
        lambda: Body(lambda _, c, x: both(torch.sigmoid(x) * c + (1 - torch.sigmoid(x)) * x)), 4, 4
    ),
    "one number": Case(lambda: Body(lambda _, c, x: (0.9 * c + x, c)), 0, 0),
    "handed on": Case(lambda: Body(lambda _, c, x: ((c[0] + c[1], c[0]), (x, c[1]))), (3, 3), 1),
    "nothing carried": Case(
        lambda: Body(lambda m, c, x: (torch.tanh(m[0](x)), c * 2), nn.Linear(4, 3)), 3, 4
    ),
    "no y": Case(
        lambda: Body(lambda m, c, x: ({"h": torch.tanh(m[0](c["h"])) + x}, None), nn.Linear(7, 7)),
        {"h": 7},
        7,
    ),
    "elman's cell": Case(lambda: Body(_lstm, elman.LSTMCell(4, 7)), (7, 7), 4),
    "a cell of the catalogue": Case(
        lambda: Body(_gru, elman.RecurrentCell(elman.cells.MGU(), 4, 7), nn.Linear(7, 3)), 7, 4
    ),
}
