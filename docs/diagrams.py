"""The picture of a cell: what its step computes from what, as SVG, drawn from its graph.

A box has weights, a circle has none. A layered layout (Sugiyama): each operation stands right of
all that it reads, and neighbours are ordered so that few lines cross.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from elman.cell import Cell
from elman.expr import Node, walk

from .steps import Written, written

PARAMETERS = "bias", "vector", "symbol", "const"
WEIGHTS = "x", "product", "product_t"
SIGNS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "neg": "−",
    "sigmoid": "σ",
    "where": "if",
    "maximum": "max",
    "minimum": "min",
    "sqrt": "√",
    "layer_norm": "LN",
    "lt": "<",
    "le": "≤",
    "gt": ">",
    "ge": "≥",
    "eq": "=",
    "ne": "≠",
}
ACROSS, DOWN, RADIUS = 74, 44, 14


@dataclass(eq=False)
class Box:
    """An operation of the picture; one without a sign is a bend of a long line."""

    sign: str = ""
    reads: list[Box] = field(default_factory=list)
    name: str = ""
    weights: bool = False
    x: float = 0.0
    y: float = 0.0

    @property
    def half(self) -> float:
        """Half its width."""
        return max(RADIUS, 4.3 * len(self.sign) + 6) if self.sign else 0.0


class Boxes:
    """The operations of a step as boxes: parameters are part of what they are applied with."""

    def __init__(self, seen: Written) -> None:
        self.seen, self.known = seen, dict[object, Box]()
        self.names = {value: name + "'" * (name in seen.new) for value, name in seen.names.items()}
        self.names |= {value: f"{name}ₜ" for name, value in seen.new.items()}
        values = list(walk(seen.new.values(), seen.args))
        self.readers = [a for value in values for a in seen.args(value)]
        self.data = {v for v in values if v.op not in PARAMETERS and self._has_data(v)}
        self.ends = [Box(f"{name}ₜ", [self.box(value)]) for name, value in seen.new.items()]

    def _has_data(self, value: Node) -> bool:
        leaves = ("x", "state", "input", "raw")
        return any(it.op in leaves for it in walk([value], self.seen.args))

    def box(self, value: Node) -> Box:
        """The box of a value that depends on data."""
        key: object = value
        if value in self.seen.calls:
            key = self.seen.calls[value][:2]  # one of a function that returns several
        if key not in self.known:
            self.known[key] = self._new(value)
            self.known[key].name = self.known[key].name or self.names.get(value, "")
        return self.known[key]

    def _reads(self, args: Iterable[Node]) -> list[Box]:
        return list(dict.fromkeys(self.box(arg) for arg in args if arg in self.data))

    def _source(self, sign: str) -> Box:
        return self.known.setdefault(sign, Box(sign))

    def _new(self, value: Node) -> Box:
        op, args = value.op, self.seen.args(value)
        if value in self.seen.calls:
            name = self.seen.calls[value][0]
            return Box(SIGNS.get(name, name.replace("_", " ")), self._reads(args))
        if op in ("state", "input", "raw"):
            return self._source(f"{value.attr}ₜ₋₁" if op == "state" else f"{value.attr or 'x'}ₜ")
        if op in WEIGHTS or op == "add":
            return self._sum(value)
        data = [arg for arg in args if arg in self.data]
        if op == "div" and args[1].op == "const" and float.fromhex(args[1].attr) == 1:
            return self.box(args[0])  # a cell with one step of many
        if len(args) == 2 and len(data) == 1:  # the other is a number, or learned
            other = next(arg for arg in args if arg not in self.data)
            text = (
                f"{float.fromhex(other.attr):g}" if other.op == "const" else str(other.attr or "w")
            )
            text = text.replace("_", " ")
            sign = SIGNS.get(op, op)
            return Box(
                f"{sign}{text}" if data[0] is args[0] or op == "mul" else f"{text}{sign}",
                self._reads(args),
            )
        box = Box(SIGNS.get(op, op), self._reads(args))
        [only] = box.reads if len(args) == 1 else [None]
        if only and only.weights and only.sign == "W" and self.readers.count(args[0]) == 1:
            only.sign, only.name = box.sign, ""
            return only
        return box

    def _sum(self, value: Node) -> Box:
        """All terms with weights are one box, which further terms are added to."""
        weighed, others, plain = list[Box](), list[Box](), ""
        for term in self._terms(value):
            if term.op == "x":
                weighed.append(self._source("xₜ"))
            elif term.op in WEIGHTS or (term.op == "mul" and "vector" in [a.op for a in term.args]):
                weighed += self._reads(term.args)
            elif term in self.data:
                others.append(self.box(term))
            elif term.op == "const":
                plain = f"{float.fromhex(term.attr):g}"
        if not weighed:
            return Box(f"{plain}+", list(dict.fromkeys(others)))
        box = Box("W", list(dict.fromkeys(weighed)), weights=True)
        return Box("+", [box, *dict.fromkeys(others)]) if others else box

    def _terms(self, value: Node) -> Iterator[Node]:
        if value.op != "add":
            yield value
            return
        for arg in value.args:
            apart = arg in self.names or arg in self.seen.calls or arg.op != "add"
            yield from [arg] if apart else self._terms(arg)


def layers(ends: list[Box]) -> list[list[Box]]:
    """The boxes from left to right, with bends where a line passes a layer."""
    boxes = list(walk(ends, lambda box: box.reads))
    level: dict[Box, int] = {}
    for box in boxes:
        level[box] = max((level[it] for it in box.reads), default=-1) + 1
    last = max(level.values())
    level |= dict.fromkeys(ends, last)
    found: list[list[Box]] = [[] for _ in range(last + 1)]
    bends: dict[tuple[Box, int], Box] = {}
    for box in boxes:
        found[level[box]].append(box)
        for place, source in enumerate(box.reads):
            nearest = source
            for between in range(level[source] + 1, level[box]):
                key = source, between
                if key not in bends:  # one line leads to all readers
                    bends[key] = Box(reads=[nearest])
                    found[between].append(bends[key])
                nearest = bends[key]
            box.reads[place] = nearest
    return found


def place(found: list[list[Box]]) -> None:
    """Gives all boxes their places: near those that they are joined to, with few crossings."""
    readers: dict[Box, list[Box]] = {}
    for row in found:
        for box in row:
            for source in box.reads:
                readers.setdefault(source, []).append(box)
    tall = max(map(len, found))
    for column, row in enumerate(found):
        for k, box in enumerate(row):
            box.x, box.y = column * ACROSS, (k + (tall - len(row)) / 2) * DOWN
    for turn in range(24):
        for row in found if turn % 2 == 0 else found[::-1]:
            for box in row:
                near = box.reads if turn % 2 == 0 else readers.get(box, [])
                if near:
                    box.y = sum(it.y for it in near) / len(near)
            row.sort(key=lambda box: box.y)
            apart(row)
    top = min(box.y for row in found for box in row)
    for row in found:
        for box in row:
            box.y -= top


def apart(row: list[Box]) -> None:
    """Moves boxes of a layer away from one another, as little as that takes: those that touch form
    groups around the mean of where they want to be."""
    groups: list[tuple[float, list[Box]]] = []
    for box in row:
        middle, members = box.y, [box]
        while groups:
            gap = (len(groups[-1][1]) + len(members)) / 2 * DOWN
            if middle - groups[-1][0] >= gap:
                break
            before, others = groups.pop()
            total = len(others) + len(members)
            middle = (before * len(others) + middle * len(members)) / total
            members = [*others, *members]
        groups.append((middle, members))
    for middle, members in groups:
        for k, box in enumerate(members):
            box.y = middle + (k - (len(members) - 1) / 2) * DOWN


STYLE = (
    "text{font:12px system-ui,sans-serif;text-anchor:middle;fill:#222}"
    ".n{font-size:10px;font-style:italic;fill:#444}"
    "path{fill:none;stroke:#777;stroke-width:1.2}"
    "rect{fill:#fff;stroke:#555}.w{fill:#d6e0f5;stroke:#3b5ba5}.e{fill:none;stroke:none}"
)


def svg(cell: Cell) -> str:
    """The picture of a cell's step."""
    boxes = Boxes(written(cell))
    found = layers(boxes.ends)
    place(found)
    every = [box for row in found for box in row]
    margin = 34
    width = max(box.x for box in every) + 2 * margin
    height = max(box.y for box in every) + 2 * (margin - 6)
    lines, shapes = list[str](), list[str]()
    for box in every:
        x, y = box.x + margin, box.y + margin - 4
        for source in box.reads:
            x0, y0, x1 = source.x + margin + source.half, source.y + margin - 4, x - box.half
            bend = (x1 - x0) / 2
            lines.append(
                f"M{x0:.0f} {y0:.0f}C{x0 + bend:.0f} {y0:.0f} {x1 - bend:.0f} {y:.0f} "
                f"{x1:.0f} {y:.0f}"
            )
        if not box.sign:
            continue
        end = not box.reads or box in boxes.ends
        kind = ' class="e"' if end else ' class="w"' if box.weights else ""
        round_ = 4 if box.weights else RADIUS
        shapes.append(
            f'<rect x="{x - box.half:.1f}" y="{y - RADIUS:.1f}" width="{2 * box.half:.1f}" '
            f'height="{2 * RADIUS}" rx="{round_}"{kind}/>'
            f'<text x="{x:.1f}" y="{y + 4:.1f}">{html.escape(box.sign)}</text>'
        )
        if box.name and not end:
            shapes.append(
                f'<text class="n" x="{x:.1f}" y="{y - RADIUS - 3:.1f}">'
                f"{html.escape(box.name)}</text>"
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}"><style>{STYLE}</style>'
        f'<path d="{"".join(lines)}"/>{"".join(shapes)}</svg>'
    )
