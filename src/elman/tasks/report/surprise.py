"""How surprising texts are to a language model: in bits, as colours, as a page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ..data.text import ONE, UNKNOWN
from ..errors import BEYOND, TaskError
from ..networks.language import LanguageRNN

BEGIN = 4096  # tokens that are read in one go, from the first on
PIECE, BEFORE = 4096, 512  # those after them: how many at a time, and how many again before them
AT_ONCE = 32  # pieces that are read side by side
PLACES = 2048  # whose probabilities are held
HIGH = 12.0  # bits that have the strongest colour
HEAD = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Surprise</title><style>
body { font: 1rem/1.6 monospace; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
p { white-space: pre-wrap; }
</style></head><body>
"""
FOOT = "</body></html>\n"


def surprises(network: LanguageRNN, ids: np.ndarray) -> np.ndarray:
    """The bits that each of `ids` but the first takes after those before it, (N - 1,).

    Of a long row, pieces are read side by side, each with some tokens before it again.
    """
    network.eval()
    found = np.empty(len(ids) - 1, np.float32)
    with torch.inference_mode():
        _read(network, ids, [0], BEGIN, 0, found)
        starts = range(BEGIN, len(found), PIECE)
        for at in range(0, len(starts), AT_ONCE):
            _read(network, ids, [*starts[at : at + AT_ONCE]], PIECE, BEFORE, found)
    if np.isnan(found).any():
        raise TaskError(BEYOND)
    return found


def _read(
    network: LanguageRNN,
    ids: np.ndarray,
    starts: Sequence[int],
    size: int,
    before: int,
    found: np.ndarray,
) -> None:
    """Fill in what pieces of a size take that begin at `starts`."""
    last = len(found)
    longest = min(size, last - starts[0]) + before
    rows = np.array(starts) - before + np.arange(longest + 1)[:, None]
    tokens = torch.from_numpy(ids[np.minimum(rows, last)].astype(np.int64))  # (T + 1, B)
    features, _ = network(tokens[:-1], network.begin())
    features, targets = features[before:], tokens[1 + before :]
    nats = [
        network.log_chances(part).gather(-1, right[..., None])[..., 0]
        for part, right in zip(
            features.split(max(1, PLACES // len(starts))),
            targets.split(max(1, PLACES // len(starts))),
            strict=True,
        )
    ]
    bits = (torch.cat(nats) / -math.log(2)).numpy()
    for column, start in enumerate(starts):
        end = min(start + size, last)
        found[start:end] = bits[: end - start, column]


@dataclass(frozen=True)
class Scores:
    """How well texts are foretold. The ends of texts are tokens, too, but no characters."""

    tokens: int
    characters: int
    unknown: int  # tokens that the model has no id for; what it says of them is "unknown"
    bits: float  # all of them together
    kind: str = "characters"

    @classmethod
    def of(cls, bits: np.ndarray, ids: np.ndarray, characters: int, kind: str) -> Scores:
        """The scores of the bits that `ids` but the first took."""
        unknown = int((ids[1:] == UNKNOWN).sum())
        return cls(len(bits), characters, unknown, float(bits.sum(dtype=np.float64)), kind)

    @property
    def bits_per_character(self) -> float:
        """Of the texts, whatever the tokens are."""
        return self.bits / self.characters

    @property
    def bits_per_token(self) -> float:
        """The mean over the tokens."""
        return self.bits / self.tokens

    @property
    def perplexity(self) -> float:
        """Of a token."""
        return float(2.0 ** min(self.bits_per_token, 1000.0))

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        names = ("tokens", "characters", "unknown")
        more = ("bits_per_character", "bits_per_token", "perplexity")
        return {name: getattr(self, name) for name in (*names, *more)}

    def words(self) -> str:
        """All of it in a line."""
        a_token = ""
        if self.kind != "characters":
            a_token = f"{self.bits_per_token:.3f} bits a {ONE[self.kind]}, "
        unknown = f"; {self.unknown:,} are unknown" if self.unknown else ""
        return (
            f"{self.bits_per_character:.3f} bits a character, {a_token}perplexity "
            f"{self.perplexity:,.2f} on {self.tokens:,} {self.kind}{unknown}"
        )


@dataclass(frozen=True)
class Surprise:
    """The tokens of a text, and the bits that each takes after those before it."""

    tokens: list[Any]
    bits: np.ndarray
    characters: int

    def texts(self) -> list[str]:
        """The tokens as they can be shown: bytes that are no ASCII in hexadecimal."""
        return [
            one if isinstance(one, str) else chr(one) if one < 128 else f"<{one:02x}>"
            for one in self.tokens
        ]

    def show(self, console: Console) -> None:
        """Print the text: the more surprising a token, the stronger its colour."""
        text = Text()
        for token, bits in zip(self.texts(), self.bits.tolist(), strict=True):
            text.append(token, Style(color="black", bgcolor=Color.from_rgb(*_colour(bits))))
        console.print(text)

    def as_html(self) -> str:
        """A paragraph in the same colours; a pointer shows the bits.

        >>> Surprise(["<"], np.array([12.0]), 1).as_html()
        '<p><span style="background: rgb(255,110,80)" title="12.0 bits">&lt;</span></p>'
        """
        spans = [
            f'<span style="background: rgb({",".join(map(str, _colour(bits)))})" '
            f'title="{bits:.1f} bits">{html.escape(token)}</span>'
            for token, bits in zip(self.texts(), self.bits.tolist(), strict=True)
        ]
        return f"<p>{''.join(spans)}</p>"


def _colour(bits: float) -> tuple[int, int, int]:
    """From white for what was certain to red for what nobody expected."""
    share = min(1.0, max(0.0, bits / HIGH))
    red, green, blue = ((255, 255), (255, 110), (255, 80))
    return tuple(round(a + (b - a) * share) for a, b in (red, green, blue))  # type: ignore[return-value]
