"""The recurrences once more, in float64 and as plainly as can be; nothing here comes from elman.

A formula takes ``x(gate)``, the projected input, or a learned vector of that name, ``x()`` for the
input itself; ``w(gate,
value)``, the product of the gate's rows of the recurrent weight (with its bias), or of a further
matrix, transposed and without bias if it is told the number of ``heads``; the states; and the
further inputs. Padded batches, one step after the other, with a mask for the rows that have ended.
"""

import torch
from torch import sigmoid, tanh

from tests.reference import catalogue
from tests.reference.functions import EXACTER, IN_CELL, call


def light_gru(x, w, h):
    z = sigmoid(x("z") + w("z", h))
    return ((1 - z) * torch.relu(x("n") + w("n", h)) + z * h,)


def reset(x, w, h, keep):
    return (tanh(x("h") + w("h", torch.where(keep > 0.5, h, torch.zeros_like(h)))),)


def odd(x, w, h, m):
    zero = torch.zeros_like(h)
    a = torch.relu(x("a") + w("a", h) + 0.3 * m)
    q = w("b", a * m)
    new_m = torch.maximum(torch.exp(-torch.sqrt(1 + q * q)), 0.5 * m)
    r = torch.minimum(q.abs(), 1.5 - a)
    g = torch.where(new_m > a, new_m - a * w("a", h), tanh(x("b")) / (2 + sigmoid(q)))
    g = torch.where(a == 0, 0.9 * g, g) + torch.where(q < 0.1, 0.2 * r, zero)
    g = torch.where(a != 0, g, g + 0.1 * q)
    return torch.where(q >= 0.3, g - 0.2, torch.where(q <= -0.3, 0.5 * g, g)), new_m


def swap(x, w, h, last):
    return x("a") + w("a", h) - 0.5 * last, h


def twin(x, w, h, k):
    new = tanh(x("a") + w("a", h) + 0.5 * k)
    return new, new


def forgetful(x, w, h):
    return (sigmoid(x("a")) * h + tanh(x("b")),)


def blind(x, w, h):
    return (0.5 * h + tanh(w("a", h)),)


def partial(x, w, h):
    return (tanh(x("a") + w("a", h)) * sigmoid(w("b", h)) + 0.1 * x("c"),)


def again(x, w, h, m):
    new = tanh(x("a") + w("a", h))
    return new, 0.5 * m + w("a", new * m)


def seer(x, w, h, m, noise, gap):
    new = tanh(x("a") + w("b", noise) * gap)
    return new, tanh(w("c", new) + w("a", m))


def gauge(x, w, h, m):
    z = sigmoid(x("z") + w("z", h))
    new = (1 - z) * tanh(x("n") + w("n", h)) + z * h
    return new, 0.5 * m + new * new


def echo(x, w, h, k, n, noise):
    return x("a") * h + x("b") * n + noise * k, x("a"), noise


def multiplicative(x, w, h, noise):
    m = x("m") * w("mh", h) + w("mn", 0.3 * noise)
    return (tanh(sigmoid(x("i") + w("i", m)) * m) + sigmoid(x("f") + w("f", m)) * h,)


def attentive(x, w, h, c):
    weights = torch.softmax(x("a") + w("a", h), -1)
    new = tanh((weights * c).sum(-1, keepdim=True) + x("b") + w("b", h))
    largest = (new**2).max(-1, keepdim=True).values
    return new * weights / weights.max(-1, keepdim=True).values + 0.1 * largest, new


def sized(x, w, h, m, k):
    new_m = tanh(w("write", h) + m / 2 + x("shift"))
    new_k = 0.9 * k + 0.1 * h.sum(-1, keepdim=True)
    new = x("scale") * tanh(x("a") + w("up", w("down", h)) + w("read", new_m))
    return new + 0.1 * sigmoid(x("b")) * new_k, new_m, new_k


def sized_output(x, w, h, c):
    new = c / 2 + sigmoid(x("b") + w("b", h)) * tanh(x("a") + w("a", h))
    return tanh(w("out", new)), new


