"""The formula of a cell as LaTeX, printed from its step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from elman.cell import Cell
from elman.expr import Node, walk
from elman.spaces import ONE

from .steps import Written, written

GREEK = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "lambda"]
GREEK += ["mu", "nu", "phi", "tau", "sigma", "omega"]
SUM, PRODUCT, ATOM = range(3)  # what binds more tightly comes later
COMPARISONS = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge", "eq": "=", "ne": r"\ne"}
#: How LaTeX writes functions of elman; all others by their names.
NAMED = {
    **{name: rf"\{name}" for name in ("tanh", "exp", "log", "sin", "cos")},
    "sigmoid": r"\sigma",
    "maximum": r"\max",
    "minimum": r"\min",
    "layer_norm": r"\mathrm{LN}",
}
AROUND = {"abs": ("|", "|"), "floor": (r"\lfloor ", r" \rfloor"), "sqrt": (r"\sqrt{", "}")}
WORDS = {"en": ("if ", "otherwise"), "zh-CN": ("若 ", "否则")}


def word(name: str) -> str:
    """A name as a symbol: `beta_x` is the Greek letter with an index."""
    head, *tail = name.split("_")
    if head in GREEK:
        return rf"\{head}" + (f"_{{{word('_'.join(tail))}}}" if tail else "")
    parts = [it if len(it) == 1 else rf"\text{{{it}}}" for it in (head, *tail)]
    return "".join(parts) if name.isalnum() else r"\,".join(parts)


def number(text: str) -> str:
    """A constant of a formula, as people write it."""
    return f"{float.fromhex(text):.6g}"


class Printer:
    """Prints the values of one step."""

    def __init__(self, seen: Written, locale: str) -> None:
        self.seen, self.locale, self.lines = seen, locale, list[str]()
        self.symbols = {
            value: word(name) + "'" * (name in seen.new) for value, name in seen.names.items()
        } | {value: f"{word(name)}_t" for name, value in seen.new.items()}
        self.rows: dict[tuple[str, tuple[Node, ...]], str] = {}
        self.summed = self._summed()

    def _summed(self) -> set[str]:
        """The gates whose two biases are never apart, so that one letter can be their sum."""
        together: dict[str, set[bool]] = {}
        values = list(walk(self.seen.new.values(), self.seen.args))
        inner = {a for value in values if value.op == "add" for a in self._plus(value)}
        for value in values:
            if value.op == "add" and value not in inner:
                terms = {(t.op, t.attr) for t in self._terms(value)}
                for op, gate in terms:
                    if op in ("x", "bias"):
                        other = "bias" if op == "x" else "x"
                        together.setdefault(gate, set()).add((other, gate) in terms)
            else:
                for arg in self.seen.args(value):
                    if arg.op == "x" and arg not in inner and value.op != "add":
                        together.setdefault(arg.attr, set()).add(False)
        return {gate for gate, found in together.items() if found == {True}}

    def _plus(self, value: Node) -> list[Node]:
        """Those terms of a sum that are sums themselves, and written as part of it."""
        return [a for a in value.args if a.op == "add" and self._open(a)]

    def _open(self, value: Node) -> bool:
        return value not in self.symbols and value not in self.seen.calls

    def _terms(self, value: Node) -> Iterator[Node]:
        for arg in value.args:
            if arg.op == "add" and self._open(arg):
                yield from self._terms(arg)
            else:
                yield arg

    def line(self, value: Node) -> None:
        """Print the definition of a value that has a symbol."""
        right = self.text(value, top=True)
        self.lines.append(f"{self.symbols[value]} &= {right}")

    def text(self, value: Node, least: int = SUM, top: bool = False) -> str:
        """A value, in parentheses where it binds less than what is around it."""
        found, binds = self._text(value, top)
        return found if binds >= least else f"({found})"

    def _text(self, value: Node, top: bool) -> tuple[str, int]:
        if not top and value in self.symbols:
            return self.symbols[value], ATOM
        if value in self.seen.calls:
            return self._call(*self.seen.calls[value]), ATOM
        write: Callable[[Node], tuple[str, int]] | None = getattr(self, f"_{value.op}", None)
        if write is not None:
            return write(value)
        if value.op in COMPARISONS:
            a, b = map(self.text, value.args)
            return f"{a} {COMPARISONS[value.op]} {b}", SUM
        if value.op in AROUND:
            return self.text(value.args[0]).join(AROUND[value.op]), ATOM
        return self._function(value.op, value.args), ATOM

    def _function(self, name: str, args: tuple[Node, ...]) -> str:
        written_ = NAMED.get(name) or rf"\mathrm{{{name.replace('_', ' ')}}}"
        return f"{written_}({', '.join(map(self.text, args))})"

    def _call(self, name: str, args: tuple[Node, ...], place: int | None) -> str:
        if place is None:
            return self._function(name, args)
        row = self.rows.get((name, args))
        if row is None:  # a function of several values that returns as many: a line of its own
            row = self.rows[name, args] = "pqrs"[len(self.rows)]
            left = ", ".join(f"{row}_{k + 1}" for k in range(len(args)))
            self.lines.append(f"({left}) &= {self._function(name, args)}")
        return f"{row}_{place + 1}"

    def _const(self, value: Node) -> tuple[str, int]:
        return number(value.attr), ATOM

    def _symbol(self, value: Node) -> tuple[str, int]:
        return word(value.attr), ATOM

    def _vector(self, value: Node) -> tuple[str, int]:
        symbol = word(value.attr)
        plain = value.attr.split("_")[0] in GREEK and value.attr not in self.seen.names.values()
        return symbol if plain else f"v_{{{symbol}}}", ATOM

    def _state(self, value: Node) -> tuple[str, int]:
        return f"{word(value.attr)}_{{t-1}}", ATOM

    def _input(self, value: Node) -> tuple[str, int]:
        return f"{word(value.attr)}_t", ATOM

    def _raw(self, value: Node) -> tuple[str, int]:
        return "x_t", ATOM

    def _x(self, value: Node) -> tuple[str, int]:
        gate = word(value.attr)
        return f"W_{{{gate}}} x_t + b_{{{gate}}}", SUM

    def _bias(self, value: Node) -> tuple[str, int]:
        return f"b'_{{{word(value.attr)}}}", ATOM

    def _product(self, value: Node) -> tuple[str, int]:
        gates = self.seen.gates
        letter = "U" if value.attr in gates else "V"
        return f"{letter}_{{{word(value.attr)}}} {self.text(value.args[0], ATOM)}", PRODUCT

    def _product_t(self, value: Node) -> tuple[str, int]:
        text, binds = self._product(value)
        return re.sub(r"^(._\{[^ ]*\}) ", r"\1^\\top ", text), binds

    def _add(self, value: Node) -> tuple[str, int]:
        terms = list(self._terms(value))
        gates = {term.attr for term in terms if term.op == "x"} & self.summed
        found, biases = list[str](), list[str]()
        for term in terms:
            if term.op == "x":
                product, _, bias = self._x(term)[0].partition(" + ")
                found.append(product)
                biases.append(bias)
            elif term.op == "bias":
                biases += [self._bias(term)[0]] * (term.attr not in gates)
            else:
                found.append(self.text(term))
        return " + ".join([*found, *biases]).replace("+ -", "- "), SUM

    def _sub(self, value: Node) -> tuple[str, int]:
        a, b = value.args
        return f"{self.text(a)} - {self.text(b, PRODUCT)}", SUM

    def _neg(self, value: Node) -> tuple[str, int]:
        return f"-{self.text(value.args[0], PRODUCT)}", SUM

    def _mul(self, value: Node) -> tuple[str, int]:
        a, b = value.args
        if a is b:
            return f"{self.text(a, ATOM)}^2", PRODUCT
        scalar = any(it.space is ONE for it in (a, b))
        between = r"\cdot" if all(it.op == "const" for it in (a, b)) else r"\odot"
        dot = r"\," if scalar else between
        return f"{self.text(a, PRODUCT)} {dot} {self.text(b, PRODUCT)}", PRODUCT

    def _div(self, value: Node) -> tuple[str, int]:
        a, b = map(self.text, value.args)
        if b == "1":  # a cell with one step of many
            return self._text(value.args[0], top=False)
        return rf"\frac{{{a}}}{{{b}}}", PRODUCT

    def _where(self, value: Node) -> tuple[str, int]:
        condition, a, b = map(self.text, value.args)
        when, otherwise = WORDS[self.locale]
        cases = rf"{a} & \text{{{when}}} {condition} \\ {b} & \text{{{otherwise}}}"
        return rf"\begin{{cases}} {cases} \end{{cases}}", ATOM


def latex(cell: Cell, locale: str = "en") -> str:
    """The formula of a cell: a line for each value that has a name in its step."""
    seen = written(cell)
    printer = Printer(seen, locale)
    for value in seen.lines():
        printer.line(value)
    return r"\begin{align*} " + r" \\ ".join(printer.lines) + r" \end{align*}"
