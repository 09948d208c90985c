"""A scenario played by torch.nn in float64 and by elman, and all that came of it compared."""

import contextlib
import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import elman
from elman import reference
from elman.dispatch.select import set_isa, set_path
from tests.fuzz.scenario import LAYOUTS, Scenario
from tests.fuzz.sequences import Marks, by_sequences, draw
from tests.nn.changes import CHANGES
from tests.nn.kinds import tensors
from tests.tolerances import assert_close


class Seen(NamedTuple):
    """A result or gradient as it was when it came."""

    type: type[Tensor]
    value: Tensor
    flags: dict[str, Any]
    contiguous: bool

    @classmethod
    def of(cls, tensor: Tensor | None) -> "Seen | None":
        if tensor is None:
            return None
        flags = ("requires_grad", "is_leaf", "is_inference", "is_neg")
        found = {name: getattr(tensor, name) for name in flags}
        found = {name: flag() if callable(flag) else flag for name, flag in found.items()}
        return cls(type(tensor), tensor.detach().clone(), found, tensor.is_contiguous())


@dataclass
class Outcome:
    """What a scenario led to: the exception and where it was raised, or tensors by name."""

    stage: str = "construction"
    error: Exception | None = None
    path: str = ""  # as elman.explain has it
    form: Any = None  # of the results: nested tuples and classes
    results: dict[str, Seen | None] = field(default_factory=dict)
    random: Tensor | None = None  # the generator's state afterwards

    def see(self, when: str, tensors: dict[str, Tensor | None]) -> None:
        """Keeps the tensors as they are now."""
        self.results |= {f"{name}, {when}": Seen.of(t) for name, t in tensors.items()}


def check(s: Scenario) -> Outcome:
    """Fails unless elman does what torch.nn does, on the path that the scenario should run on.

    Returns what torch.nn did.
    """
    torch.set_num_threads(s.threads)
    expected = play(s, torch.nn)
    if expected.error is not None and not (
        expected.stage != "construction" and (s.fault or s.mode == "inference tensors")
    ):
        raise expected.error  # the scenario itself is wrong
    with contextlib.ExitStack() as stack:
        stack.enter_context(set_path("kernel" if s.path == "kernel" else "auto"))
        if s.isa is not None:
            stack.enter_context(set_isa(s.isa))
        spy = stack.enter_context(mock.patch.object(reference, "layer", wraps=reference.layer))
        actual = play(s, elman)
    compare(s, actual, expected)
    assert actual.path in ("", "kernel"), "explain: the weights have nothing unusual"
    if actual.error is None and s.path and s.backward != "of its gradient":
        assert spy.called == (s.path == "reference"), "the other path has run"
    return expected


class Stricter(NamedTuple):
    """Where elman may raise and torch.nn does not."""

    message: str  # a part of it
    where: Callable[[Scenario], bool]
    why: str


STRICTER = (
    Stricter(
        "Inference tensors cannot be saved for backward",
        lambda s: s.mode == "inference tensors",
        "elman saves all arguments, for derivatives of any order; torch.nn only those that it "
        "happens to need for the first",
    ),
    Stricter(
        "as input is 1-D",
        lambda s: s.single and not s.batched and s.fault is not None,
        "torch.nn's cell broadcasts it if it is square",
    ),
    Stricter(
        "expected batch_sizes of a PackedSequence",
        lambda s: s.lengths is not None and s.fault is not None and s.fault[0] == "input",
        "torch.nn ignores rows that no step has",
    ),
    Stricter(
        "expected hx[1] of the weights' dtype",
        lambda s: len(s.state_names) == 2 and s.fault is not None and s.fault[0] == "c",
        "torch.nn's own LSTM promotes it, oneDNN's raises",
    ),
)


