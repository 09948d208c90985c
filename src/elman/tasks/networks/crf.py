"""A conditional random field over a row of tags: its likelihood, its best path, its chances.

The forward recursion is a cell of elman's: one step multiplies the sums over all paths so far by
the transitions and weighs them by the new token's scores. The same cell in both directions gives
the probabilities of spans. Everything is packed: (N, ...) rows, longest text first.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence

import elman

from .pooling import owners

SMALL = 32  # tags that are all looked at together
FEW = 4  # edges of a tag that are looked at one by one
LOWEST = -30.0  # of a token's scores below its highest: what is less likely adds nothing


class PathSums(elman.Cell):
    """The sums over all paths that end with each tag, and the logarithm of what they are scaled by.

    ``v_t = e_t * (W h_{t-1})``, ``h_t = v_t / mean(v_t)``, ``log_t = log_{t-1} + log(mean(v_t))``,
    with e the exponentials of the scores and W those of the transitions.
    """

    gates = ("tag",)
    states = ("h", "log")
    inputs = ("score",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        sums = self.input("score") * u.tag
        scale = elman.mean(sums)
        return sums / scale, s.log + elman.log(scale)


@lru_cache(maxsize=16)
def _path_sums(units: int, bidirectional: bool = False) -> elman.Recurrent:
    """The layer, without weights: they are given with each call."""
    return elman.Recurrent(
        PathSums(), 1, units, bias=False, bidirectional=bidirectional, device="meta"
    )


class Lattice(NamedTuple):
    """The scores of all paths through some texts: those of L tags, and of the edges between them.

    The last row of `transitions` are the scores of a text's last tag, the last column those of its
    first. What may not be is minus infinity.
    """

    scores: Tensor  # (N, L)
    batch_sizes: Tensor  # (T,)
    transitions: Tensor  # (L + 1, L + 1), from column to row


def previous(batch_sizes: Tensor, steps: int = 1) -> Tensor:
    """For each row of packed data that of the same text so many steps before, (N,), or N if none.

    >>> previous(torch.tensor([2, 2, 1])).tolist(), previous(torch.tensor([2, 2, 1]), -1).tolist()
    ([5, 5, 0, 1, 2], [2, 3, 4, 5, 5])
    """
    owner = owners(batch_sizes)
    begin = batch_sizes.cumsum(0) - batch_sizes
    time = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes) - steps
    there = (time >= 0) & (time < len(batch_sizes))
    time = time.clamp(0, len(batch_sizes) - 1)
    there &= owner < batch_sizes[time]
    return torch.where(there, begin[time] + owner, len(owner))


def last_rows(batch_sizes: Tensor) -> Tensor:
    """The last row of each text, (B,).

    >>> last_rows(torch.tensor([2, 2, 1])).tolist()
    [4, 3]
    """
    lengths = torch.bincount(owners(batch_sizes))
    begin = batch_sizes.cumsum(0) - batch_sizes
    return begin[lengths - 1] + torch.arange(len(lengths))


def _sums(lattice: Lattice, both: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sums at each step, those at the end, and what both are scaled by, as logarithms; W."""
    scores, sizes, transitions = lattice
    N, L = scores.shape
    B, ways = int(sizes[0]), 1 + both
    highest = scores.detach().amax(1, keepdim=True)
    weighed = torch.cat([(scores - highest).clamp(min=LOWEST).exp(), scores.new_zeros(N, 1)], 1)
    weights = transitions.exp()
    begin = scores.new_zeros(ways, B, L + 1)
    begin[..., L] = 1.0
    named = {"weight_hh_l0": weights}
    if both:
        named["weight_hh_l0_reverse"] = weights.t().contiguous()
    hx = (begin, torch.zeros_like(begin))
    sums, (end, log) = functional_call(
        _path_sums(L + 1, both),
        named,
        (PackedSequence(scores.new_zeros(N, 1), sizes), hx),
        {"inputs": {"score": PackedSequence(weighed, sizes)}},
    )
    return sums.data, end[0] @ weights[L], log[0, :, 0].sum() + highest.sum(), weights


def log_likelihood(lattice: Lattice, tags: Tensor) -> Tensor:
    """The logarithm of the probability of the given paths together, whose tags are (N,)."""
    scores, sizes, transitions = lattice
    L = scores.shape[1]
    before = torch.cat([tags, tags.new_tensor([L])])[previous(sizes)]
    path = scores.gather(1, tags[:, None]).sum() + transitions[tags, before].sum()
    path = path + transitions[L, tags[last_rows(sizes)]].sum()
    _, end, log, _ = _sums(lattice)
    return path - (log + end.log().sum())


