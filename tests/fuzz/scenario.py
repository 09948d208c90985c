"""A scenario: all that decides one use of a layer, from its sizes to what is done to its results.

Its ``repr`` names what differs from the defaults, and is the code that makes it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from elman.compiler import isa
from tests.nn import kinds
from tests.nn.changes import CHANGES

KINDS = {kind.name: kind for kind in kinds.KINDS if not kind.proj_size}
NONLINEAR = ("RNN", "RNNCell")  # they have a choice of activations


class Layout(NamedTuple):
    """A way to lie in memory: a tensor of some shape as a view of another that is contiguous."""

    base: Callable[[tuple[int, ...]], tuple[int, ...]]
    view: Callable[[Tensor, tuple[int, ...]], Tensor]


def _odd_strides(base: Tensor, shape: tuple[int, ...]) -> Tensor:
    pairs = zip(shape, base.stride(), strict=True)
    return base.as_strided(shape, [1234567 if n == 1 else k for n, k in pairs])


LAYOUTS = {
    "plain": Layout(lambda s: s, lambda b, s: b),
    "transposed": Layout(lambda s: s[::-1], lambda b, s: b.permute(*reversed(range(len(s))))),
    "first expanded": Layout(lambda s: (1, *s[1:]), lambda b, s: b.expand(s)),
    "rows expanded": Layout(lambda s: (*s[:-2], *(1, s[-1])[-len(s) :]), lambda b, s: b.expand(s)),
    "features expanded": Layout(lambda s: (*s[:-1], 1), lambda b, s: b.expand(s)),
    "every second": Layout(lambda s: (*s[:-1], 2 * s[-1]), lambda b, s: b[..., ::2]),
    "offset": Layout(lambda s: (*s[:-1], 1 + s[-1]), lambda b, s: b[..., 1:]),
    "odd strides": Layout(lambda s: s, _odd_strides),
    "negative": Layout(lambda s: s, lambda b, s: torch._neg_view(b)),
}

#: What can be wrong with an argument: another shape, or another dtype.
FAULTS: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "wider": lambda s: (*s[:-1], s[-1] + 1),
    "one wide": lambda s: (*s[:-1], 1),
    "more rows": lambda s: (*s[:-2], *(s[-2] + 1, s[-1])[-len(s) :]) if len(s) > 1 else s,
    "one row": lambda s: (*s[:-2], *(1, s[-1])[-len(s) :]),
    "longer": lambda s: (s[0] + 1, *s[1:]),
    "empty": lambda s: (0, *s[1:]),
    "flat": lambda s: s[1:],
    "deep": lambda s: (1, *s),
    "other dtype": lambda s: s,
    "integers": lambda s: s,
}
#: What is done to the weights before the call. A step of training might let relu grow too large.
WEIGHTS = [
    *("own", "shared", "functional", "functional negative", "copied", "pickled"),
    *(change for change in CHANGES if change != "optimizer"),
]
#: "burn-in" is no_grad in all calls but the last; "inference tensors" are arguments made so.
MODES = ("grad", "no_grad", "inference", "inference tensors", "burn-in")
BACKWARD = ("once", "twice", "of its gradient")
LOSSES = ("weighted", "sum", "last", "negative", "transposed")


@dataclass(frozen=True, repr=False)
class Scenario:
    """One use of a layer or cell. Numbers follow from ``seed``.

    ``frozen`` names the tensors without a gradient, "input", "h", "c" and parameters; ``used``
    the results that the loss is made of, ``changed`` those that are changed in place before.
    """

    kind: str = "RNN"
    nonlinearity: str = "tanh"
    I: int = 3  # noqa: E741
    H: int = 5
    T: int = 4
    B: int = 3
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    training: bool = True
    batched: bool = True
    lengths: tuple[int, ...] | None = None  # a PackedSequence of them, in place of T and B
    enforce_sorted: bool = False
    resets: float = 0.0  # how often rows of a padded batch begin anew
    short: bool = False  # some of these rows end early
    dtype: str = "float64"
    input: str = "plain"
    states: str | None = None
    leaves: bool = True  # the arguments are leaves, not views of leaves
    fault: tuple[str, str] | None = None  # of "input", "h" or "c", what is wrong with it
    weights: str = "own"
    frozen: tuple[str, ...] = ()
    mode: str = "grad"
    calls: int = 1  # each takes the states that the one before has returned
    used: tuple[str, ...] = ("output", "h", "c")
    loss: str = "weighted"
    changed: tuple[str, ...] = ()
    backward: str = "once"
    threads: int = 1
    isa: str | None = None
    seed: int = 0

    def __repr__(self) -> str:
        parts = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]
        return f"Scenario({', '.join(f'{n}={v!r}' for n, v, default in parts if v != default)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # as Hypothesis shows it

    @property
    def single(self) -> bool:
        """Whether it is a cell."""
        return KINDS[self.kind].single

    @property
    def marked(self) -> bool:
        """Whether it is given ``lengths`` and ``reset``."""
        return bool(self.resets or self.short)

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("h", "c")[: KINDS[self.kind].states]

    @property
    def results(self) -> tuple[str, ...]:
        """The names of what a call returns."""
        return self.state_names if self.single else ("output", *self.state_names)

    def module(self, nn: Any, **options: Any) -> torch.nn.Module:
        """The module, from the namespace of torch.nn or elman."""
        if self.kind in NONLINEAR:
            options["nonlinearity"] = self.nonlinearity
        if not self.single:
            options |= {
                "num_layers": self.layers,
                "bidirectional": self.bidirectional,
                "batch_first": self.batch_first,
                "dropout": self.dropout,
            }
        return getattr(nn, self.kind)(self.I, self.H, bias=self.bias, **options)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arguments, right ones but for the fault."""
        rows = (len(self.lengths or ()) or self.B,) if self.batched else ()
        lead, stack = rows, ()
        if not self.single:
            lead = (*rows, self.T) if self.batch_first else (self.T, *rows)
            stack = (self.layers * (1 + self.bidirectional),)
        if self.lengths is not None:
            lead = (sum(self.lengths),)
        state = (*stack, *rows, self.H)
        shapes = {"input": (*lead, self.I), **dict.fromkeys(self.state_names, state)}
        if self.fault is not None:
            name, wrong = self.fault
            shapes[name] = FAULTS[wrong](shapes[name])
        return shapes

    @property
    def path(self) -> str:
        """The path that has to run, "" if calls run several: the states that a call returns are not
        negative, nor is what is put in order, which is copied."""
        if self.marked:
            return ""  # what is negative is copied
        ordered = self.lengths is not None and not self.enforce_sorted
        negative = (
            self.input == "negative"
            or (self.states == "negative" and not ordered)
            or self.weights == "functional negative"
        )
        usual = "reference" if 0 in self.shapes["input"] else "kernel"
        if negative and usual == "reference" and self.calls > 1:
            return ""
        return "torch" if negative else usual


