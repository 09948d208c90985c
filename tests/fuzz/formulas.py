"""Random formulas over all that the language has."""

from typing import Any

from hypothesis import strategies as st

import elman
from elman.cell import Cell

STATES, GATES = ("h", "m"), ("a", "b")

#: Functions of one value that stay finite, and of two.
ONE = {
    **{n: getattr(elman, n) for n in ("tanh", "sigmoid", "relu", "sin", "cos", "abs", "softplus")},
    **{n: getattr(elman, n) for n in ("silu", "gelu", "softsign", "hardswish", "elu", "erf")},
    "mean": elman.mean,
    "sum": lambda v: 0.2 * elman.sum(v),
    "amax": elman.amax,
    "first": lambda v: elman.take(v, 0),
    "softmax": elman.softmax,
    "layer_norm": lambda v: elman.layer_norm(v, eps=0.5),
    **{f"{name} of heads": None for name in ("mean", "amax", "softmax")},
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
        ("vector", "number"),
        ("input", "n"),
        ("raw", "into"),  # the input itself, through a matrix
    ]
)


#: A matrix as it is, or transposed.
MATRICES = ("product", "transposed")


def grown(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.sampled_from(sorted(ONE)), parts),
        st.tuples(st.sampled_from(sorted(TWO)), parts, parts),
        st.tuples(st.sampled_from(MATRICES), st.sampled_from((*GATES, "w")), parts),
    )


FORMULAS = st.recursive(LEAVES, grown, max_leaves=7)


def used(formula: Any, kind: str) -> set[str]:
    """The names that a formula reads of one kind."""
    head, *rest = formula
    own = {rest[0]} if head == kind else set()
    return own.union(*(used(part, kind) for part in rest if isinstance(part, tuple)))


class Random(Cell):
    """A cell whose new states are formulas, drawn between -1 and 1. The first may be projected:
    formulas are of hidden units, and matrices lead there and back. The further matrix may be of a
    low ``rank``, all may have several ``heads``; the values before their tanh may be outputs."""

    def __init__(
        self,
        formulas: tuple[Any, ...],
        projected: bool = False,
        heads: int = 1,
        rank: int = 0,
        gives: bool = False,
    ) -> None:
        self.formulas, self.heads, self.rank = formulas, heads, rank
        self.projection = "down" if projected else ""
        kinds = ("x", "u", *MATRICES)
        names = {k: set().union(*(used(f, k) for f in formulas)) for k in kinds}
        read = set().union(*names.values())
        self.gates = tuple(g for g in GATES if g in read)
        self.states = STATES[: len(formulas)]
        applied, turned = ("w" in names[k] for k in MATRICES)
        self.matrices = ("w",) * (applied or (turned and not rank))
        self.matrices += ("narrow",) * (rank > 0 and (applied or turned)) + ("back",) * projected
        self.matrices += ("into",) * any(used(f, "raw") for f in formulas)
        vectors = set().union(*(used(f, "vector") for f in formulas))
        self.vectors = tuple(sorted(vectors))
        sizes = {"narrow": rank} if "narrow" in self.matrices else {}
        self.sizes = sizes | ({"number": 1} if "number" in vectors else {})
        self.outputs = tuple(f"{state}_before" for state in self.states) if gives else ()
        self.inputs = ("n",) if any(used(f, "input") for f in formulas) else ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        def back(value: Any) -> Any:
            return self.product("back", value) if self.projection else value

        def down(value: Any) -> Any:
            return self.product("down", value) if self.projection else value

        def value(formula: Any) -> Any:
            head, *rest = formula
            if formula == ("state", "h"):
                return back(s.h)
            if head in ("x", "u", "state"):
                return getattr({"x": x, "u": u, "state": s}[head], rest[0])
            if head == "raw":
                return self.product(rest[0], self.input())
            if head in ("vector", "input"):
                return getattr(self, head)(rest[0])
            if head == "product":
                inner = 0.5 * back(s.h) + value(rest[1])
                if rest[0] == "w" and self.rank:
                    inner = self.product("narrow", inner)
                return self.product(rest[0], down(inner) if rest[0] in GATES else inner)
            if head == "transposed":
                inner = 0.5 * back(s.h) + value(rest[1])
                if rest[0] == "w" and self.rank:
                    low = self.product("narrow", inner)
                    return self.product("narrow", low, transpose=True)
                found = self.product(rest[0], inner, transpose=True)
                return back(found) if rest[0] in GATES else found
            operands = [value(part) for part in rest]
            if head.endswith(" of heads"):
                return getattr(elman, head.split()[0])(*operands, heads=self.heads)
            return ONE[head](*operands) if len(operands) == 1 else TWO[head](*operands)

        before = [value(formula) + 0.1 * back(s.h) for formula in self.formulas]
        h, *others = [elman.tanh(each) for each in before]
        return down(h), *others, *(before if self.outputs else ())


@st.composite
def cells(draw: st.DrawFn) -> Random:
    count = draw(st.integers(1, 2))
    formulas = tuple(draw(FORMULAS) for _ in range(count))
    if count == 1:  # a state that is not there is the other one
        formulas = eval(repr(formulas).replace("('state', 'm')", "('state', 'h')"))
    if not any(used(f, k) & set(GATES) for f in formulas for k in ("x", "u", *MATRICES)):
        formulas = (("add", ("x", "a"), formulas[0]), *formulas[1:])
    return Random(formulas)


#: What makes one number of a row.
SINGLE = ("mean", "sum", "amax", "first")


def _finite_mean(formula: Any) -> bool:
    """Whether no mean is taken of a mean, which has no units any more, nor the like."""
    head, *rest = formula
    parts = [p for p in rest if isinstance(p, tuple)]
    without = (*SINGLE, "softmax", "layer_norm", *MATRICES)
    if (head in without or head.endswith(" of heads")) and any(_single(p) for p in parts):
        return False
    return all(_finite_mean(p) for p in parts if p[0] not in ("x", "u"))


def _single(formula: Any) -> bool:
    head, *rest = formula
    parts = [p for p in rest if isinstance(p, tuple)]
    if formula == ("vector", "number"):
        return True
    if head in ("mean of heads", "amax of heads"):
        return True  # if there is one head
    return head in SINGLE or (bool(parts) and head not in MATRICES and all(map(_single, parts)))


#: Cells of such formulas.
CELLS = cells().filter(lambda cell: all(map(_finite_mean, cell.formulas)))
