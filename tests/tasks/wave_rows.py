"""Series that can be foretold: a season of four steps and a trend."""

import numpy as np


def make_waves(count, steps=80, seed=0):
    """Series with a season of four steps, a trend, and a level of their own."""
    draw = np.random.default_rng(seed)
    pattern = np.array([0.0, 4.0, 1.0, 7.0])
    return [
        10.0 ** draw.uniform(0, 4)
        * (20 + np.resize(pattern, steps) + 0.3 * np.arange(steps) + draw.normal(0, 0.3, steps))
        for _ in range(count)
    ]


def make_counts(count, steps=80, seed=0):
    """Counts with a season of four steps, of a mean of their own."""
    draw = np.random.default_rng(seed)
    pattern = np.array([1.0, 4.0, 2.0, 8.0])
    levels = draw.uniform(0.3, 30, count)
    return [draw.poisson(level * np.resize(pattern, steps)).astype(float) for level in levels]
