"""Random formulas over all that the language has: the kernels against the reference.

``make fuzz`` runs as many of these as of the other scenarios.
"""

import os
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elman
from elman.batch import Rows, Weights
from elman.cell import Cell
from elman.compiler.plan import plan_of
from elman.function import recur

CASES = os.environ.get("FUZZ_CASES")
STATES, GATES = ("h", "m"), ("a", "b")

#: Functions of one value that stay finite, and of two.
ONE = {
    **{n: getattr(elman, n) for n in ("tanh", "sigmoid", "relu", "sin", "cos", "abs", "softplus")},
    **{n: getattr(elman, n) for n in ("silu", "gelu", "softsign", "hardswish", "elu", "erf")},
    "mean": elman.mean,
    "layer_norm": lambda v: elman.layer_norm(v, eps=0.5),
    "root": lambda v: elman.sqrt(1 + v * v),
    "log": lambda v: elman.log(1 + v * v),
    "exp": lambda v: elman.exp(elman.minimum(v, 1.0)),
    "square": elman.square,
    "negative": lambda v: -v,
    "half": lambda v: 0.5 * v - 0.25,
}
TWO = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (1.5 + elman.sigmoid(b)),
    "maximum": elman.maximum,
    "minimum": elman.minimum,
    "where": lambda a, b: elman.where(a > b, a * b, elman.tanh(b)),
}

LEAVES = st.sampled_from(
    [
        *(("x", gate) for gate in GATES),
        *(("u", gate) for gate in GATES),
        *(("state", name) for name in STATES),
        ("vector", "v"),
        ("input", "n"),
    ]
)


def grown(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.sampled_from(sorted(ONE)), parts),
        st.tuples(st.sampled_from(sorted(TWO)), parts, parts),
        st.tuples(st.just("product"), st.sampled_from((*GATES, "w")), parts),
    )


FORMULAS = st.recursive(LEAVES, grown, max_leaves=7)


def used(formula: Any, kind: str) -> set[str]:
    """The names that a formula reads of one kind."""
    head, *rest = formula
    own = {rest[0]} if head == kind else set()
    return own.union(*(used(part, kind) for part in rest if isinstance(part, tuple)))


class Random(Cell):
    """A cell whose new states are formulas, drawn between -1 and 1."""

    def __init__(self, formulas: tuple[Any, ...]) -> None:
        self.formulas = formulas
        names = {k: set().union(*(used(f, k) for f in formulas)) for k in ("x", "u", "product")}
        read = set().union(*names.values())
        self.gates = tuple(g for g in GATES if g in read)
        self.states = STATES[: len(formulas)]
        self.matrices = ("w",) if "w" in names["product"] else ()
        self.vectors = ("v",) if any(used(f, "vector") for f in formulas) else ()
        self.inputs = ("n",) if any(used(f, "input") for f in formulas) else ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        def value(formula: Any) -> Any:
            head, *rest = formula
            if head in ("x", "u", "state"):
                return getattr({"x": x, "u": u, "state": s}[head], rest[0])
            if head in ("vector", "input"):
                return getattr(self, head)(rest[0])
            if head == "product":
                return self.product(rest[0], 0.5 * s.h + value(rest[1]))
            operands = [value(part) for part in rest]
            return ONE[head](*operands) if len(operands) == 1 else TWO[head](*operands)

        return tuple(elman.tanh(value(formula) + 0.1 * s.h) for formula in self.formulas)


@st.composite
def cells(draw: st.DrawFn) -> Random:
    count = draw(st.integers(1, 2))
    formulas = tuple(draw(FORMULAS) for _ in range(count))
    if count == 1:  # a state that is not there is the other one
        formulas = eval(repr(formulas).replace("('state', 'm')", "('state', 'h')"))
    if not any(used(f, k) & set(GATES) for f in formulas for k in ("x", "u", "product")):
        formulas = (("add", ("x", "a"), formulas[0]), *formulas[1:])
    return Random(formulas)


def finite_mean(formula: Any) -> bool:
    """Whether no mean is taken of a mean, which has no units any more."""
    head, *rest = formula
    parts = [p for p in rest if isinstance(p, tuple)]
    if head in ("mean", "layer_norm", "product") and any(_single(p) for p in parts):
        return False
    return all(finite_mean(p) for p in parts if p[0] not in ("x", "u"))


def _single(formula: Any) -> bool:
    head, *rest = formula
    parts = [p for p in rest if isinstance(p, tuple)]
    return head == "mean" or (bool(parts) and head != "product" and all(map(_single, parts)))


@settings(
    max_examples=int(CASES or 40),
    derandomize=not CASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    cell=cells().filter(lambda c: all(map(finite_mean, c.formulas))),
    sizes=st.tuples(*(st.integers(1, n) for n in (4, 8, 3, 19))),
    ragged=st.booleans(),
    directions=st.integers(1, 2),
)
def test_a_random_cell_runs_as_its_formula_says(
    cell: Random, sizes: tuple[int, ...], ragged: bool, directions: int
) -> None:
    step, (T, B, I, H) = cell.trace(), sizes  # noqa: E741
    random = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float64) * 2 - 1

    rows = Rows(T, B, T * B)
    if ragged:
        counts = torch.linspace(B, 1, T).round().long()
        rows = Rows(T, B, int(counts.sum()), counts, counts.cumsum(0) - counts)
    lead = (rows.N,) if ragged else (T, B)
    tensors = [uniform(*lead, I), *(uniform(directions, B, H) for _ in step.states)]
    tensors += [uniform(*lead, H) for _ in step.inputs]
    shapes = step.shapes(I, H, H)
    tensors += [uniform(*s) * H**-0.5 for _ in range(directions) for s in shapes.values()]
    results = []
    for path in ("kernel", "reference"):
        leaves = [t.clone().requires_grad_() for t in tensors]
        left = iter(leaves)
        x, initial = next(left), [next(left) for _ in step.states]
        inputs, weights = [next(left) for _ in step.inputs], []
        for _ in range(directions):
            held = {name: next(left) for name in shapes}
            flat = [held.get(name) for name in step.parameters]
            weights.append(Weights(*flat[:4], tuple(flat[4:])))
        with elman.set_path(path):
            output, final = recur(step, rows, x, initial, weights, inputs)
            loss = (output * output.detach().cos()).sum() + sum((f**2).sum() for f in final)
            found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        results.append([output, *final, *found])
    for actual, expected in zip(*results, strict=True):
        scale = float(expected.detach().abs().max()) + 1.0
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10 * scale)
    assert plan_of(step).key == plan_of(Random(cell.formulas).trace()).key
