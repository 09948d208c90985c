"""Pictures of learn/language-models.md."""

import math
import random

import torch
from matplotlib.figure import Figure

import elman

from . import style

SPOKEN = "sì", "shí", "shì", ","  # four, ten, is
NUMBERS = (0,), (1,), (1, 0), (0, 1), (0, 1, 0)
SHOWN = slice(4, 32)  # after the first sentence


def tell(count: int, seed: int) -> torch.Tensor:
    """Numbers drawn at random, each of them repeated, as places in `SPOKEN`."""
    chosen = random.Random(seed).choices(NUMBERS, k=count)
    return torch.tensor([one for number in chosen for one in (*number, 2, *number, 3)])


def one_hot(steps: torch.Tensor) -> torch.Tensor:
    """Vectors, (..., 4)."""
    return torch.nn.functional.one_hot(steps, 4).float()


def learned(steps: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """The logarithms of the probabilities that a GRU gives after each new step."""
    torch.manual_seed(0)
    gru, head = elman.GRU(4, 32), torch.nn.Linear(32, 4)
    optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.01)
    length = (len(steps) - 1) // 20
    inputs = steps[: 20 * length].view(20, length).T
    targets = steps[1 : 20 * length + 1].view(20, length).T
    for _ in range(5):
        for window in elman.windows(gru, one_hot(inputs), size=25):
            logits, right = head(window.output), targets[window.steps]
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), right.flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        return head(gru(one_hot(new))[0]).log_softmax(1)


def surprise() -> Figure:
    """How surprised two models are at each character of an unseen text."""
    steps, new = tell(2000, seed=0), tell(500, seed=1)
    pairs = one_hot(steps[:-1]).T @ one_hot(steps[1:])
    models = {
        "pairs": (pairs / pairs.sum(1, keepdim=True)).log()[new],
        "GRU": learned(steps, new),
    }
    figure, rows = style.axes(rows=2, width=7.5, height=3.4)
    shown = new[SHOWN]
    for axes, (name, chances), color in zip(rows, models.items(), style.LINES, strict=False):
        bits = -chances[:-1].gather(1, new[1:, None])[:, 0] / math.log(2)
        axes.bar(range(len(shown)), bits[SHOWN.start - 1 : SHOWN.stop - 1].tolist(), color=color)
        axes.set(ylim=(0, 3), ylabel="bits", xlim=(-0.6, len(shown) - 0.4))
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xticks(range(len(shown)), [SPOKEN[one] for one in shown], fontsize=8)
        axes.tick_params(axis="x", length=0)
    return figure
