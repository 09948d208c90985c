"""Cells written as a user would write them: the usual ones, and ones that stretch the compiler."""

import elman
from elman import Cell, exp, layer_norm, maximum, mean, minimum, relu, sigmoid, sqrt, tanh, where
from elman.expr import apply
from tests.reference import catalogue
from tests.reference.functions import IN_CELL


class LSTM(Cell):
    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def step(self, x, u, s):
        i, f = sigmoid(x.i + u.i), sigmoid(x.f + u.f)
        g, o = tanh(x.g + u.g), sigmoid(x.o + u.o)
        c = f * s.c + i * g
        return o * tanh(c), c


class GRU(Cell):
    """The reset acts on the product, as in ``torch.nn.GRU``."""

    gates = ("r", "z", "n")

    def step(self, x, u, s):
        r, z = sigmoid(x.r + u.r), sigmoid(x.z + u.z)
        n = tanh(x.n + r * u.n)
        return (1 - z) * n + z * s.h


class GRUBefore(Cell):
    """The reset acts on the operand of the product: a second stage."""

    gates = ("r", "z", "n")

    def step(self, x, u, s):
        r, z = sigmoid(x.r + u.r), sigmoid(x.z + u.z)
        n = tanh(x.n + self.product("n", r * s.h))
        return (1 - z) * n + z * s.h


class LightGRU(Cell):
    gates = ("z", "n")

    def step(self, x, u, s):
        z, n = sigmoid(x.z + u.z), relu(x.n + u.n)
        return (1 - z) * n + z * s.h


class Reset(Cell):
    """A mask sets the previous state to zero before the product."""

    gates = ("h",)
    inputs = ("keep",)

    def step(self, x, u, s):
        h = where(self.input("keep") > 0.5, s.h, 0.0)
        return tanh(x.h + self.product("h", h))


class Odd(Cell):
    """Two states, three stages, and every primitive that the other cells do without."""

    gates = ("a", "b")
    states = ("h", "m")

    def step(self, x, u, s):
        a = relu(x.a + u.a + 0.3 * s.m)
        q = self.product("b", a * s.m)
        m = maximum(exp(-sqrt(1 + q * q)), 0.5 * s.m)
        r = minimum(apply("abs", q), 1.5 - a)
        h = where(m > a, m - a * u.a, tanh(x.b) / (2 + sigmoid(q)))
        h = where(apply("eq", a, 0.0), 0.9 * h, h) + where(q < 0.1, 0.2 * r, 0.0)
        h = where(apply("ne", a, 0.0), h, h + 0.1 * q)
        return where(q >= 0.3, h - 0.2, where(q <= -0.3, 0.5 * h, h)), m


class Swap(Cell):
    """The second state is the first of the step before; no activation."""

    gates = ("a",)
    states = ("h", "last")

    def step(self, x, u, s):
        return x.a + u.a - 0.5 * s.last, s.h


class Twin(Cell):
    """Both states are one value."""

    gates = ("a",)
    states = ("h", "k")

    def step(self, x, u, s):
        h = tanh(x.a + u.a + 0.5 * s.k)
        return h, h


class Forgetful(Cell):
    """No product at all."""

    gates = ("a", "b")

    def step(self, x, u, s):
        return sigmoid(x.a) * s.h + tanh(x.b)


class Blind(Cell):
    """No input at all: it rotates its state."""

    gates = ("a",)

    def step(self, x, u, s):
        return 0.5 * s.h + tanh(u.a)


class Partial(Cell):
    """Gates without rows: b has none in ``weight_ih``, c none in ``weight_hh``."""

    gates = ("a", "b", "c")

    def step(self, x, u, s):
        return tanh(x.a + u.a) * sigmoid(u.b) + 0.1 * x.c


class Again(Cell):
    """The same rows of ``weight_hh`` applied to two values: both count in their gradient."""

    gates = ("a",)
    states = ("h", "m")

    def step(self, x, u, s):
        h = tanh(x.a + u.a)
        return h, 0.5 * s.m + self.product("a", h * s.m)


