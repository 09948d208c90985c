"""The steps of an epoch: which texts form a batch, in which order, and which rank reads them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from .text import Ragged

NO_LABEL = -100  # what torch's losses ignore


class Batch:
    """The input of one step: `packed` for the model, and what a net needs of the whole batch.

    `targets` are the labels of all ranks' texts, and the length is their number. The sum of the
    losses is divided by `whole`, by default that number. `scores` are what is known of this rank's
    texts beside their ids.
    """

    def __init__(
        self,
        packed: PackedSequence,
        targets: torch.Tensor,
        texts: int | None = None,
        whole: float | None = None,
        scores: torch.Tensor | None = None,
    ) -> None:
        self.packed, self.targets, self.scores = packed, targets, scores
        self.texts = len(targets) if texts is None else texts
        self.whole = self.texts if whole is None else whole

    def __len__(self) -> int:
        return self.texts


class Batches:
    """Cuts a `Ragged` set into batches, with `shuffle` of texts of similar length.

    Rows are then sorted by length with some noise, cut into batches, and the batches shuffled.
    The order follows from the seed and the number of the epoch alone. Without `shuffle` rows come
    in their order.
    """

    def __init__(
        self, dataset: Ragged, batch_size: int, shuffle: bool = False, seed: int = 0
    ) -> None:
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.seed = seed

    def __len__(self) -> int:
        return (len(self.dataset) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Batch, torch.Tensor]]:
        return self.epoch()

    def epoch(
        self, number: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[Batch, torch.Tensor]]:
        """An epoch's batches from the one numbered `start` on, and the labels of their texts.

        Of `ranks` processes each gets every `ranks`-th text of a batch. Where there are too few
        texts, a rank reads one of them without its label.
        """
        order = np.arange(len(self.dataset))
        cuts = order[:: self.batch_size]
        if self.shuffle:
            generator = np.random.default_rng([self.seed, number])
            noise = generator.uniform(0.9, 1.1, len(self.dataset))
            order = np.argsort(self.dataset.lengths * noise, kind="stable")
            cuts = generator.permutation(cuts)
        for cut in cuts[start:]:
            yield self.batch(order[cut : cut + self.batch_size], rank, ranks)

    def batch(self, rows: np.ndarray, rank: int, ranks: int) -> tuple[Batch, torch.Tensor]:
        """A rank's share of the texts with these numbers, and its labels."""
        targets = torch.from_numpy(self.dataset.targets[rows])
        mine, labels = rows[rank::ranks], targets[rank::ranks]
        if not len(mine):
            mine, labels = rows[:1], torch.tensor([NO_LABEL])
        scores = self.dataset.scores
        known = None if scores is None else torch.from_numpy(scores[mine])
        return Batch(self.dataset.pack(mine), targets, scores=known), labels
