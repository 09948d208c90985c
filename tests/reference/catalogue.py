"""The cells of the catalogue once more, from their papers' equations, as in `recurrences.py`."""

import torch
from torch import exp, relu, sigmoid, tanh
from torch.nn.functional import layer_norm, logsigmoid, softplus, softsign

# The numbers in the equations, which are not the defaults.
LEAK, ALPHA, BETA, DT = 0.3, 0.7, 0.8, 0.3

#: What the cells are made with, by the name of a problem.
HYPER = {
    "lstm, projected": {"projection": True},
    "gru, before": {"reset_after": False},
    "gru, chosen": {"activation": "relu", "recurrent_activation": "hardsigmoid"},
    "lstm, chosen": {"activation": "softsign", "recurrent_activation": "hardsigmoid"},
    "leaky": {"leak": LEAK, "nonlinearity": "relu"},
    "ctrnn": {"leak": LEAK},
    "scrn": {"alpha": ALPHA},
    "janet": {"beta": BETA},
    "slstm, exp": {"forget": "exp"},
    "sru": {"scale": ALPHA},
    "cornn": {"dt": DT, "gamma": ALPHA, "epsilon": BETA},
    "unicornn": {"dt": DT, "alpha": ALPHA},
    "lem": {"dt": DT},
    "deltanet": {"keys": 3},
    "odernn": {"steps": 2},
    "odernn, euler": {"steps": 3, "solver": "euler"},
    "ltc": {"steps": 3},
    "ltc, relu": {"steps": 2, "nonlinearity": "relu"},
    "phasedlstm": {"ratio": ALPHA, "leak": LEAK},
    "antisymmetricrnn": {"epsilon": DT, "gamma": ALPHA},
    "gatedantisymmetricrnn": {"epsilon": DT, "gamma": ALPHA},
}


def lstm(x, w, h, c):
    i, f, o = (sigmoid(x(k) + w(k, h)) for k in "ifo")
    c = f * c + i * tanh(x("g") + w("g", h))
    return o * tanh(c), c


def gru(x, w, h):
    r, z = sigmoid(x("r") + w("r", h)), sigmoid(x("z") + w("z", h))
    return ((1 - z) * tanh(x("n") + r * w("n", h)) + z * h,)


def gru_before(x, w, h):
    r, z = sigmoid(x("r") + w("r", h)), sigmoid(x("z") + w("z", h))
    return ((1 - z) * tanh(x("n") + w("n", r * h)) + z * h,)


def projected(x, w, h, c):
    i, f, o = (sigmoid(x(k) + w(k, h)) for k in "ifo")
    c = f * c + i * tanh(x("g") + w("g", h))
    return w("hr", o * tanh(c)), c


def leaky(x, w, h):
    return (h + LEAK * (relu(x("h") + w("h", h)) - h),)


def ctrnn(x, w, h, v):
    v = v + LEAK * (-v + w("v", h) + x("v"))
    return tanh(v), v


def scrn(x, w, h, s):
    s = (1 - ALPHA) * x("s") + ALPHA * s
    return sigmoid(w("context", s) + x("h") + w("h", h)), s


def fast_rnn(x, w, h):
    return (sigmoid(x("alpha")) * tanh(x("h") + w("h", h)) + sigmoid(x("beta")) * h,)


def fast_grnn(x, w, h):
    z = sigmoid(x("h") + w("h", h) + x("z"))
    new = tanh(x("h") + w("h", h))
    return ((sigmoid(x("zeta")) * (1 - z) + sigmoid(x("nu"))) * new + z * h,)


def light_gru(x, w, h):
    z = sigmoid(x("z") + w("z", h))
    return (z * h + (1 - z) * relu(x("h") + w("h", h)),)


def mgu(forget):
    def formula(x, w, h):
        f = sigmoid(forget(x, w, h))
        return ((1 - f) * h + f * tanh(x("h") + w("h", f * h)),)

    return formula


def minimal_rnn(x, w, h):
    z = tanh(x("z"))
    u = sigmoid(w("u", h) + w("uz", z))
    return (u * h + (1 - u) * z,)


def ugrnn(x, w, h):
    g = sigmoid(x("g") + w("g", h))
    return (g * h + (1 - g) * tanh(x("c") + w("c", h)),)


def ran(x, w, h, c):
    c = sigmoid(x("i") + w("i", h)) * x("c") + sigmoid(x("f") + w("f", h)) * c
    return tanh(c), c