class Seer(Cell):
    """Products of leaves and of new states, and an input that is used as it comes."""

    gates = ("a", "b", "c")
    states = ("h", "m")
    inputs = ("noise", "gap")

    def step(self, x, u, s):
        h = tanh(x.a + self.product("b", self.input("noise")) * self.input("gap"))
        return h, tanh(self.product("c", h) + self.product("a", s.m))


class Echo(Cell):
    """New states that are leaves, and that the gradient reads: projected inputs and inputs."""

    gates = ("a", "b")
    states = ("h", "k", "n")
    inputs = ("noise",)

    def step(self, x, u, s):
        return x.a * s.h + x.b * s.n + self.input("noise") * s.k, x.a, self.input("noise")


class Peephole(Cell):
    """Learned vectors, on the previous state and on the new one."""

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    vectors = ("ci", "cf", "co")

    def step(self, x, u, s):
        i = sigmoid(x.i + u.i + self.vector("ci") * s.c)
        f = sigmoid(x.f + u.f + self.vector("cf") * s.c)
        c = f * s.c + i * tanh(x.g + u.g)
        return sigmoid(x.o + u.o + self.vector("co") * c) * tanh(c), c


class Projected(Cell):
    """The first state is smaller than the second."""

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    projection = "hr"

    def step(self, x, u, s):
        i, f, o = sigmoid(x.i + u.i), sigmoid(x.f + u.f), sigmoid(x.o + u.o)
        c = f * s.c + i * tanh(x.g + u.g)
        return self.product("hr", o * tanh(c)), c


class Multiplicative(Cell):
    """A further matrix, applied to an input and to the state, and gates on what comes of it."""

    gates = ("m", "i", "f")
    matrices = ("mh", "mn")
    inputs = ("noise",)

    def step(self, x, u, s):
        m = x.m * self.product("mh", s.h) + self.product("mn", self.input("noise") * 0.3)
        i, f = (sigmoid(getattr(x, k) + self.product(k, m)) for k in "if")
        return tanh(i * m) + f * s.h


class Narrow(Cell):
    """Everything at once in the projected state: sums over it, matrices from and to it."""

    gates = ("a",)
    states = ("h", "c")
    matrices = ("back",)
    vectors = ("gain",)
    projection = "down"

    def step(self, x, u, s):
        c = tanh(x.a + u.a) * self.vector("gain") + mean(s.h) * s.c
        c = c + 0.2 * self.product("back", tanh(s.h - mean(s.h * s.h)))
        h = tanh(self.product("down", c - mean(c)))
        return h + 0.3 * s.h * mean(s.c), c


class Gauge(Cell):
    """It gives out more than its states: a gate, a score, which alone reads a gate and a vector, a
    number of a row, and a state before the step."""

    gates = ("z", "n", "w")
    states = ("h", "m")
    outputs = ("gate", "score", "energy", "before")
    vectors = ("v",)

    def step(self, x, u, s):
        z = sigmoid(x.z + u.z)
        h = (1 - z) * tanh(x.n + u.n) + z * s.h
        score = tanh(x.w + self.vector("v") * s.m)
        return h, 0.5 * s.m + h * h, z, score, mean(h * s.h), s.m


class Independent(Cell):
    """A vector for a recurrence, and no matrix."""

    gates = ("h",)
    vectors = ("r",)

    def step(self, x, u, s):
        return relu(x.h + self.vector("r") * s.h)


class LayerNorm(Cell):
    """Rows normalised: of the input, of products, of several gates at once, of a new state."""

    gates = ("i", "f", "g")
    states = ("h", "c")
    vectors = ("gain", "shift")

    def step(self, x, u, s):
        i, f = layer_norm(u.i, u.f)
        c = sigmoid(f + x.f) * s.c + sigmoid(i + x.i) * tanh(layer_norm(x.g) + u.g)
        return tanh(layer_norm(c) * self.vector("gain") + self.vector("shift")), c