def rarely(usual: Any, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the usual value, so that a scenario is unusual in a few ways, not in all."""
    return st.integers(0, 3).flatmap(lambda n: others if n == 3 else st.just(usual))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any scenario. Most are right uses; some have one fault."""
    yes = st.sampled_from([True, False])
    kind = draw(st.sampled_from(list(KINDS)))
    s = Scenario(
        kind=kind,
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])) if kind in NONLINEAR else "tanh",
        I=draw(st.sampled_from([3, 1, 2, 4, 5, 8, 9, 17, 40])),
        H=draw(st.sampled_from([5, 1, 2, 3, 4, 8, 9, 17, 40, 100])),
        B=draw(st.sampled_from([3, 1, 2, 5, 6, 7, 13, 20, 0])),
        bias=draw(yes),
        batched=draw(rarely(True, st.just(False))),
        dtype=draw(st.sampled_from(["float64", "float32"])),
        training=draw(yes),
        seed=draw(st.integers(0, 1000)),
    )
    if not s.single:
        s = replace(
            s,
            T=draw(st.sampled_from([4, 1, 2, 3, 5, 6, 30])),
            layers=draw(st.sampled_from([1, 2, 3])),
            bidirectional=draw(st.booleans()),
            batch_first=draw(st.booleans()),
        )
    if s.layers > 1:  # with one, torch.nn and elman warn
        s = replace(s, dropout=draw(rarely(0.0, st.sampled_from([0.5, 0.1, 1.0]))))
    if not s.single and s.batched:
        lengths = draw(rarely(None, st.lists(st.integers(1, 6), min_size=1, max_size=9)))
        ordered = lengths is not None and draw(st.booleans())
        lengths = sorted(lengths, reverse=True) if ordered else lengths
        s = replace(s, lengths=lengths and tuple(lengths), enforce_sorted=ordered)
    layouts = rarely("plain", st.sampled_from(list(LAYOUTS)))
    names = ["input", *s.state_names]
    weights = list(WEIGHTS)
    if s.dtype == "float32" and kind not in NONLINEAR:
        # Of a matrix that isn't square torch.nn's own gradient is another in float32 and float64.
        weights.remove("orthogonal")
    s = replace(
        s,
        input=draw(layouts),
        states=draw(st.none() | layouts),
        leaves=draw(yes),
        weights=draw(rarely("own", st.sampled_from(weights))),
        mode=draw(rarely("grad", st.sampled_from(MODES))),
        calls=draw(rarely(1, st.just(2))),
        loss=draw(st.sampled_from(LOSSES)),
        used=draw(_some(s.results, least=1)),
        changed=draw(rarely((), _some(s.results))),
        backward=draw(rarely("once", st.sampled_from(BACKWARD))),
        threads=draw(rarely(1, st.just(2))),
        isa=draw(rarely(None, st.sampled_from([r.name for r in isa.available()]))),
        fault=draw(
            rarely(
                None, st.none() | st.tuples(st.sampled_from(names), st.sampled_from(list(FAULTS)))
            )
        ),
    )
    if not (s.single or s.lengths or s.dropout or s.fault) and s.batched and s.B:
        resets = draw(rarely(0.0, st.sampled_from([0.1, 0.5, 1.0])))
        s = replace(s, resets=resets, short=draw(rarely(False, st.just(True))))
    every = names + [n for n, _ in s.module(torch.nn, device="meta").named_parameters()]
    return replace(s, frozen=draw(rarely((), st.just(tuple(every)) | _some(every))))


def _some(names: Sequence[str], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    """Any subset, of ``least`` 0 or 1 names."""
    every = st.integers(least, 2 ** len(names) - 1)
    return every.map(lambda bits: tuple(n for i, n in enumerate(names) if bits >> i & 1))