def cfn(x, w, h):
    theta, eta = sigmoid(x("f") + w("f", h)), sigmoid(x("i") + w("i", h))
    return (theta * tanh(h) + eta * tanh(x("h")),)


def star(x, w, h):
    k = sigmoid(x("k") + w("k", h))
    return (tanh((1 - k) * h + k * tanh(x("z"))),)


def brc(x, w, h):
    c, a = sigmoid(x("c") + x("wc") * h), 1 + tanh(x("a") + x("wa") * h)
    return (c * h + (1 - c) * tanh(x("h") + a * h),)


def nbrc(x, w, h):
    c, a = sigmoid(x("c") + w("c", h)), 1 + tanh(x("a") + w("a", h))
    return (c * h + (1 - c) * tanh(x("h") + a * h),)


def atr(x, w, h):
    p, q = x("h"), w("h", h)
    return (sigmoid(p + q) * p + sigmoid(p - q) * h,)


def mirnn(x, w, h):
    p, q = x("h"), w("h", h)
    return (tanh(x("alpha") * p * q + x("beta_h") * q + x("beta_x") * p + x("b")),)


def peephole_lstm(x, w, h, c):
    i, f = (sigmoid(x(k) + w(k, h) + x("c" + k) * c) for k in "if")
    c = f * c + i * tanh(x("g") + w("g", h))
    return sigmoid(x("o") + w("o", h) + x("co") * c) * tanh(c), c


def coupled_lstm(x, w, h, c):
    i = sigmoid(x("i") + w("i", h))
    c = (1 - i) * c + i * tanh(x("g") + w("g", h))
    return sigmoid(x("o") + w("o", h)) * tanh(c), c


def janet(x, w, h):
    s = x("f") + w("f", h)
    return (sigmoid(s) * h + (1 - sigmoid(s - BETA)) * tanh(x("g") + w("g", h)),)


def multiplicative_lstm(x, w, h, c):
    m = x("m") * w("m", h)
    i, f, o = (sigmoid(x(k) + w(k, m)) for k in "ifo")
    c = f * c + i * tanh(x("g") + w("g", m))
    return o * tanh(c), c


def slstm(log_forget):
    def formula(x, w, h, c, n, m):
        i, kept = x("i") + w("i", h), log_forget(x("f") + w("f", h)) + m
        new_m = torch.where(n == 0, i, torch.maximum(kept, i))
        c = exp(kept - new_m) * c + exp(i - new_m) * tanh(x("z") + w("z", h))
        n = exp(kept - new_m) * n + exp(i - new_m)
        return sigmoid(x("o") + w("o", h)) * c / n, c, n, new_m

    return formula


def nas(x, w, h, c):
    a = [x(f"k{k}") + w(f"k{k}", h) for k in range(1, 9)]
    p = tanh(sigmoid(a[0]) * relu(a[1]))
    q = tanh(sigmoid(a[2]) + relu(x("k4") * w("k4", h)))
    r = tanh(tanh(a[4]) * sigmoid(a[5]))
    v = sigmoid(tanh(a[6]) + sigmoid(a[7]))
    c = tanh(p + c) * q
    return tanh(c * tanh(r + v)), c


def _normal(*parts):
    row = torch.cat(parts, -1)
    return layer_norm(row, row.shape[-1:]).chunk(len(parts), -1)


def _joint(x, w, h, gates):
    rows = zip(gates, _normal(*map(x, gates)), _normal(*(w(k, h) for k in gates)), strict=True)
    return [x(f"gain_x_{k}") * a + x(f"gain_h_{k}") * b + x(f"shift_{k}") for k, a, b in rows]


def layer_norm_lstm(x, w, h, c):
    i, f, g, o = _joint(x, w, h, "ifgo")
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(x("gain_c") * _normal(c)[0] + x("shift_c")), c


def layer_norm_gru(x, w, h):
    z, r = _joint(x, w, h, "zr")
    a = x("gain_x_n") * _normal(x("n"))[0] + x("shift_x_n")
    b = x("gain_h_n") * _normal(w("n", h))[0] + x("shift_h_n")
    return ((1 - sigmoid(z)) * h + sigmoid(z) * tanh(a + sigmoid(r) * b),)


def sru(x, w, h, c):
    f, r = sigmoid(x("f") + x("vf") * c), sigmoid(x("r") + x("vr") * c)
    c = f * c + (1 - f) * x("c")
    return r * c + (1 - r) * x("k") * ALPHA, c


def qrnn(x, w, h, c):
    c = sigmoid(x("f")) * c + (1 - sigmoid(x("f"))) * tanh(x("z"))
    return sigmoid(x("o")) * c, c


