"""The adding problem: how an initialisation decides what a network remembers.

A sequence has two features: a number between 0 and 1, and a mark at two of the steps. The answer is
the sum of the two marked numbers. Answering 1 at all times has a mean squared error of 0.167. The
networks are the same but for `init`, and see the same sequences:

    python examples/adding.py               # about a quarter of a minute on one core
    python examples/adding.py --steps 100   # longer sequences

Source: Q. V. Le, N. Jaitly, G. E. Hinton, "A simple way to initialize recurrent networks of
rectified linear units", arXiv:1504.00941 (2015).
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import elman

#: By name: a cell, and how it begins; None is torch.nn's way.
NETWORKS: dict[str, tuple[Any, Any]] = {
    "RNN, default": (elman.cells.Elman("relu"), None),
    "RNN, orthogonal": (elman.cells.Elman("relu"), ("orthogonal", "bias")),
    "RNN, identity": (elman.cells.Elman("relu"), "irnn"),
    "LSTM, default": (elman.cells.LSTM, None),
    "LSTM, chrono": (elman.cells.LSTM, {"chrono": {"T_max": 50}}),
}


class Adder(torch.nn.Module):
    """A recurrent layer whose last state gives the sum."""

    def __init__(self, cell: Any, units: int, init: Any) -> None:
        super().__init__()
        self.rnn = elman.Recurrent(cell, 2, units, init=init)
        self.head = torch.nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """From sequences (T, B, 2) to their sums (B,)."""
        output, _ = self.rnn(x)
        return self.head(output[-1])[:, 0]


def sequences(steps: int, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences (T, B, 2) with a mark in each half, and their sums (B,)."""
    numbers = torch.rand(steps, rows, generator=generator)
    marks = torch.zeros(steps, rows)
    for half in marks.tensor_split(2):
        half.scatter_(0, torch.randint(len(half), (1, rows), generator=generator), 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(0)


def train(cell: Any, init: Any, steps: int, units: int, updates: int) -> float:
    """Trains a network; returns its mean squared error on 1,000 new sequences."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = Adder(cell, units, init)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(updates):
        x, y = sequences(steps, 64, generator)
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    x, y = sequences(steps, 1000, generator)
    with torch.no_grad():
        return (net(x) - y).square().mean().item()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the error of each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--updates", type=int, default=800)
    options = vars(parser.parse_args(arguments))
    print("mean squared error (answering 1 at all times: 0.167)")
    for name, (cell, init) in NETWORKS.items():
        print(f"{name:16} {train(cell, init, **options):.4f}")


if __name__ == "__main__":
    main()
