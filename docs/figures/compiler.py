"""Pictures of learn/compiler.md."""

from typing import Any

from matplotlib.figure import Figure

import elman
from elman.expr import Node

from . import style
from .style import INPUT, OUTPUT, STATE, WEIGHT

SIGNS = {"add": "$+$", "sub": "$-$", "mul": "$\\times$", "sigmoid": "$\\sigma$", "const": "1"}


class MGU(elman.Cell):
    """The cell of the page."""

    gates = ("f", "n")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = elman.sigmoid(x.f + u.f)
        n = elman.tanh(x.n + self.product("n", f * s.h))
        return (1 - f) * s.h + f * n


def _label(node: Node) -> str:
    """How a node is drawn: a sign, or what is read."""
    letter = {"state": "$h$", "x": f"$x_{node.attr}$", "bias": f"$b_{node.attr}$"}
    product = {"product": f"$U_{node.attr}$"}
    return (SIGNS | letter | product).get(node.op, node.op)


def _walk(node: Node, columns: dict[Any, int], stages: dict[Any, int]) -> None:
    """Puts a node behind its arguments; a product reads whole rows, so a stage begins at it."""
    if node in columns:
        return
    for argument in node.args:
        _walk(argument, columns, stages)
    columns[node] = 1 + max((columns[it] for it in node.args), default=-1)
    before = max((stages[it] for it in node.args), default=0)
    stages[node] = before + (node.op == "product")


def graph() -> Figure:
    """The graph of one step of the minimal gated unit, traced from its formula."""
    [last] = MGU().trace().new
    columns: dict[Any, int] = {}
    stages: dict[Any, int] = {}
    _walk(last, columns, stages)
    readers: dict[Any, list[Any]] = {it: [r for r in columns if it in r.args] for it in columns}
    for node, by in readers.items():  # what is read stands before its first reader
        if not node.args and node.op != "state":
            columns[node] = min(columns[it] for it in by) - 1
    figure, on = style.canvas(1.35 * (max(columns.values()) + 1), 4.4, scale=0.5)
    places: dict[Any, tuple[float, float]] = {}
    for column in range(max(columns.values()) + 1):
        here = sorted((it for it in columns if columns[it] == column), key=lambda it: not it.args)
        for row, node in enumerate(here):
            places[node] = 0.7 + 1.35 * column, 2.9 - 1.2 * row
    leaves = {"x": INPUT, "bias": WEIGHT, "const": "white", "state": STATE}
    for node, (x, y) in places.items():
        for argument in node.args:
            at, above = places[argument]
            if x - at < 1.4:
                style.arrow(on, (at + 0.45, above), (x - 0.45, y))
            else:  # over what stands between
                bend = {"connectionstyle": f"arc3,rad={-0.9 / (x - at) ** 0.6}"}
                ends = {"xy": (x, y + 0.35), "xytext": (at, above + 0.35)}
                on.annotate("", **ends, arrowprops={"arrowstyle": "-|>", **bend, "color": "#333"})
        color = leaves.get(node.op) or (OUTPUT if stages[node] == 2 else "#e0e0e0")
        style.box(on, (x, y), _label(node), color, width=0.9, height=0.7)
    return figure
