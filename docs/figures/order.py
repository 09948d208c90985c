"""Pictures of learn/order.md."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

import elman

from . import style

CHARACTERS = "我爱你"
SOUNDS = {"我": "wǒ", "爱": "ài", "你": "nǐ"}  # the fonts of a build may have no Chinese letters


def states(text: str) -> Tensor:
    """The hidden states of the page's network after every character, ``(T, H)``."""
    torch.manual_seed(0)
    rnn = elman.RNN(input_size=3, hidden_size=4)
    with torch.no_grad():
        return rnn(torch.eye(3)[[CHARACTERS.index(character) for character in text]])[0]


def two_sentences() -> Figure:
    """The hidden states over both sentences, as numbers on colours."""
    figure, axes = style.axes(2, 1, 5.0, 4.2)
    for each, text in zip(axes, [CHARACTERS, CHARACTERS[::-1]], strict=True):
        style.heat(each, states(text).T)
        each.set_xticks(range(3), [f"$x_{t}$: {SOUNDS[c]}" for t, c in enumerate(text, 1)])
        each.set_yticks([])
        each.set_title(" ".join(SOUNDS[c] for c in text), fontsize=10)
    return figure
