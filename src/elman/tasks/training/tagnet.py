"""What trains a tagger: a tag for each token, whose whole path is made likely."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.batches import NO_LABEL, Batch, Batches
from ..networks.crf import Lattice, best_path
from ..networks.pooling import owners
from ..networks.tagger import WithAuxiliary, span_ends
from .net import SequenceNet


class TagBatches(Batches):
    """Batches of texts whose last column of ids are tags; or, with `auxiliary`, the last but one.

    Then the targets are (N, 2): tags, and auxiliary tags.

    Losses are divided by the tokens that a batch has on average. So a token counts as much in a
    batch of short texts, of which there are few, as in one of long ones.
    """

    def __init__(self, *args: Any, auxiliary: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auxiliary = auxiliary

    def batch(self, rows: np.ndarray, rank: int, ranks: int) -> tuple[Batch, Tensor]:
        """A rank's share of the texts with these numbers, and their tags as they are packed."""
        mine = rows[rank::ranks]
        packed = self.dataset.pack(mine if len(mine) else rows[:1])
        known = -2 if self.auxiliary else -1
        ids, tags = packed.data[:, :known], packed.data[:, known:].squeeze(1)
        if not len(mine):
            tags = torch.full_like(tags, NO_LABEL)
        whole = len(rows) * float(self.dataset.lengths.mean())
        return Batch(packed._replace(data=ids), tags, len(rows), whole), tags


class TagNet(SequenceNet):
    """A net whose module gives a `Lattice`. On held-out texts it counts the spans it finds."""

    batches = TagBatches
    steepest = 0.05  # of a mean over tokens

    def __init__(
        self,
        *args: Any,
        labels: tuple[str, ...] = (),
        auxiliary_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.labels, self.auxiliary_weight = labels, auxiliary_weight

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        """That of the paths, and of the auxiliary tags where they are known."""
        lattice = y_pred.lattice if isinstance(y_pred, WithAuxiliary) else y_pred
        if y_true.ndim == 1:
            return super().get_loss(lattice, y_true, X=X, training=training)
        tags, auxiliary = y_true.unbind(1)
        loss = super().get_loss(lattice, tags, X=X, training=training)
        unknown = functional.cross_entropy(
            y_pred.auxiliary, auxiliary, reduction="sum", ignore_index=NO_LABEL
        )
        return loss + self.auxiliary_weight * unknown / self.whole(X)

    def count(self, y_pred: Lattice, y_true: Tensor, training: bool) -> dict[str, Tensor]:
        """Nothing in training; on held-out texts right tags, and the spans of the best paths."""
        if training:
            return {}
        tags = best_path(y_pred)
        known = bool((y_true >= 0).all())
        spans = count_spans(tags, y_true, y_pred.batch_sizes, self.labels) if known else (0, 0, 0)
        names = ("named", "there", "hit")
        return {
            "right": (tags == y_true).sum(),
            "tokens": torch.tensor(len(tags) if known else 0),
            **{name: torch.tensor(count) for name, count in zip(names, spans, strict=True)},
        }


def count_spans(
    tags: Tensor, truth: Tensor, batch_sizes: Tensor, labels: tuple[str, ...]
) -> tuple[int, int, int]:
    """How many spans there are in packed tags, in the true ones, and in both.

    >>> tags, truth = torch.tensor([1, 2, 3, 0]), torch.tensor([1, 2, 0, 0])  # of one text
    >>> count_spans(tags, truth, torch.ones(4, dtype=torch.int64), ("O", "B-a", "E-a", "S-a"))
    (2, 1, 1)
    """
    opening, closing = span_ends(labels)
    order = owners(batch_sizes).argsort(stable=True)  # text after text
    tags, truth = tags[order], truth[order]
    wrong = (tags != truth).cumsum(0)
    first, last = opening[truth].nonzero()[:, 0], closing[truth].nonzero()[:, 0]
    same = (tags[first] == truth[first]) & (wrong[last] == wrong[first])
    return int(opening[tags].sum()), len(first), int(same.sum())
