"""What calls with ``lengths`` and ``reset`` have to give, by a plain loop over steps."""

from typing import Any

import torch
from torch import Tensor

import elman
from tests.nn.kinds import loss_of, tensors
from tests.reference import recurrences


def solve(
    name: str,
    net: elman.Recurrent,
    x: Tensor,
    hx: Any = None,
    lengths: Any = None,
    reset: Tensor | None = None,
    reset_to: Any = None,
    inputs: dict[str, Tensor] | None = None,
) -> list[Tensor]:
    """The output and the final states of a net of the cell of this name, time first."""
    T, B = x.shape[:2]
    step, D = net.cell.trace(), 2 if net.bidirectional else 1
    held = dict(net.named_parameters())
    lengths = torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
    given = None if hx is None else tensors(hx)
    returns = None if reset_to is None or isinstance(reset_to, int) else tensors(reset_to)
    further = [inputs[n].expand(T, B, net.hidden_size) for n in step.inputs] if inputs else []
    finals: list[list[Tensor]] = [[] for _ in step.states]
    for layer in range(net.num_layers):
        outputs = []
        for d, way in enumerate(("", "_reverse")[:D]):
            mine = {n: held.get(f"{n}_l{layer}{way}") for n in step.parameters}
            at, sizes = layer * D + d, net._layer_sizes()[layer * D + d]
            zeros = [x.new_zeros(B, sizes[step.space(s)]) for s in step.states]
            if given is not None:
                initial = [s[at] for s in given]
            elif net.learn_initial:
                learned = [held[f"initial_{s}_l{layer}{way}"] for s in step.states]
                initial = [s.expand(B, -1) for s in learned]
            else:
                initial = zeros
            back = initial if reset_to is None else zeros
            if returns is not None:
                back = [s[at] for s in returns]
            output, final = recurrences.run(
                *(name, x, mine, initial, further, lengths, d == 1),
                reset=reset,
                returns=back,
            )
            outputs.append(output)
            for every, state in zip(finals, final, strict=True):
                every.append(state)
        x = torch.cat(outputs, -1) if net.merge == "concat" else torch.stack(outputs).sum(0)
    return [x, *map(torch.stack, finals)]


def results(
    found: list[Tensor], leaves: dict[str, Tensor], unused: bool = False
) -> dict[str, Tensor]:
    """Results, and the gradients of leaves."""
    gradients = torch.autograd.grad(
        loss_of(found), list(leaves.values()), materialize_grads=True, allow_unused=unused
    )
    named = zip(leaves, gradients, strict=True)
    return {f"result {i}": t for i, t in enumerate(found)} | {f"of {n}": g for n, g in named}
