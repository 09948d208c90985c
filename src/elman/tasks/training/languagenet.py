"""What trains a language model: windows that follow one another, and states that are carried on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ..data.plain import Tokens
from ..data.text import ONE
from ..networks.language import detached
from .averaging import AveragingNet
from .ranks import ranks

JITTER = 4  # the end of a window is moved by up to this part of it


class Window:
    """The input of one step: tokens (T, b) of this rank's streams.

    `streams` says which of all `of` streams those are, `begins` whether they begin anew. The length
    is how many tokens all ranks foretell together.
    """

    def __init__(self, tokens: Tensor, streams: slice, of: int, begins: bool) -> None:
        self.tokens, self.streams, self.of, self.begins = tokens, streams, of, begins
        self.whole = len(self)

    def __len__(self) -> int:
        return len(self.tokens) * self.of


class Windows:
    """Cuts a row of tokens into `batch_size` streams, and these into windows of about `window`.

    With `shuffle` the ends of the windows are moved at random, so that not always the same tokens
    come first. They follow from the seed and the number of the epoch alone.
    """

    def __init__(
        self,
        dataset: Tokens,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        window: int = 64,
    ) -> None:
        self.dataset, self.shuffle, self.seed, self.window = dataset, shuffle, seed, window
        self.batch_size = max(1, min(batch_size, len(dataset)))
        self.steps = len(dataset) // self.batch_size  # of a stream; a rest of tokens isn't read

    def __len__(self) -> int:
        return math.ceil(self.steps / self.window)

    def __iter__(self) -> Iterator[tuple[Window, Tensor]]:
        return self.epoch()

    def epoch(
        self, number: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[Window, Tensor]]:
        """An epoch's windows from the one numbered `start` on, and the tokens after each one's.

        Of `ranks` processes each gets every `ranks`-th stream. Where there are too few, a rank
        reads one of them without anything to foretell.
        """
        ends = np.linspace(0, self.steps, len(self) + 1).round().astype(np.int64)
        if self.shuffle and len(ends) > 2:
            most = self.window // JITTER
            generator = np.random.default_rng([self.seed, number])
            ends[1:-1] += generator.integers(-most, most + 1, len(ends) - 2)
            ends[1:-1] = np.clip(np.sort(ends[1:-1]), 1, self.steps - 1)
        begins = np.arange(self.batch_size)[rank::ranks] * self.steps
        idle = not len(begins)
        for at, end in zip(ends[start:-1].tolist(), ends[start + 1 :].tolist(), strict=True):
            rows = np.arange(at, end + 1)[:, None] + (np.array([0]) if idle else begins)
            ids = torch.from_numpy(self.dataset.ids[rows].astype(np.int64))
            targets = torch.full_like(ids[1:], -1) if idle else ids[1:]
            streams = slice(0, 0) if idle else slice(rank, None, ranks)
            yield Window(ids[:-1], streams, self.batch_size, begins=at == 0), targets


class LanguageNet(AveragingNet):
    """A net whose module reads windows, each with the states that the one before has left.

    `narrow` lets products be of bfloat16.
    """

    batches = Windows
    steepest = 1.0
    warm_up = 0.1

    def __init__(
        self,
        *args: Any,
        narrow: bool = False,
        tokens: str = "characters",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.narrow, self.tokens = narrow, tokens
        self._states: Any = None  # of held-out text

    @property
    def unit(self) -> str:
        """What is counted in a second."""
        return self.tokens

    # -- a step

    def infer(self, x: Window, **_: Any) -> Tensor:
        """Features of this rank's streams; the states after them are kept."""
        training = torch.is_grad_enabled()
        module = self.judged(training)
        if x.begins:
            before = module.begin()
        else:
            before = self._carried(x.streams) if training else self._states
        with torch.autocast("cpu", torch.bfloat16, enabled=self.narrow):
            features, after = module(x.tokens, before)
        if training:
            self._carry(detached(after), x)
        else:
            self._states = after
        return features

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        """What this rank's part adds to the mean over the tokens."""
        dtype = torch.bfloat16 if self.narrow else torch.float32
        return self.judged(training).loss(y_pred, y_true, dtype) / X.whole

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """The loss on held-out text, in bits."""
        return f"{epoch['valid_loss'] / math.log(2):.3f} bits a {ONE[self.tokens]}"

    # -- states

    def _carry(self, states: Any, window: Window) -> None:
        """Keep the states of all ranks' streams; `add_up` brings those of the others."""
        self.kept_, self.exchanged_ = {}, []
        for layer, state in enumerate(states):
            for number, value in enumerate(tree_leaves(state)):
                whole = value.float()
                if ranks() > 1:
                    whole = whole.new_zeros(1, window.of, value.shape[2])
                    whole[:, window.streams] = value
                    self.exchanged_.append(whole)
                self.kept_[f"{layer:03}.{number}"] = whole

    def _carried(self, streams: slice) -> Any:
        """The states of this rank's streams, in the form in which the layers take them."""
        layers: dict[str, list[Tensor]] = {}
        for name, value in sorted(self.kept_.items()):  # a checkpoint gives them in any order
            mine = value[:, streams if streams != slice(0, 0) else slice(0, 1)]
            layers.setdefault(name.partition(".")[0], []).append(mine.contiguous())
        return tuple(mine[0] if len(mine) == 1 else tuple(mine) for mine in layers.values())