class Functions(Cell):
    """The functions that the other cells do without, each in a state of its own."""

    gates = ("h", *IN_CELL)
    states = ("h", *IN_CELL)

    def step(self, x, u, s):
        values = []
        for name, (function, options) in IN_CELL.items():
            a = 2 * (getattr(x, name) + getattr(u, name))
            a = a**2 + 0.5 if function in ("log", "log1p") else a
            values.append(getattr(elman, function)(a, **options))
        return tanh(x.h + u.h + sum(values) / 8), *values


class Attentive(Cell):
    """Reductions over units: attention to them, its largest weight, and a sum."""

    gates = ("a", "b")
    states = ("h", "c")

    def step(self, x, u, s):
        weights = elman.softmax(x.a + u.a)
        c = tanh(elman.sum(weights * s.c) + x.b + u.b)
        return c * weights / elman.amax(weights) + 0.1 * elman.amax(c * c), c


class Sized(Cell):
    """Values of other sizes: a recurrent matrix of rank two, a small memory, a state of one unit,
    a learned number."""

    gates = ("a", "b")
    states = ("h", "m", "k")
    matrices = ("down", "up", "write", "read")
    vectors = ("shift", "scale")
    sizes = {"down": 2, "write": 3, "m": 3, "shift": 3, "k": 1, "scale": 1}  # noqa: RUF012

    def step(self, x, u, s):
        low = self.product("up", self.product("down", s.h))
        m = tanh(self.product("write", s.h) + 0.5 * s.m + self.vector("shift"))
        k = 0.9 * s.k + 0.1 * elman.sum(s.h)
        h = self.vector("scale") * tanh(x.a + low + self.product("read", m))
        return h + 0.1 * sigmoid(x.b) * elman.sum(k), m, k


class SizedOutput(Cell):
    """An output of two units, which the recurrent matrix is applied to."""

    gates = ("a", "b")
    states = ("h", "c")
    matrices = ("out",)
    sizes = {"h": 2, "out": 2}  # noqa: RUF012

    def step(self, x, u, s):
        c = 0.5 * s.c + sigmoid(x.b + u.b) * tanh(x.a + u.a)
        return tanh(self.product("out", c)), c


class Tied(Cell):
    """Matrices and their transposed ones: of states, of new values and leaves, each several times,
    and from a memory of another size."""

    gates = ("a", "b")
    states = ("h", "m")
    matrices = ("w", "low")
    sizes = {"low": 3, "m": 3}  # noqa: RUF012

    def step(self, x, u, s):
        low = self.product("low", s.h)
        h = tanh(x.a + self.product("w", s.h) + self.product("low", tanh(low), transpose=True))
        back = self.product("w", h, transpose=True) + self.product("a", s.h, transpose=True)
        more = self.product("w", self.product("w", x.b, transpose=True) * s.h)
        h = 0.5 * h + sigmoid(back + u.b) * more + 0.2 * self.product("low", s.m, transpose=True)
        return h, tanh(self.product("low", h) + 0.5 * s.m)


class TiedHeads(Cell):
    """The same of block-diagonal matrices and a projection."""

    gates = ("a", "b")
    states = ("h", "c")
    matrices = ("w",)
    projection = "down"
    heads = 2

    def step(self, x, u, s):
        c = sigmoid(u.b) * s.c + tanh(x.a + self.product("down", s.h, transpose=True))
        c = c + 0.3 * self.product("w", tanh(self.product("w", c)), transpose=True)
        back = self.product("a", x.b, transpose=True)
        return tanh(self.product("down", c) + back), c


class PerHead(Cell):
    """Reductions over the units of each head: attention in heads, and heads that are normalised."""

    gates = ("a", "b")
    states = ("h", "c")
    matrices = ("m",)
    heads = 2

    def step(self, x, u, s):
        weights = elman.softmax(x.a + u.a, heads=2)
        c = tanh(elman.sum(weights * s.c, heads=2) + x.b) + 0.1 * elman.amax(x.b + u.b, heads=2)
        new = layer_norm(c + self.product("m", c), eps=0.1, heads=2)
        new = new + 0.1 * mean(s.h, heads=2) * self.product("m", elman.sum(s.h, heads=2))
        return tanh(new) * weights / elman.amax(weights, heads=2) + mean(c), c