def per_head(x, w, h, c):
    def of_heads(function, v):
        parts = v.chunk(2, -1)
        return torch.cat([function(p).expand_as(p) for p in parts], -1)

    def total(v):
        return of_heads(lambda p: p.sum(-1, keepdim=True), v)

    def largest(v):
        return of_heads(lambda p: p.max(-1, keepdim=True).values, v)

    weights = of_heads(lambda p: torch.softmax(p, -1), x("a") + w("a", h))
    new = tanh(total(weights * c) + x("b")) + 0.1 * largest(x("b") + w("b", h))
    normal = of_heads(  # group_norm refuses heads of one unit
        lambda p: torch.nn.functional.layer_norm(p, p.shape[-1:], eps=0.1), new + w("m", new)
    )
    normal = normal + 0.1 * of_heads(lambda p: p.mean(-1, keepdim=True), h) * w("m", total(h))
    return tanh(normal) * weights / largest(weights) + new.mean(-1, keepdim=True), new


def raw(x, w, h, last, mask, gap):
    kept = torch.exp(-torch.relu(x("rate") * mask))
    seen = mask * x() + (1 - mask) * (kept * last + (1 - kept) * x("middle"))
    error = tanh(seen - w("decode", h))
    new = tanh(x("a") + w("w", seen) + 0.3 * w("w", x())) + w("decode", error, heads=1) * gap
    new = new * sigmoid(w("b", h)) + (x() * last).mean(-1, keepdim=True)
    return new, seen + 0.1 * h.max(-1, keepdim=True).values


def raw_only(x, w, h):
    return (tanh(w("w", x()) + w("a", h)),)


def highway(x, w, h):
    t = sigmoid(x("b"))
    new = t * tanh(x("a") + w("a", h)) + (1 - t) * x()
    return (new + 0.1 * x().mean(-1, keepdim=True) * h,)


def headed(x, w, h, c):
    f = sigmoid(x("f") + w("f", h))
    new = f * c + (1 - f) * tanh(x("g") + w("g", f * h))
    return tanh(new + w("m", h)), new


def tied(x, w, h, m):
    new = tanh(x("a") + w("w", h) + w("low", tanh(w("low", h)), heads=1))
    gate = sigmoid(w("w", new, heads=1) + w("a", h, heads=1) + w("b", h))
    new = new / 2 + gate * w("w", w("w", x("b"), heads=1) * h) + 0.2 * w("low", m, heads=1)
    return new, tanh(w("low", new) + m / 2)


def tied_heads(x, w, h, c):
    new = sigmoid(w("b", h)) * c + tanh(x("a") + w("down", h, heads=1))
    new = new + 0.3 * w("w", tanh(w("w", new)), heads=2)
    return tanh(w("down", new) + w("a", x("b"), heads=2)), new


def narrow(x, w, h, c):
    new = tanh(x("a") + w("a", h)) * x("gain") + h.mean(1, keepdim=True) * c
    new = new + 0.2 * w("back", tanh(h - (h**2).mean(1, keepdim=True)))
    lower = tanh(w("down", new - new.mean(1, keepdim=True)))
    return lower + 0.3 * h * c.mean(1, keepdim=True), new


def independent(x, w, h):
    return (torch.relu(x("h") + x("r") * h),)


def layer_norm(x, w, h, c):
    def normal(v):
        return torch.nn.functional.layer_norm(v, v.shape[-1:])

    i, f = normal(torch.cat([w("i", h), w("f", h)], -1)).chunk(2, -1)
    c = sigmoid(f + x("f")) * c + sigmoid(i + x("i")) * tanh(normal(x("g")) + w("g", h))
    return tanh(normal(c) * x("gain") + x("shift")), c


def functions(x, w, h, *_):
    values = []
    for name in IN_CELL:
        a = 2 * (x(name) + w(name, h))
        a = a * a + 0.5 if name in ("log", "log1p") else a
        values.append(EXACTER[name](a) if name in EXACTER else call(name, a))
    return tanh(x("h") + w("h", h) + sum(values) / 8), *values


#: By the name of the cell: the gates in the order of the rows of weight_ih, those of weight_hh if
#: they are others, and the formula.
def clipped(x, w, h, m):
    def clip(value, bound):
        value.register_hook(lambda g: g.clamp(-bound, bound))
        return value

    new = clip(tanh(x("h") + w("h", h) + 0.3 * m), 0.1)
    return new, clip(0.5 * m + new * new, 0.02)


