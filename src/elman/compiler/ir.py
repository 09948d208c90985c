"""Writing LLVM IR as text: the few instructions that the kernels need.

Text, because building it is several times faster than building llvmlite's objects, and a
kernel is compiled while its user waits. Integers are words, written ``i64``; a Python int is a
constant and arithmetic on two constants happens here. What a constant decides is decided here too:
a loop of one turn is no loop, and of two branches only the one that is taken is written.

A module says how wide a word is. For a processor of 32 bits its text has ``i32`` wherever ``i64``
was written; what has 64 bits on every processor, such as the bits of a double, is a :data:`LONG`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

Int = int | str  # a constant, or the name of an i64 value
_Value = TypeVar("_Value", bound=Int)
#: LLVM's type of integers of 64 bits that are no words.
LONG = "%long"

_SYMBOL = re.compile(r"@([\w.]+)")
_WORD = re.compile(r"\bi64\b")
_KNOWN = ("true", "false")
_COMPARE = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
}


class Part(NamedTuple):
    """Functions of a module as a module of their own."""

    name: str  # of the function that others call
    text: str
    calls: list[str]  # names of other parts


class Module:
    """The text of one LLVM module: declarations, functions, shared constants. ``word`` is how many
    bits a word has, ``attributes`` are those of all its functions."""

    def __init__(self, word: int = 64, attributes: str = "nounwind") -> None:
        self.word, self.attributes = word, attributes
        self.functions: list[Function] = []
        self._declared: dict[str, None] = {}
        self._constants: dict[str, str] = {}

    def declare(self, signature: str) -> None:
        """An external intrinsic, once: ``declare("float @llvm.fabs.f32(float)")``."""
        self._declared[signature] = None

    def constant(self, name: str, text: str) -> None:
        """A constant in memory, once: ``constant("seven", "i64 7")``."""
        self._constants[name] = text

    def defines(self, name: str) -> bool:
        """Whether there is a function of this name already."""
        return any(function.symbol == name for function in self.functions)

    def __str__(self) -> str:
        return self._text([*self._declared], [*self._constants], map(str, self.functions))

    def _text(
        self, declared: Iterable[str], constants: Iterable[str], functions: Iterable[str]
    ) -> str:
        begin = [f"declare {signature}" for signature in declared]
        begin += [f"@{name} = internal constant {self._constants[name]}" for name in constants]
        text = "\n".join([*begin, *functions]) + "\n"
        if self.word != 64:
            text = _WORD.sub(f"i{self.word}", text)
        return f"{LONG} = type i64\n{text}"

    def parts(self) -> list[Part]:
        """The module cut up: each shared function behind those that it calls, at last the public
        ones; each with the other functions that it needs. A part's text depends on nothing else."""
        functions = {f.symbol: f for f in self.functions}
        parts: dict[str, Part] = {}

        def add(name: str, roots: Sequence[Function]) -> None:
            texts: dict[str, str] = {}
            calls: dict[str, str] = {}
            used, open_ = set[str](), list(roots)
            while open_:
                f = open_.pop(0)
                texts[f.symbol] = str(f)
                for symbol in dict.fromkeys(_SYMBOL.findall(texts[f.symbol])):
                    used.add(symbol)
                    called = functions.get(symbol)
                    if called is None or symbol in texts or called in open_:
                        continue
                    if called.shared:
                        calls[symbol] = called.signature
                        if symbol not in parts:
                            add(symbol, [called])
                    else:
                        open_.append(called)
            for root in roots:
                texts[root.symbol] = texts[root.symbol].replace("define internal", "define", 1)
            declared = [d for d in self._declared if _SYMBOL.findall(d)[0] in used]
            constants = [constant for constant in self._constants if constant in used]
            text = self._text([*declared, *calls.values()], constants, texts.values())
            parts[name] = Part(name, text, [*calls])

        add("", [f for f in self.functions if f.public])
        return [*parts.values()]


class _Loop(NamedTuple):
    """A loop that is being written: what is done in front of it, and by its text what of that has
    which name."""

    front: list[str]
    known: dict[str, str]


