"""Trains on a sequence of a million steps in the memory of a few hundred: elman.windows.

The input is a row of random bits, the target the same row eight steps later. Each window of steps
begins with the states that the one before left, so nothing of the past is lost, while gradients go
back through one window.

    python examples/million_steps.py
"""

import argparse
import resource
import sys

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

import elman

DELAY, WINDOW, STRIDE = 8, 500, 400


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def train(steps: int) -> list[float]:
    """Prints and returns the loss of each tenth of the sequence."""
    torch.manual_seed(0)
    bits = torch.randint(0, 2, (steps, 1, 1)).float()
    targets = bits.roll(DELAY, 0)
    gru, head = elman.GRU(1, 32), torch.nn.Linear(32, 1)
    optimiser = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=5e-3)
    losses: list[float] = []
    sums, part = [0.0, 0], 1
    for window in elman.windows(gru, bits, WINDOW, STRIDE):
        loss = binary_cross_entropy_with_logits(head(window.output), targets[window.steps])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        sums = [sums[0] + loss.item(), sums[1] + 1]
        if window.steps.stop * 10 >= part * steps:
            losses.append(sums[0] / sums[1])
            print(f"{window.steps.stop:9,} steps: loss {losses[-1]:.4f}, peak {peak():.0f} MiB")
            sums, part = [0.0, 0], window.steps.stop * 10 // steps + 1
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    torch.set_num_threads(1)  # one row of 32 units
    train(parser.parse_args().steps)
