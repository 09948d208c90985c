"""From packed tags to the spans they stand for."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..networks.crf import Chances
from ..networks.pooling import owners
from ..networks.tagger import span_ends


def cut(
    tags: Tensor, chance: Chances | None, batch_sizes: Tensor, labels: Sequence[str]
) -> Iterator[tuple[int, int, int, str, float]]:
    """(text, start, end, label, probability) of each span, text after text.

    Texts are counted as they are packed, longest first. Without chances they are taken as 1.

    >>> import torch
    >>> list(cut(torch.tensor([1, 3, 2]), None, torch.tensor([2, 1]), ["O", "B-a", "E-a", "S-a"]))
    [(0, 0, 2, 'a', 1.0), (1, 0, 1, 'a', 1.0)]
    """
    owner = owners(batch_sizes)
    order = owner.argsort(stable=True)  # text after text
    lengths = torch.bincount(owner)
    begins = lengths.cumsum(0) - lengths
    opening, closing = span_ends(labels)
    row = tags[order]
    first, last = opening[row].nonzero()[:, 0], closing[row].nonzero()[:, 0]
    text = owner[order][first]
    scores = torch.ones(len(first))
    if chance is not None:
        after = chance.after[order].double().cumsum(0)
        scores = (chance.alone[order][first] + after[last] - after[first]).exp()
        scores = scores.clamp(max=1.0).nan_to_num(0.0)
    spans = (text, first - begins[text], last - begins[text] + 1, row[first], scores)
    for one, start, end, tag, score in zip(*(values.tolist() for values in spans), strict=True):
        yield one, start, end, labels[tag][2:], score