def compare(s: Scenario, actual: Outcome, expected: Outcome) -> None:
    if any(row.message in str(actual.error) and row.where(s) for row in STRICTER):
        return  # where there is a fault besides, either may be named first
    wrong = s.fault is not None and s.fault[0] == "input"
    if wrong and s.kind == "LSTM" and s.lengths and actual.error is not None:
        return  # of packed data torch.nn checks nothing: it computes something, or raises anything
    ended = [(o.stage, type(o.error)) for o in (actual, expected)]
    assert ended[0] == ended[1], f"elman: {actual.error!r}\ntorch: {expected.error!r}"
    if expected.error is not None:
        return
    assert actual.form == expected.form
    assert torch.equal(actual.random, expected.random), "other random numbers drawn"
    assert actual.results.keys() == expected.results.keys()
    # Sums may nearly cancel: errors are measured against the largest result, or gradient.
    floors: dict[bool, float] = defaultdict(lambda: 0.1)
    for name, theirs in expected.results.items():
        if theirs is not None and theirs.value.numel():
            kind = name.endswith("gradient")
            floors[kind] = max(floors[kind], float(theirs.value.abs().max()))
    for name, theirs in expected.results.items():
        ours = actual.results[name]
        assert (ours is None) == (theirs is None), f"{name}: elman {ours}, torch {theirs}"
        if ours is not None and theirs is not None:
            assert ours.type is theirs.type, name
            assert ours.flags == theirs.flags, name
            assert ours.contiguous or not theirs.contiguous, name
            assert ours.value.dtype is getattr(torch, s.dtype), name
            assert ours.value.shape == theirs.value.shape, name
            assert_close(ours.value, theirs.value, "same", name, floors[name.endswith("gradient")])


def play(s: Scenario, nn: ModuleType) -> Outcome:
    """The scenario in the namespace ``nn``, torch.nn's in float64."""
    outcome = Outcome()
    try:
        _Play(s, nn, outcome).run()
    except Exception as error:  # noqa: BLE001 - whichever it is, the other namespace's must be it
        outcome.error = error
    outcome.random = torch.get_rng_state()
    return outcome


