"""A network that reads letters, on a web page: its hidden state and what it expects, as one types.

The letters b, d and g come at random, but ba, dii and guuu always belong together. The network
learns to expect the vowels, and how many. It is trained in PyTorch, exported for WebAssembly, and
read by `letters.html`:

    python examples/letters.py build/letters     # some seconds
    python -m http.server -d build/letters       # then open http://localhost:8000

Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), 179-211.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import elman

LETTERS = "bdgaiu"
WORDS = "ba", "dii", "guuu"
PAGE = Path(__file__).with_suffix(".html")


class Reader(torch.nn.Module):
    """Gives the logits of the next letter, ``(T, B, 6)``."""

    def __init__(self, units: int = 16) -> None:
        super().__init__()
        self.rnn = elman.RNN(len(LETTERS), units)
        self.head = torch.nn.Linear(units, len(LETTERS))

    def forward(self, letters: Tensor) -> Tensor:
        return self.head(self.rnn(one_hot(letters))[0])


def one_hot(letters: Tensor) -> Tensor:
    """Letters by their numbers, as the network reads them."""
    return torch.nn.functional.one_hot(letters, len(LETTERS)).float()


def texts(count: int, words: int) -> Tensor:
    """Random texts side by side, ``(T, B)``, cut to the same length."""
    chosen = torch.randint(len(WORDS), (count, words)).tolist()
    rows = ["".join(WORDS[word] for word in row)[: 2 * words] for row in chosen]
    return torch.tensor([[LETTERS.index(letter) for letter in row] for row in rows]).T


def train(steps: int = 300) -> Reader:
    """A network that knows the words."""
    torch.manual_seed(0)
    reader = Reader()
    optimiser = torch.optim.Adam(reader.parameters(), lr=0.01)
    for _ in range(steps):
        letters = texts(32, 10)
        logits = reader(letters[:-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), letters[1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return reader


def write(reader: Reader, folder: Path) -> dict[str, Any]:
    """Writes the page, the network's layer, and its head as numbers."""
    about = elman.export(reader.rnn, folder, target="wasm32", name="letters")
    head = {name: value.tolist() for name, value in reader.head.state_dict().items()}
    (folder / "head.json").write_text(json.dumps({"letters": LETTERS, **head}), "utf-8")
    shutil.copy(PAGE, folder / "index.html")
    return about


def main() -> None:
    """Trains the network and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where the page goes")
    folder = parser.parse_args().folder
    about = write(train(), folder)
    if "missing" in about["web"]:
        raise SystemExit(f"not written: {about['web']['missing']}")
    print(f"python -m http.server -d {folder}")


if __name__ == "__main__":
    main()