def augru(x, w, h, attention):
    r, u = sigmoid(x("r") + w("r", h)), sigmoid(x("u") + w("u", h))
    new = tanh(x("n") + r * w("n", h))
    return ((1 - attention * u) * h + attention * u * new,)


def phased_lstm(x, w, h, c, time):
    phase = torch.remainder(time - x("shift"), x("tau")) / x("tau")
    up, down = 2 * phase / ALPHA, 2 - 2 * phase / ALPHA
    k = torch.where(phase < ALPHA / 2, up, torch.where(phase < ALPHA, down, LEAK * phase))
    new_h, new_c = peephole_lstm(x, w, h, c)
    return k * new_h + (1 - k) * h, k * new_c + (1 - k) * c


def cfc(x, w, h, dt):
    b = 1.7159 * tanh((x("b") + w("b", h)) * 0.666)
    first, second = (tanh(w(n, b) + x(f"bias_{n}")) for n in ("first", "second"))
    time_a, time_b = (w(f"time_{n}", b) + x(f"bias_{n}") for n in "ab")
    k = sigmoid(time_a * dt + time_b)
    return (torch.lerp(first, second, k),)


def ode_rnn(solve):
    def formula(x, w, h, dt):
        h = solve(lambda h: tanh(w("f", h) + x("bias_f")), h, dt)
        return (tanh(x("h") + w("h", h)),)

    return formula


def ltc(steps, activation):
    def formula(x, w, h, dt):
        rate = softplus(x("rate"))
        for _ in range(steps):
            f = activation(x("f") + w("f", h))
            h = (h + dt / steps * f * x("a")) / (1 + dt / steps * (rate + f))
        return (h,)

    return formula


def gru_d(x, w, h, last, m, d):
    kept = exp(-relu(x("decay") * d + x("decay_bias")))
    seen = torch.where(m > 0.5, x(), kept * last + (1 - kept) * x("mean"))
    h = exp(-relu(w("state_decay", d) + x("bias"))) * h
    r, z = (sigmoid(w(f"{k}_v", seen) + w(k, h) + w(f"{k}_m", m)) for k in "rz")
    new = tanh(w("n_v", seen) + w("n", r * h) + w("n_m", m))
    return (1 - z) * h + z * new, torch.where(m > 0.5, x(), last)


def hardsigmoid(v):
    return (v + 3).clamp(0, 6) / 6  # torch's own has rounded constants


def gru_chosen(x, w, h):
    r, z = (hardsigmoid(x(k) + w(k, h)) for k in "rz")
    return ((1 - z) * relu(x("n") + r * w("n", h)) + z * h,)


def lstm_chosen(x, w, h, c):
    i, f, o = (hardsigmoid(x(k) + w(k, h)) for k in "ifo")
    c = f * c + i * softsign(x("g") + w("g", h))
    return o * softsign(c), c


def runge_kutta(f, h, dt):
    for _ in range(2):
        k1 = f(h)
        k2 = f(h + dt / 4 * k1)
        k3 = f(h + dt / 4 * k2)
        k4 = f(h + dt / 2 * k3)
        h = h + dt / 12 * (k1 + 2 * k2 + 2 * k3 + k4)
    return h


def euler(f, h, dt):
    for _ in range(3):
        h = h + dt / 3 * f(h)
    return h


def lru(x, w, y, re, im):
    eigenvalue = exp(torch.complex(-exp(x("nu")), exp(x("theta"))))
    z = eigenvalue * torch.complex(re, im) + exp(x("gamma")) * torch.complex(x("re"), x("im"))
    return w("c_re", z.real) - w("c_im", z.imag) + x("y"), z.real, z.imag


def delta_net(keys, heads=1):
    def formula(x, w, h, *rows):
        q, k, v, b = (x(gate).unflatten(-1, (heads, -1)) for gate in "qkvb")
        q, k = (part[..., :keys].softmax(-1) for part in (q, k))
        memory = torch.stack(rows, -2).unflatten(-1, (heads, -1))
        known = torch.einsum("...nhd,...hn->...hd", memory, k)
        change = sigmoid(b) * (v - known)
        memory = memory + torch.einsum("...hn,...hd->...nhd", k, change)
        read = torch.einsum("...nhd,...hn->...hd", memory, q)
        return read.flatten(-2), *memory.flatten(-2).unbind(-2)

    return formula


def min_gru(x, w, h):
    z = sigmoid(x("z"))
    return ((1 - z) * h + z * x("h"),)


