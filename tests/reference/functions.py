"""The functions of a formula as PyTorch has them; the transcendental ones in higher precision than
the kernels', and the measure of their errors."""

import mpmath
import numpy as np
import torch
from torch.nn import functional

#: What elman and PyTorch both call by this name and with these arguments.
CALLS = {
    **{name: (name, {}) for name in ("abs", "sqrt", "exp", "tanh", "sigmoid", "relu")},
    "steep_relu": ("leaky_relu", {"negative_slope": 1.5}),
    "double_elu": ("elu", {"alpha": 2.0}),
    "sharp_softplus": ("softplus", {"beta": 3.0, "threshold": 1.5}),
    "narrow_tanh": ("hardtanh", {"min_val": -0.25, "max_val": 0.5}),
    "clamp_below": ("clamp", {"min": 0.3}),
    "clamp_above": ("clamp", {"max": -0.1}),
    "clamp_empty": ("clamp", {"min": 0.5, "max": -0.5}),
}
#: Of these, the ones that a cell of the tests has for states.
IN_CELL = {
    **{name: (name, {}) for name in ("expm1", "log", "log1p", "sin", "cos", "erf", "square")},
    **{name: (name, {}) for name in ("gelu", "silu", "softplus", "softsign", "leaky_relu", "elu")},
    **{name: (name, {}) for name in ("hardtanh", "hardsigmoid", "hardswish")},
    "gelu_tanh": ("gelu", {"approximate": "tanh"}),
    "clamp": ("clamp", {"min": -0.75, "max": 0.5}),
}
CALLS |= IN_CELL
EXACTER = {  # PyTorch has a sixth and a third in float32, and so does its gradient
    "hardsigmoid": lambda a: torch.clamp(a + 3, 0, 6) / 6,
    "hardswish": lambda a: a * torch.clamp(a + 3, 0, 6) / 6,
}


def call(name: str, argument: torch.Tensor) -> torch.Tensor:
    """PyTorch's function of this row."""
    function, options = CALLS[name]
    home = torch if hasattr(torch, function) else functional
    value: torch.Tensor = getattr(home, function)(argument, **options)
    if function != "clamp":
        return value
    # At a bound PyTorch passes the whole gradient, as elman does; since 2.14 none.
    inside = argument >= options.get("min", -np.inf)
    return torch.where(inside & (argument <= options.get("max", np.inf)), argument, value.detach())


FLOAT64 = {  # of float32 arguments, without a warning where they overflow
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh")},
    "erf": lambda x: torch.erf(torch.from_numpy(x)).numpy(),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0.0),
}
EXACT = {
    **{name: getattr(mpmath, name) for name in ("exp", "expm1", "log", "log1p", "sin", "cos")},
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
}
LEAST = {"log": 0.0, "log1p": -1.0}  # of the arguments; at and below it is no number


def values32(function: str, x: np.ndarray) -> np.ndarray:
    """The function of float32 numbers, in float64."""
    with np.errstate(all="ignore"):
        return FLOAT64[function](x.astype(np.float64))


def ulps32(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The error of float32 results in units in the last place of the expected float64 value.

    The unit of what is below the normal numbers is the smallest one; infinity counts as the
    number after the largest. Both NaN is no error, one NaN infinitely many.
    """
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.clip(np.abs(expected), 2.0**-126, 2.0**127))
        limit = 2.0**128
        a = np.clip(actual.astype(np.float64), -limit, limit)
        error = np.abs(a - np.clip(expected, -limit, limit)) / np.ldexp(1.0, exponent - 24)
    nan = np.isnan(actual), np.isnan(expected)
    return np.where(nan[0] & nan[1], 0.0, np.where(nan[0] | nan[1], np.inf, error))


def values64(function: str, x: np.ndarray) -> list[mpmath.mpf]:
    """The function of float64 numbers, with 100 bits more."""
    with mpmath.workprec(160):
        return [EXACT[function](mpmath.mpf(float(a))) for a in x]


def ulps64(actual: np.ndarray, expected: list[mpmath.mpf]) -> np.ndarray:
    """The same of float64 results against exact ones."""
    limit, found = mpmath.mpf(2) ** 1024, []
    with mpmath.workprec(160):
        for a, e in zip(actual, expected, strict=True):
            if np.isnan(a):
                found.append(np.inf)
                continue
            value = mpmath.mpf(float(a)) if np.isfinite(a) else limit * int(np.sign(a))
            exponent = max(mpmath.frexp(e)[1], -1021) if e else -1021
            error = abs(value - min(e, limit)) / mpmath.mpf(2) ** (exponent - 53)
            found.append(float(error))
    return np.array(found)
