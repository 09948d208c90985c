"""What all contestants are given: a layer, its sizes, a mode, and the same numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MODES = ("inference", "training")

#: Gates, states, and learned vectors besides the biases.
LAYERS = {
    "RNN": (1, 1, 0),
    "GRU": (3, 1, 0),
    "LSTM": (4, 2, 0),
    "Leaky": (1, 1, 0),
    "LightGRU": (2, 1, 0),
    "PeepholeLSTM": (4, 2, 3),
}


class Task(NamedTuple):
    """``T`` steps of ``B`` rows with ``I`` features through layers of ``H`` units.

    *Inference* is one forward pass without gradients. *Training* is a forward pass and, for a given
    gradient of the output, the gradients of all parameters; the input needs none. Inference of one
    step is *streaming*: it takes the states and gives the new ones, which its next call takes.
    """

    layer: str
    T: int
    B: int
    I: int  # noqa: E741 - the letter that all docstrings use for the input's features
    H: int
    num_layers: int = 1
    bidirectional: bool = False
    mode: str = "inference"
    threads: int = 1

    @property
    def sizes(self) -> str:
        """``T, B, I, H``, and how many layers and directions if there are several.

        >>> Task("LSTM", 40, 50, 200, 100, 2, True).sizes
        '40, 50, 200, 100 x2 two ways'
        """
        found = f"{self.T}, {self.B}, {self.I}, {self.H}"
        found += f" x{self.num_layers}" if self.num_layers > 1 else ""
        return found + (" two ways" if self.bidirectional else "")

    @property
    def gates(self) -> int:
        return LAYERS[self.layer][0]

    @property
    def states_of_a_step(self) -> int:
        return LAYERS[self.layer][1]

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def streaming(self) -> bool:
        return self.T == 1 and self.mode == "inference"

    def input_size(self, layer: int) -> int:
        """Features that a layer of the stack reads."""
        return self.H * self.directions if layer else self.I

    def parameters(self) -> dict[str, np.ndarray]:
        """By torch.nn's names, in its layout and order."""
        generator, G, H = np.random.default_rng(0), self.gates, self.H
        bound, found = H**-0.5, {}
        for layer in range(self.num_layers):
            for end in ("", "_reverse")[: self.directions]:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (G * H, self.input_size(layer)),
                    "weight_hh": (G * H, H),
                    "bias_ih": (G * H,),
                    "bias_hh": (G * H,),
                }
                shapes |= {f"vector{i}": (H,) for i in range(LAYERS[self.layer][2])}
                for name, shape in shapes.items():
                    drawn = generator.uniform(-bound, bound, shape)
                    found[f"{name}_l{layer}{end}"] = drawn.astype(np.float32)
        return found

    def input(self) -> np.ndarray:
        """``(T, B, I)``."""
        return _normal(1, (self.T, self.B, self.I))

    def gradient(self) -> np.ndarray:
        """That of the output, ``(T, B, H)`` or twice as wide."""
        return _normal(2, (self.T, self.B, self.H * self.directions))

    def states(self) -> list[np.ndarray]:
        """Where a streaming task begins, ``(layers and directions, B, H)`` each; else nothing."""
        shape = (self.num_layers * self.directions, self.B, self.H)
        count = self.states_of_a_step if self.streaming else 0
        return [np.tanh(_normal(3 + i, shape)) for i in range(count)]


def _normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