def min_lstm(x, w, h):
    f, i = sigmoid(x("f")), sigmoid(x("i"))
    return (f / (f + i) * h + i / (f + i) * x("h"),)


def co_rnn(x, w, y, z):
    z = z + DT * (tanh(w("z", y) + w("velocity", z) + x("z")) - ALPHA * y - BETA * z)
    return y + DT * z, z


def unicornn(x, w, y, z):
    d = DT * sigmoid(x("c"))
    z = z - d * (tanh(x("w") * y + x("z")) + ALPHA * y)
    return y + d * z, z


def lem(x, w, y, z):
    a, b = DT * sigmoid(w("a", y) + x("a")), DT * sigmoid(w("b", y) + x("b"))
    z = (1 - a) * z + a * tanh(w("z", y) + x("z"))
    return (1 - b) * y + b * tanh(w("y", z) + x("y")), z


def antisymmetric(x, w, h):
    return (h + DT * tanh(w("h", h) - ALPHA * h + x("h")),)


def gated_antisymmetric(x, w, h):
    a = w("h", h) - ALPHA * h
    return (h + DT * sigmoid(a + x("z")) * tanh(a + x("h")),)


#: By the name of a problem, which begins with that in the catalogue: as in `recurrences.py`.
FORMULAS = {
    "elman": ("h", lambda x, w, h: (tanh(x("h") + w("h", h)),)),
    "lstm": ("ifgo", lstm),
    "lstm, projected": ("ifgo", projected),
    "gru": ("rzn", gru),
    "gru, before": ("rzn", gru_before),
    "irnn": ("h", lambda x, w, h: (relu(x("h") + w("h", h)),)),
    "leaky": ("h", leaky),
    "ctrnn": ("v", ctrnn),
    "scrn": ("sh", "h", scrn),
    "fastrnn": ("h", fast_rnn),
    "fastgrnn": ("h", fast_grnn),
    "lightgru": ("zh", light_gru),
    "mgu": ("fh", mgu(lambda x, w, h: x("f") + w("f", h))),
    "mgu1": ("h", "fh", mgu(lambda x, w, h: w("f", h))),
    "mgu2": ("h", mgu(lambda x, w, h: w("f", h))),
    "mgu3": ("h", mgu(lambda x, w, h: x("f"))),
    "minimalrnn": ("z", "u", minimal_rnn),
    "ugrnn": ("gc", ugrnn),
    "ran": ("ifc", "if", ran),
    "cfn": ("fih", "fi", cfn),
    "star": ("kz", "k", star),
    "brc": ("cah", "", brc),
    "nbrc": ("cah", "ca", nbrc),
    "atr": ("h", atr),
    "augru": ("run", augru),
    "mirnn": ("h", mirnn),
    "peepholelstm": ("ifgo", peephole_lstm),
    "coupledlstm": ("igo", coupled_lstm),
    "janet": ("fg", janet),
    "multiplicativelstm": ("mifgo", multiplicative_lstm),
    "slstm": ("ifzo", slstm(logsigmoid)),
    "slstm, exp": ("ifzo", slstm(lambda f: f)),
    "nascell": (tuple(f"k{k}" for k in range(1, 9)), nas),
    "layernormlstm": ("ifgo", layer_norm_lstm),
    "layernormgru": ("zrn", layer_norm_gru),
    "indrnn": ("h", "", lambda x, w, h: (relu(x("h") + x("r") * h),)),
    "sru": ("cfrk", "", sru),
    "qrnn": ("zfo", "", qrnn),
    "mingru": ("zh", "", min_gru),
    "minlstm": ("fih", "", min_lstm),
    "ltc": ("f", ltc(3, sigmoid)),
    "ltc, relu": ("f", ltc(2, relu)),
    "grud": ("", "rzn", gru_d),
    "gru, chosen": ("rzn", gru_chosen),
    "lstm, chosen": ("ifgo", lstm_chosen),
    "phasedlstm": ("ifgo", phased_lstm),
    "cfc": ("b", cfc),
    "odernn": ("h", ode_rnn(runge_kutta)),
    "odernn, euler": ("h", ode_rnn(euler)),
    "lru": (("y", "re", "im"), "", lru),
    "deltanet": ("qkvb", "", delta_net(3)),
    "cornn": ("z", co_rnn),
    "unicornn": ("z", "", unicornn),
    "lem": ("abzy", lem),
    "antisymmetricrnn": ("h", antisymmetric),
    "gatedantisymmetricrnn": ("zh", "h", gated_antisymmetric),
}