class Raw(Cell):
    """The input itself: in products, unit by unit with a state, a mask and vectors of as many
    numbers, in sums, and as a gate reads it. What a matrix predicts of it."""

    gates = ("a", "b")
    states = ("h", "last")
    inputs = ("mask", "gap")
    matrices = ("w", "decode")
    vectors = ("rate", "middle")
    sizes = dict.fromkeys(("last", "mask", "decode", "rate", "middle"), "input_size")

    def step(self, x, u, s):
        raw, mask = self.input(), self.input("mask")
        kept = exp(-relu(self.vector("rate") * mask))
        last = mask * raw + (1 - mask) * (kept * s.last + (1 - kept) * self.vector("middle"))
        error = tanh(last - self.product("decode", s.h))
        h = tanh(x.a + self.product("w", last) + 0.3 * self.product("w", raw))
        h = h + self.product("decode", error, transpose=True) * self.input("gap")
        return h * sigmoid(u.b) + mean(raw * s.last), last + 0.1 * elman.amax(s.h)


class RawOnly(Cell):
    """No gate reads the input."""

    gates = ("a",)
    matrices = ("w",)

    def step(self, x, u, s):
        return tanh(self.product("w", self.input()) + u.a)


class Highway(Cell):
    """The input as a value of hidden units, in a layer of as many."""

    gates = ("a", "b")

    def step(self, x, u, s):
        raw, t = self.input(units="hidden_size"), sigmoid(x.b)
        return t * tanh(x.a + u.a) + (1 - t) * raw + 0.1 * mean(raw) * s.h


class Headed(Cell):
    """Block-diagonal matrices: the recurrent one, applied to two values, and a further one."""

    gates = ("f", "g")
    states = ("h", "c")
    matrices = ("m",)
    heads = 2

    def step(self, x, u, s):
        f = sigmoid(x.f + u.f)
        c = f * s.c + (1 - f) * tanh(x.g + self.product("g", f * s.h))
        return tanh(c + self.product("m", s.h)), c


class HeadedProjected(Projected):
    """Heads of rectangular matrices, and a projection of all of them."""

    heads = 2


class Clipped(Cell):
    """Bounds on gradients: of a state that the step reads itself, and of one that it does not."""

    gates = ("h",)
    states = ("h", "m")

    def step(self, x, u, s):
        h = elman.clip_gradient(tanh(x.h + u.h + 0.3 * s.m), 0.1)
        return h, elman.clip_gradient(0.5 * s.m + h * h, 0.02)


elman_tanh, elman_relu = elman.cells.Elman("tanh"), elman.cells.Elman("relu")

#: Every cell that the tests run, by name. The reference of each has the same name.
CELLS = {
    "tanh": elman_tanh,
    "relu": elman_relu,
    **{cls.__name__: cls() for cls in (LSTM, GRU, GRUBefore, LightGRU, Reset, Odd)},
    **{cls.__name__: cls() for cls in (Swap, Twin, Forgetful, Blind, Partial, Again, Seer)},
    **{cls.__name__: cls() for cls in (Echo, Peephole, Projected, Multiplicative, Narrow)},
    **{cls.__name__: cls() for cls in (Gauge, Independent, LayerNorm, Functions)},
    **{
        cls.__name__: cls()
        for cls in (Attentive, Sized, SizedOutput, Headed, HeadedProjected, Clipped)
    },
    **{cls.__name__: cls() for cls in (Tied, TiedHeads, PerHead, Raw, RawOnly, Highway)},
}
STEPS = {name: cell.trace() for name, cell in CELLS.items()}

#: The catalogue's cells by the names in their reference, with numbers unlike the defaults.
CATALOGUE = {
    name: elman.cells.by_name(name.partition(",")[0], **catalogue.HYPER.get(name, {}))
    for name in catalogue.FORMULAS
}
EVERY_STEP = STEPS | {name: cell.trace() for name, cell in CATALOGUE.items()}
