"""The activations in higher precision than the kernels', and the measure of their errors."""

import mpmath
import numpy as np

FLOAT64 = {  # of float32 arguments, without a warning where they overflow
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0.0),
}
EXACT = {
    "exp": mpmath.exp,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
}


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
