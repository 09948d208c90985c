"""The recurrences once more, in float64 and as plainly as can be; nothing here comes from elman.

A formula takes ``x(gate)``, the projected input; ``w(gate, value)``, the product of the gate's
rows of the recurrent weight (with its bias); the states; and the further inputs. Padded batches,
one step after the other, with a mask for the rows that have ended.
"""

import torch
from torch import sigmoid, tanh


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


def echo(x, w, h, k, n, noise):
    return x("a") * h + x("b") * n + noise * k, x("a"), noise


#: By the name of the cell: its gates in the order of the weights' rows, and its formula.
FORMULAS = {
    "tanh": ("h", lambda x, w, h: (tanh(x("h") + w("h", h)),)),
    "relu": ("h", lambda x, w, h: (torch.relu(x("h") + w("h", h)),)),
    "LSTM": ("ifgo", lstm),
    "GRU": ("rzn", gru),
    "GRUBefore": ("rzn", gru_before),
    "LightGRU": ("zn", light_gru),
    "Reset": ("h", reset),
    "Odd": ("ab", odd),
    "Swap": ("a", swap),
    "Twin": ("a", twin),
    "Forgetful": ("ab", forgetful),
    "Blind": ("a", blind),
    "Partial": ("abcu", partial),
    "Again": ("a", again),
    "Seer": ("abc", seer),
    "Echo": ("ab", echo),
}


def run(name, x, weights, initial, inputs, lengths, reverse=False):
    """One direction of a padded batch.

    ``x`` is ``(T, B, I)``, ``weights`` four tensors (biases may be None), ``initial`` one
    ``(B, H)`` tensor for each state, ``inputs`` ``(T, B, H)`` tensors, ``lengths`` the steps of
    each row. Returns ``(T, B, H)``, zero after a row's end, and the final states.
    """
    gates, formula = FORMULAS[name]
    w_ih, w_hh, b_ih, b_hh = weights
    units = w_hh.shape[1]

    def rows(tensor, gate):
        return tensor[gates.index(gate) * units :][:units]

    def times(matrix, bias, value, gate):
        result = value @ rows(matrix, gate).T
        return result if bias is None else result + rows(bias, gate)

    states, outputs = list(initial), [None] * x.shape[0]
    steps = range(x.shape[0])
    for t in reversed(steps) if reverse else steps:
        active = (t < lengths).unsqueeze(1)
        new = formula(
            lambda gate, t=t: times(w_ih, b_ih, x[t], gate),
            lambda gate, value: times(w_hh, b_hh, value, gate),
            *states,
            *(given[t] for given in inputs),
        )
        outputs[t] = torch.where(active, new[0], torch.zeros_like(new[0]))
        states = [torch.where(active, n, s) for n, s in zip(new, states, strict=True)]
    return torch.stack(outputs), states