class _Play:
    def __init__(self, s: Scenario, nn: ModuleType, outcome: Outcome) -> None:
        self.s, self.ours, self.outcome = s, nn is elman, outcome
        self.dtype = getattr(torch, s.dtype) if self.ours else torch.float64
        self.numbers = torch.Generator().manual_seed(s.seed)
        self.leaves: dict[str, Tensor] = {}
        self.module = s.module(nn, dtype=self.dtype).train(s.training)
        self.marks: Marks | None = None
        if s.marked:
            self.marks = draw(s.T, s.B, s.resets, s.short, torch.Generator().manual_seed(s.seed))
        for parameter in self.module.parameters():
            parameter.data = self.uniform(*parameter.shape, bound=s.H**-0.5)

    def run(self) -> None:
        s, outcome = self.s, self.outcome
        with torch.inference_mode(s.mode == "inference tensors"):
            arguments = self.arguments()
        weights = self.prepare_weights()
        torch.default_generator.manual_seed(s.seed)
        outcome.stage = "call"
        for call in range(1, s.calls + 1):
            mode = s.mode
            if mode == "burn-in":
                mode = "no_grad" if call < s.calls else "grad"
            guards = {"no_grad": torch.no_grad, "inference": torch.inference_mode}
            with guards.get(mode, torch.enable_grad)():
                result = self.call(weights, *arguments)
                found = dict(zip(s.results, tensors(result), strict=True))
                outcome.see(f"of call {call}", found)
                outcome.form = _form(result)
                arguments = (arguments[0], result if s.single else result[1])
                if call == s.calls:
                    outcome.stage = "loss"
                    loss = self.loss(found)
                    outcome.see("after the change", found)
        if self.ours:
            outcome.path = "".join(row.path for row in elman.explain(self.module).layers)
        outcome.stage = "backward"
        if loss is not None and loss.requires_grad:
            self.backward(loss)
        outcome.see("itself", self.leaves)
        outcome.see("gradient", {name: leaf.grad for name, leaf in self.leaves.items()})

    def backward(self, loss: Tensor) -> None:
        way = self.s.backward
        if way == "of its gradient":
            leaves = [t for t in self.leaves.values() if t.requires_grad]
            found = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
            loss = sum((g.square().sum() for g in found if g is not None), loss)
        if way == "twice":
            loss.backward(retain_graph=True)
        loss.backward()

    def call(self, weights: dict[str, Tensor] | None, *arguments: Any) -> Any:
        def run(*arguments: Any, **named: Any) -> Any:
            if weights is None:
                return self.module(*arguments, **named)
            return functional_call(self.module, weights, arguments, named)

        if self.marks is None:
            return run(*arguments)
        first, x, hx = self.s.batch_first, arguments[0], (*arguments, None)[1]
        if self.ours:
            return run(x, hx, **self.marks.named(first))
        return by_sequences(run, self.marks, first, 1 + self.s.bidirectional, x, hx)

    def uniform(self, *shape: int, bound: float = 1.0) -> Tensor:
        """Numbers that float32 has too, so that both dtypes start from the same."""
        return ((torch.rand(shape, generator=self.numbers) * 2 - 1) * bound).to(self.dtype)

    def arguments(self) -> tuple[Any, ...]:
        s = self.s
        made = {
            name: self.argument(name, shape, s.input if name == "input" else s.states)
            for name, shape in s.shapes.items()
            if name == "input" or s.states is not None
        }
        input: Any = made.pop("input")
        if s.lengths is not None:
            tables = pack_sequence([torch.zeros(n, 1) for n in s.lengths], s.enforce_sorted)
            input = tables._replace(data=input)
        if not made:
            return (input,)
        return input, tuple(made.values()) if len(s.state_names) > 1 else next(iter(made.values()))

    def argument(self, name: str, shape: tuple[int, ...], layout: str) -> Tensor:
        wrong = self.s.fault[1] if self.s.fault and self.s.fault[0] == name else None
        if not shape:
            layout = "plain"
        base = self.uniform(*LAYOUTS[layout].base(shape))
        if wrong == "other dtype":
            base = base.to(torch.float32 if self.dtype == torch.float64 else torch.float64)
        if wrong == "integers":
            return LAYOUTS[layout].view(base.long(), shape)
        trained = name not in self.s.frozen
        if self.s.leaves:
            leaf = tensor = LAYOUTS[layout].view(base, shape).detach().requires_grad_(trained)
        else:
            leaf = base.requires_grad_(trained)
            tensor = LAYOUTS[layout].view(leaf, shape)
        self.leaves[name] = leaf
        return tensor

    def prepare_weights(self) -> dict[str, Tensor] | None:
        """Does to the module what the scenario says; the tensors for a functional call, if any."""
        way, module, weights = self.s.weights, self.module, None
        if way in CHANGES:
            torch.default_generator.manual_seed(self.s.seed)
            CHANGES[way](module)
        elif way == "shared":
            first: dict[Any, Tensor] = {}
            for name, p in list(module.named_parameters()):
                setattr(module, name, first.setdefault(p.shape, p))
        for name, p in module.named_parameters():  # what is parametrized has a longer name
            p.requires_grad_(not any(frozen in name for frozen in self.s.frozen))
        if way.startswith("functional"):
            weights = {
                name: p.detach().mul(0.5).requires_grad_(p.requires_grad)
                for name, p in module.named_parameters()
            }
            self.leaves |= weights
            if "negative" in way:
                weights = {name: torch._neg_view(p) for name, p in weights.items()}
        elif way == "copied":
            self.module = copy.deepcopy(module)
        elif way == "pickled":
            self.module = pickle.loads(pickle.dumps(module))
        self.leaves |= dict(self.module.named_parameters())
        return weights

    def loss(self, found: dict[str, Tensor]) -> Tensor | None:
        """A number made of the results; some are changed before, in place if elman's code made it.

        What torch's operators made is changed in a copy: in place would be an error for some.
        """
        s, parts = self.s, []
        in_place = self.ours and s.path != "torch"
        for name, t in found.items():
            if name in s.changed:
                t = found[name] = t.mul_(2) if in_place else t * 2  # noqa: PLW2901
            if s.loss == "negative":
                t = torch._neg_view(t)  # noqa: PLW2901
            elif s.loss == "transposed":
                t = t.permute(*reversed(range(t.dim())))  # noqa: PLW2901
            elif s.loss == "last":
                t = t[..., -1]  # noqa: PLW2901
            factor = 1.0 if s.loss == "sum" else self.uniform(*t.shape)
            if name in s.used:
                parts.append((t * factor).sum())
        return sum(parts[1:], parts[0]) if parts else None


def _form(result: Any) -> Any:
    """What a result is made of, without the numbers of its tensors."""
    if isinstance(result, PackedSequence):
        tables = (result.batch_sizes, result.sorted_indices, result.unsorted_indices)
        return (type(result), *(None if t is None else t.tolist() for t in tables))
    if isinstance(result, tuple):
        return (type(result), *map(_form, result))
    return type(result)