class PathLoss(nn.Module):
    """What of a batch's tags is not yet known: minus their log-likelihood, summed up.

    A batch of texts without tags, which a rank may get, counts nothing.
    """

    def forward(self, lattice: Lattice, tags: Tensor) -> Tensor:
        if bool(tags[0] < 0):
            return lattice.scores.sum() * 0.0 + lattice.transitions.nan_to_num(neginf=0).sum() * 0.0
        return -log_likelihood(lattice, tags)


class _Edges(NamedTuple):
    """What tags (rows) may come after which tags (columns), all of a group together."""

    rows: Tensor  # (R,)
    columns: Tensor | None  # (C,): of any row; None: all; or (C, R): of each row its own
    scores: Tensor  # (R, C), or (C, R) where each row has its own

    def best(self, before: Tensor) -> Tensor:
        """The best score of each row, (B, R), after paths (B, L) that end with each column."""
        if self.columns is None:
            return (before[:, None] + self.scores).amax(2)
        # Not `before[:, columns]`, which takes four times as long.
        there = before.index_select(1, self.columns.flatten())
        if self.columns.ndim == 1:
            return (there[:, None] + self.scores).amax(2)
        return (there.view(-1, *self.columns.shape) + self.scores).amax(1)


def _grouped(transitions: Tensor) -> list[_Edges]:
    """The edges (L, L) that there are: tags inside spans have few, and those are cheap."""
    every = torch.arange(len(transitions))
    if len(transitions) <= SMALL:
        return [_Edges(every, None, transitions)]
    there = transitions > -math.inf
    few = there.sum(1) <= FEW
    inside, others = every[few], every[~few]
    columns = there[others].any(0).nonzero()[:, 0]
    most = max(1, int(there[inside].sum(1).amax())) if len(inside) else 1
    scores, own = transitions[inside].topk(most, 1)
    groups = [
        _Edges(inside, own.t(), scores.t().contiguous()),
        _Edges(others, columns, transitions[others][:, columns].contiguous()),
    ]
    return [group for group in groups if group.scores.numel()]


def best_path(lattice: Lattice) -> Tensor:
    """The likeliest tags, (N,) (Viterbi)."""
    scores, sizes, transitions = lattice
    L = scores.shape[1]
    counts, inner = sizes.tolist(), transitions[:L, :L].contiguous()
    groups, steps = _grouped(inner), scores.split(counts)
    order = torch.cat([group.rows for group in groups]).argsort()
    best = [steps[0] + transitions[:L, L]]  # (B, L): of the paths that end with each tag
    for count, now in zip(counts[1:], steps[1:], strict=True):
        before = best[-1][:count]
        top = torch.cat([edges.best(before) for edges in groups], 1)
        best.append(top.index_select(1, order).add_(now))
    # Back from the end: of each path alone it is asked where it came from.
    to_end, tags = transitions[L, :L], [scores.new_empty(0, dtype=torch.int64)]
    for at, count in zip(range(len(best) - 1, -1, -1), reversed(counts), strict=True):
        after = len(tags[-1])
        going = (best[at][:after] + inner.index_select(0, tags[-1])).argmax(1)
        if after < count:  # texts that end here
            going = torch.cat([going, (best[at][after:count] + to_end).argmax(1)])
        tags.append(going)
    return torch.cat(tags[:0:-1])


class Chances(NamedTuple):
    """Logarithms of the probabilities of given tags."""

    alone: Tensor  # (N,): of each tag, whatever the others are
    after: Tensor  # (N,): of each tag, given the one before


def chances(lattice: Lattice, tags: Tensor) -> Chances:
    """How likely given tags (N,) are: `alone` at a span's first token and `after` at the others
    add up to the logarithm of the span's probability."""
    L, sizes = lattice.scores.shape[1], lattice.batch_sizes
    sums, _, _, weights = _sums(lattice, both=True)
    until, since = sums.chunk(2, 1)  # `since` counts the token's own scores, too
    end = since.new_zeros(1, L + 1)
    end[0, L] = 1.0
    # What may come after each tag, of which the next step's sums in reverse know.
    ahead = torch.cat([since, end])[previous(sizes, -1)] @ weights
    together = until * ahead
    at = tags[:, None]
    alone = together.gather(1, at)[:, 0] / together.sum(1)
    before = previous(sizes)
    tag_before = torch.cat([tags, tags.new_tensor([L])])[before]
    ahead_before = torch.cat([ahead.gather(1, at)[:, 0], ahead.new_ones(1)])[before]
    after = weights[tags, tag_before] * since.gather(1, at)[:, 0] / ahead_before
    return Chances(alone.log(), after.log())


def masked(transitions: Tensor, legal: Tensor) -> Tensor:
    """The transitions, with minus infinity where they may not be."""
    return transitions.masked_fill(~legal, -math.inf)