class Function:
    """One function under construction; every method appends instructions at its end.

    One that is ``public`` is called from outside the module. One that is ``shared`` may be the same
    in many modules, and is compiled once for all of them. One that ``hides`` does not let LLVM see
    that loops count (an empty piece of assembly does it): replacing products by sums (loop strength
    reduction) takes up to half of the time where many addresses depend on many loops.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        params: Sequence[tuple[str, str]],
        *,
        public: bool = False,
        shared: bool = False,
        hides: bool = False,
        returns: str = "void",
    ) -> None:
        linkage = "" if public else "internal "
        arguments = ", ".join(f"{t} %{n}" for t, n in params)
        self.module, self.symbol = module, name
        self.public, self.shared, self.hides = public, shared, hides
        self.signature = f"{returns} @{name}({', '.join(t for t, _ in params)})"
        self.params = [f"%{n}" for _, n in params]
        self._head = f"define {linkage}{returns} @{name}({arguments}) {module.attributes} {{"
        self._returns, self.result = returns, ""  # the name of what it returns at its end
        self._entry: list[str] = []  # stack slots, which must stay outside of loops
        self._lines: list[str | list[str]] = []
        self._loops: list[_Loop] = []  # those that are open, outermost first
        self._depth: dict[str, int] = {}  # of values in loops, how many are open around them
        self._count = 0
        self.block = "entry"
        module.functions.append(self)

    def __str__(self) -> str:
        lines = [self._head, "entry:", *self._entry]
        for line in self._lines:
            if isinstance(line, str):
                lines.append(line)
            else:
                lines += line
        return "\n".join([*lines, f"  ret {self._returns} {self.result}", "}"])

    # -- names and raw instructions

    def name(self, prefix: str = "v") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def do(self, text: str) -> None:
        self._lines.append("  " + text)

    def op(self, text: str) -> str:
        result = self._value()
        self._lines.append(f"  {result} = {text}")
        return result

    def _value(self, prefix: str = "v") -> str:
        """The name of a value that is computed here."""
        name = "%" + self.name(prefix)
        if self._loops:
            self._depth[name] = len(self._loops)
        return name

    def pure(self, text: str, *operands: Int) -> str:
        """An instruction whose result depends on its operands alone. It is done once, in front of
        the loops in which none of them changes."""
        depth, here = 0, len(self._loops)
        for x in operands:
            if depth == here:
                return self.op(text)
            if isinstance(x, str):
                depth = max(depth, self._depth.get(x, 0))
        if depth == here:
            return self.op(text)
        loop = self._loops[depth]
        if text not in loop.known:
            name = loop.known[text] = "%" + self.name()
            loop.front.append(f"  {name} = {text}")
            self._depth[name] = depth
        return loop.known[text]

    def label(self, name: str) -> None:
        self._lines.append(f"{name}:")
        self.block = name

    def first(self, text: str) -> str:
        """An instruction at the very start of the function, whose result holds everywhere."""
        result = "%" + self.name("first")
        self._entry.append(f"  {result} = {text}")
        return result

    def alloca(self, count: int, kind: str, align: int = 64) -> str:
        result = "%" + self.name("stack")
        self._entry.append(f"  {result} = alloca {kind}, i64 {count}, align {align}")
        return result

    # -- integers

    def add(self, a: Int, b: Int) -> Int:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return b if a == 0 else a if b == 0 else self.pure(f"add i64 {a}, {b}", a, b)

    def sub(self, a: Int, b: Int) -> Int:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.pure(f"sub i64 {a}, {b}", a, b)

    def mul(self, a: Int, b: Int) -> Int:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        return b if a == 1 else a if b == 1 else self.pure(f"mul i64 {a}, {b}", a, b)

    def div(self, a: Int, b: Int) -> Int:
        """The quotient of two positive integers, rounded down."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        if b == 1:
            return a
        text = f"udiv i64 {a}, {b}"
        return self.pure(text, a) if isinstance(b, int) else self.op(text)  # it may be zero

    def min(self, a: Int, b: Int) -> Int:
        return self.select(self.compare("slt", a, b), a, b)

    def max(self, a: Int, b: Int) -> Int:
        return self.select(self.compare("sgt", a, b), a, b)

    def equal(self, total: Int, most: Int) -> Int:
        """The size of parts of a total that are as equal as can be, none larger than ``most``."""
        parts = self.max(self.div(self.add(total, self.sub(most, 1)), most), 1)
        return self.div(self.add(total, self.sub(parts, 1)), parts)

    def compare(self, how: str, a: Int, b: Int) -> str:
        if isinstance(a, int) and isinstance(b, int):
            return str(_COMPARE[how](a, b)).lower()
        return self.pure(f"icmp {how} i64 {a}, {b}", a, b)

    def select(self, condition: str, a: _Value, b: _Value, kind: str = "i64") -> _Value | str:
        if condition in _KNOWN:
            return a if condition == "true" else b
        return self.pure(f"select i1 {condition}, {kind} {a}, {kind} {b}", condition, a, b)

    def one_of(self, numbers: Sequence[int], index: Int) -> Int:
        """One of these numbers, from a table if the index is a value."""
        if isinstance(index, int):
            return numbers[index]
        name = "_".join(map(str, ["numbers", *numbers]))
        words = ", ".join(f"i64 {number}" for number in numbers)
        self.module.constant(name, f"[{len(numbers)} x i64] [{words}]")
        return self.load("i64", f"@{name}", index)

    def resized(self, a: Int, kind: str) -> Int:
        """A word, of which the lower bits count, as another type of integers."""
        bits = {"i8": 8, "i16": 16, "i32": 32, LONG: 64}[kind]
        if isinstance(a, int) or bits == self.module.word:
            return a
        how = "sext" if bits > self.module.word else "trunc"
        return self.op(f"{how} i64 {a} to {kind}")

    def word(self, a: str, kind: str) -> str:
        """A small integer of another type as a word."""
        bits = {"i8": 8, "i16": 16, "i32": 32, LONG: 64}[kind]
        if bits == self.module.word:
            return a
        return self.op(f"{'zext' if bits < self.module.word else 'trunc'} {kind} {a} to i64")

    # -- memory

    def gep(self, kind: str, pointer: str, index: Int) -> str:
        if index == 0:
            return pointer
        return self.pure(f"getelementptr {kind}, ptr {pointer}, i64 {index}", pointer, index)

    def load(self, kind: str, pointer: str, index: Int = 0, align: int = 0) -> str:
        tail = f", align {align}" if align else ""
        return self.op(f"load {kind}, ptr {self.gep(kind, pointer, index)}{tail}")

    def store(self, kind: str, value: Int, pointer: str, align: int = 0) -> None:
        tail = f", align {align}" if align else ""
        self.do(f"store {kind} {value}, ptr {pointer}{tail}")

    def call(self, function: str, *arguments: tuple[str, Int]) -> None:
        self.do(f"call void @{function}({', '.join(f'{t} {v}' for t, v in arguments)})")

    # -- control flow

    @contextmanager
    def loop(self, start: Int, stop: Int, step: Int = 1) -> Iterator[Int]:
        """``for i in range(start, stop, step)``; the step may be a value."""
        given = [x for x in (start, stop, step) if isinstance(x, int)]
        if len(given) == 3 and len(range(*given)) == 1:
            yield start
            return
        with self._turns(start, stop, lambda index: step) as (index, _):
            yield index

    @contextmanager
    def _turns(
        self, start: Int, stop: Int, step: Callable[[str], Int]
    ) -> Iterator[tuple[str, Int]]:
        """A loop over numbers, each with its step to the next."""
        head, body, leave = self.name("head"), self.name("body"), self.name("leave")
        latch, before = self.name("latch"), self.block
        self._enter(head)
        index, following = self._value("i"), "%" + self.name("n")
        number = "%" + self.name("i") if self.hides else index
        self.do(f"{number} = phi i64 [ {start}, %{before} ], [ {following}, %{latch} ]")
        if self.hides:
            self.do(f'{index} = call i64 asm "", "=r,0"(i64 {number})')
        self.do(f"br i1 {self.compare('slt', index, stop)}, label %{body}, label %{leave}")
        self.label(body)
        size = step(index)
        yield index, size
        self.do(f"br label %{latch}")
        self.label(latch)
        self.do(f"{following} = add i64 {index}, {size}")
        self._leave(head, leave)

    def _enter(self, head: str) -> None:
        """Begins a loop, at its head."""
        loop = _Loop([], {})
        self._lines.append(loop.front)
        self.do(f"br label %{head}")
        self.label(head)
        self._loops.append(loop)

    def _leave(self, head: str, leave: str) -> None:
        """Goes back to the head of the innermost loop, behind which ``leave`` follows."""
        self.do(f"br label %{head}")
        self.label(leave)
        self._loops.pop()

    def carry(
        self,
        span: tuple[Int, Int],
        kinds: Sequence[str],
        begun: Sequence[str],
        turn: Callable[[Int, list[str]], Sequence[str]],
        step: Int = 1,
    ) -> list[str]:
        """A loop that hands values from turn to turn: what they are behind it."""
        head, body, leave = self.name("head"), self.name("body"), self.name("leave")
        before = self.block
        self._enter(head)
        index, following = self._value("i"), "%" + self.name("n")
        now = [self._value("c") for _ in begun]
        place = len(self._lines)  # of the phis, which name what the body has yet to compute
        inside = self.compare("slt", index, span[1])
        self.do(f"br i1 {inside}, label %{body}, label %{leave}")
        self.label(body)
        then = turn(index, now)
        self.do(f"{following} = add i64 {index}, {step}")
        rows: list[tuple[str, str, Int, str]] = [("i64", index, span[0], following)]
        rows += zip(kinds, now, begun, then, strict=True)
        self._lines[place:place] = [
            f"  {name} = phi {kind} [ {first}, %{before} ], [ {value}, %{self.block} ]"
            for kind, name, first, value in rows
        ]
        self._leave(head, leave)
        for name in now:
            self._depth[name] = len(self._loops)
        return now

    @contextmanager
    def blocks(
        self, stop: Int, size: Callable[[Int], Int], start: Int = 0
    ) -> Iterator[tuple[Int, Int]]:
        """Runs up to ``stop`` in blocks; ``size`` gives a block's size from what is left."""
        if start == 0 and isinstance(stop, int) and size(stop) == stop:
            yield 0, stop
            return
        with self._turns(start, stop, lambda index: size(self.sub(stop, index))) as turn:
            yield turn

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """What follows happens if the condition holds."""
        inside, after = self.name("then"), self.name("after")
        self.do(f"br i1 {condition}, label %{inside}, label %{after}")
        self.label(inside)
        yield
        self.do(f"br label %{after}")
        self.label(after)

    def either(
        self, condition: str, kind: str, yes: Callable[[], _Value], no: Callable[[], _Value]
    ) -> _Value | str:
        """The value of one of two pieces of code, by the condition."""
        return self.choose(condition, [kind], lambda: [yes()], lambda: [no()])[0]

    def branch(self, condition: str, yes: Callable[[], object], no: Callable[[], object]) -> None:
        """One of two pieces of code, by the condition."""

        def of(run: Callable[[], object]) -> list[Int]:
            run()
            return []

        self.choose(condition, [], lambda: of(yes), lambda: of(no))

    def choose(
        self,
        condition: str,
        kinds: Sequence[str],
        yes: Callable[[], Sequence[_Value]],
        no: Callable[[], Sequence[_Value]],
    ) -> list[_Value | str]:
        """The values of one of two pieces of code, by the condition."""
        if condition in _KNOWN:
            return list(yes() if condition == "true" else no())
        left, right, after = self.name("yes"), self.name("no"), self.name("join")
        self.do(f"br i1 {condition}, label %{left}, label %{right}")
        self.label(left)
        values_a, from_a = yes(), self.block
        self.do(f"br label %{after}")
        self.label(right)
        values_b, from_b = no(), self.block
        self.do(f"br label %{after}")
        self.label(after)
        return [
            self.op(f"phi {kind} [ {a}, %{from_a} ], [ {b}, %{from_b} ]")
            for kind, a, b in zip(kinds, values_a, values_b, strict=True)
        ]