FORMULAS = {
    "tanh": ("h", lambda x, w, h: (tanh(x("h") + w("h", h)),)),
    "relu": ("h", lambda x, w, h: (torch.relu(x("h") + w("h", h)),)),
    "LSTM": ("ifgo", catalogue.lstm),
    "GRU": ("rzn", catalogue.gru),
    "GRUBefore": ("rzn", catalogue.gru_before),
    "LightGRU": ("zn", light_gru),
    "Reset": ("h", reset),
    "Odd": ("ab", odd),
    "Swap": ("a", swap),
    "Twin": ("a", twin),
    "Forgetful": ("ab", "", forgetful),
    "Blind": ("", "a", blind),
    "Partial": ("ac", "ab", partial),
    "Again": ("a", again),
    "Seer": ("a", "abc", seer),
    "Echo": ("ab", "", echo),
    "Gauge": ("znw", "zn", gauge),
    "Peephole": ("ifgo", catalogue.peephole_lstm),
    "Projected": ("ifgo", catalogue.projected),
    "Multiplicative": ("mif", "if", multiplicative),
    "Narrow": ("a", narrow),
    "Independent": ("h", "", independent),
    "LayerNorm": ("ifg", layer_norm),
    "Functions": (("h", *IN_CELL), functions),
    "Attentive": ("ab", attentive),
    "Sized": ("ab", "", sized),
    "SizedOutput": ("ab", sized_output),
    "Tied": ("ab", tied),
    "TiedHeads": ("ab", tied_heads),
    "PerHead": ("ab", per_head),
    "Raw": ("a", "b", raw),
    "RawOnly": ("", "a", raw_only),
    "Highway": ("ab", "a", highway),
    "Headed": ("fg", headed),
    "HeadedProjected": ("ifgo", catalogue.projected),
    "Clipped": ("h", clipped),
}


def whole(weight, value):
    """The matrix that is applied to a value: a block-diagonal one with its zeros."""
    heads = value.shape[-1] // weight.shape[1]
    return torch.block_diag(*weight.chunk(heads)) if heads > 1 else weight


def run(name, x, weights, initial, inputs, lengths, reverse=False, reset=None, returns=None):
    """One direction of a padded batch.

    ``x`` is ``(T, B, I)``, ``weights`` tensors by name (absent biases None), ``initial`` one
    tensor for each state, ``inputs`` ``(T, B, H)`` tensors, ``lengths`` the steps of each row.
    Before steps with a ``reset``, ``(T, B)``, the states are what a reset ``returns`` to, by
    default the initial ones; in reverse after the step that comes before it in time.
    Returns the first state at every step, zero after a row's end, and the final states.
    """
    x_gates, *u_gates, formula = (FORMULAS | catalogue.FORMULAS)[name]
    blocks = {"ih": x_gates, "hh": u_gates[0] if u_gates else x_gates}

    def times(kind, value, gate):
        index, count = blocks[kind].index(gate), len(blocks[kind])
        weight, bias = weights[f"weight_{kind}"], weights[f"bias_{kind}"]
        result = value @ whole(weight.tensor_split(count)[index], value).T
        return result if bias is None else result + bias.tensor_split(count)[index]

    def read(gate, t):
        if not gate:
            return x[t]
        if gate in x_gates:
            return times("ih", x[t], gate)
        return weights[f"weight_{gate}"]

    def product(gate, value, heads=0):
        if heads:
            weight = weights[f"weight_{'hh' if gate in blocks['hh'] else gate}"]
            if gate in blocks["hh"]:
                weight = weight.tensor_split(len(blocks["hh"]))[blocks["hh"].index(gate)]
            return value @ torch.block_diag(*weight.chunk(heads))
        if gate in blocks["hh"]:
            return times("hh", value, gate)
        return value @ whole(weights[f"weight_{gate}"], value).T

    states, outputs = list(initial), [None] * x.shape[0]
    steps = range(x.shape[0])
    for t in reversed(steps) if reverse else steps:
        active = (t < lengths).unsqueeze(1)
        cut = t + reverse
        if reset is not None and cut < len(x):
            anew = (reset[cut] & (cut < lengths)).unsqueeze(1)
            pairs = zip(returns or initial, states, strict=True)
            states = [torch.where(anew, r, s) for r, s in pairs]
        new = formula(
            lambda gate="", t=t: read(gate, t), product, *states, *(given[t] for given in inputs)
        )
        outputs[t] = torch.where(active, new[0], torch.zeros_like(new[0]))
        states = [torch.where(active, n, s) for n, s in zip(new, states, strict=True)]
    return torch.stack(outputs), states
