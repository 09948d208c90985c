"""The hidden states of a model while it reads a text: as numbers, on the terminal, as a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ..models.base import TrainedModel
from ..networks.ensemble import first_of

SHOWN = 16  # units on the terminal: those that change most
BLUE, WHITE, RED = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]])


@dataclass(frozen=True)
class States:
    """What a text's tokens make of the last recurrent layer, and what comes of it."""

    tokens: list[str]  # (T,), as they can be shown
    values: np.ndarray  # (T, units), those of the reverse direction last
    forward: int  # how many units read forward
    answer: Any  # what the model says of the text

    @property
    def largest(self) -> float:
        """The largest absolute value of all states."""
        return float(np.abs(self.values).max())

    def name(self, unit: int) -> str:
        """A unit by its direction and number."""
        forward = unit < self.forward
        return f">{unit}" if forward else f"<{unit - self.forward}"


def read_states(model: TrainedModel, text: str) -> States:
    """Let the model read a text, and look on; of several networks at the first."""
    network, seen = first_of(model.network), []
    hook = network.rnn.register_forward_hook(lambda *call: seen.append(call[-1][0].data))
    try:
        tokens, answer = model.look(text)
    finally:
        hook.remove()
    values = seen[0].detach().float().cpu().flatten(0, -2).numpy()
    return States(list(map(_shown, tokens)), values, network.forward_size, answer)


def _shown(token: str | int) -> str:
    """A token as it takes at least one column: a byte that is no character in hexadecimal."""
    if isinstance(token, int):
        return chr(token) if 32 < token < 127 else f"{token:02x}"
    return token if token.isprintable() and cell_len(token) and token != " " else "·"


def show_states(states: States, console: Console) -> None:
    """Print the units that change most, two a line, over the tokens.

    Each half of a cell has the colour of one unit: blue below zero, red above. Where the console
    has no colours, each unit has a line of digits instead: 0 for the lowest value, 9 for the
    highest. Texts wider than the console are continued below.
    """
    units = np.sort(np.argsort(-states.values.std(0), kind="stable")[:SHOWN])
    colours = console.color_system is not None and not console.no_color  # NO_COLOR
    groups = units.reshape(-1, 2) if colours and len(units) % 2 == 0 else units[:, None]
    margin = 2 + max(cell_len(_label(states, group)) for group in groups)
    scale = states.largest or 1.0
    what = "blue to red" if colours else "0 to 9"
    console.print(
        f"{len(units)} of {states.values.shape[1]} units, {what}: {-scale:.2f} to {scale:.2f}; "
        "> reads forward, < backward"
    )
    for begin, end in _lines(states.tokens, max(console.width - margin, 2)):
        console.print()
        console.print(Text(" " * margin + "".join(states.tokens[begin:end])))
        for group in groups:
            line = Text(_label(states, group).ljust(margin))
            for token, values in zip(
                states.tokens[begin:end], states.values[begin:end, group] / scale, strict=True
            ):
                width = cell_len(token)
                if colours:
                    top, *below = map(_colour, values)
                    line.append("▀" * width, Style(color=top, bgcolor=below[0] if below else None))
                else:
                    line.append(str(round(float(values[0]) * 4.5 + 4.5)).ljust(width))
            console.print(line)


def _label(states: States, group: np.ndarray) -> str:
    return " ".join(map(states.name, group.tolist()))


def _lines(tokens: list[str], width: int) -> Iterator[tuple[int, int]]:
    """Where to cut the tokens into lines of at most `width` columns; a wider token has its own."""
    begin = used = 0
    for number, token in enumerate(tokens):
        if used + cell_len(token) > width and number > begin:
            yield begin, number
            begin, used = number, 0
        used += cell_len(token)
    yield begin, len(tokens)


def _colour(value: float) -> Color:
    """Of a value between -1 and 1."""
    end = RED if value > 0 else BLUE
    return Color.from_rgb(*(WHITE + (end - WHITE) * abs(float(value))))


def draw_states(states: States, axes: Any, tokens: Sequence[str]) -> None:
    """All units over the tokens as they can be shown, on matplotlib's axes."""
    scale = states.largest or 1.0
    image = axes.imshow(
        states.values.T, cmap="RdBu_r", vmin=-scale, vmax=scale, aspect="auto", interpolation="none"
    )
    axes.figure.colorbar(image, label="hidden state", pad=0.01)
    axes.set_title("Hidden states of the last layer, token after token")
    axes.set_xticks(range(len(tokens)), tokens)
    axes.set_ylabel("unit")
    if states.forward < states.values.shape[1]:
        axes.axhline(states.forward - 0.5, color="black", linewidth=0.8)
        axes.set_ylabel("unit (below the line: the reverse direction)")
