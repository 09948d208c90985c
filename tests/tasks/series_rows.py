"""A small learnable task: how quickly a wave of two channels turns decides its label."""

import numpy as np

SETTINGS = {"hidden_size": 8, "batch_size": 8, "epochs": 25, "lr": 0.02, "dropout": 0.0}


def make_series(count, seed=0, gaps=0.05):
    """Waves (2, T) of 12 to 30 steps with a few missing values, and their labels."""
    draw = np.random.default_rng(seed)
    series, labels = [], []
    for _ in range(count):
        quick = bool(draw.integers(2))
        steps = np.arange(draw.integers(12, 31))
        angle = steps * (1.2 if quick else 0.4) + draw.uniform(0, 6)
        one = np.stack([np.sin(angle), 100 + 5 * np.cos(angle)]) + draw.normal(0, 0.1)
        one[draw.random(one.shape) < gaps] = np.nan
        series.append(one)
        labels.append("quick" if quick else "slow")
    return series, labels


def write_ts(path, rows, kind="classLabel true quick slow"):
    """Series and labels as a .ts file."""
    lines = ["# waves", "@problemName waves", f"@{kind}", "@data"]
    for one, label in zip(*rows, strict=True):
        channels = [",".join("?" if np.isnan(v) else f"{v:.6g}" for v in row) for row in one]
        lines.append(":".join([*channels, str(label)]))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def long_rows(rows):
    """Series and labels as the rows of a long table: name, time, two values, label."""
    return [
        [f"s{number}", step, *("" if np.isnan(v) else f"{v:.6g}" for v in values), label]
        for number, (one, label) in enumerate(zip(*rows, strict=True))
        for step, values in enumerate(one.T)
    ]
