"""Ways in which the weights of a module become others between two calls."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune

from tests.nn.kinds import loss_of, tensors


def use(module: Any) -> list[Tensor]:
    """A call, so that whatever it might remember is there."""
    steps = (2,) if hasattr(module, "num_layers") else ()
    dtype = next(module.parameters()).dtype
    return tensors(module(torch.ones(*steps, 2, module.input_size, dtype=dtype)))


def each_weight(change: Callable[[Tensor], object]) -> Callable[[torch.nn.Module], object]:
    def all_of(module: torch.nn.Module) -> None:
        for name in first_weights(module):
            change(getattr(module, name))

    return all_of


def set_data(make: Callable[[Tensor], Tensor]) -> Callable[[torch.nn.Module], object]:
    return each_weight(lambda p: setattr(p, "data", make(p.data)))


def first_weights(module: torch.nn.Module) -> list[str]:
    return [n for n, _ in module.named_parameters() if "weight" in n]


def negative(module: torch.nn.Module) -> dict[str, Tensor]:
    return {n: -v / 2 for n, v in module.state_dict().items()}


def train(module: torch.nn.Module) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    loss_of(use(module)).backward()
    optimizer.step()
    module.zero_grad()


def through_numpy(weight: Tensor) -> None:
    weight.detach().numpy()[:] *= -0.5


def replace(module: torch.nn.Module) -> None:
    for name in first_weights(module):
        setattr(module, name, torch.nn.Parameter(getattr(module, name).detach() * -0.5))


def tie(module: torch.nn.Module) -> None:
    name, *others = [n for n in first_weights(module) if "_hh" in n]
    for other in others:
        setattr(module, other, getattr(module, name))


def prune_for_good(module: torch.nn.Module) -> None:
    name = first_weights(module)[1]
    prune.l1_unstructured(module, name, amount=0.4)
    use(module)
    prune.remove(module, name)


CHANGES: dict[str, Callable[[Any], object]] = {
    "expanded": set_data(lambda w: w[:1].expand(w.shape)),
    "transposed": set_data(lambda w: w.t().contiguous().t()),
    "through .data": set_data(lambda w: w * -0.5),
    "in place through .data": each_weight(lambda p: p.data.mul_(-0.5)),
    "in place": torch.no_grad()(each_weight(lambda p: p.copy_(p * -0.5))),
    "through numpy": each_weight(through_numpy),
    "optimizer": train,
    "new parameters": replace,
    "state": lambda m: m.load_state_dict(negative(m)),
    "assigned state": lambda m: m.load_state_dict(negative(m), assign=True),
    "assigned to meta": lambda m: (
        state := negative(m),
        m.to_empty(device="meta").load_state_dict(state, assign=True),
    ),
    "tied": tie,
    "weight norm": lambda m: [parametrizations.weight_norm(m, n) for n in first_weights(m)],
    "orthogonal": lambda m: parametrizations.orthogonal(m, first_weights(m)[1]),
    "pruned": lambda m: [prune.l1_unstructured(m, n, amount=0.4) for n in first_weights(m)],
    "pruned for good": prune_for_good,
}
