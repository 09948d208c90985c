"""``python -m benchmarks.series [classify] [forecast] [...]``: how good the defaults on series are.

Real data that lie in packages: aeon, sktime and statsmodels (of the extra `series`). Defaults were
chosen on those marked with a star. Beside them run what is hard to beat: nearest neighbours by
dynamic time warping, ROCKET. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elman.tasks import SeriesClassifier, SeriesRegressor
from elman.tasks.data.seriestable import read_series
from elman.tasks.series_baselines import predicted, series_baselines

#: Where each set lies, whether defaults were chosen on it, and whether numbers are learned.
CLASSIFY: dict[str, tuple[str, bool, bool]] = {
    "GunPoint": ("aeon", True, False),
    "ItalyPowerDemand": ("aeon", True, False),
    "BasicMotions": ("aeon", True, False),
    "ArrowHead": ("aeon", False, False),
    "JapaneseVowels": ("aeon", False, False),
    "PickupGestureWiimoteZ": ("aeon", False, False),
    "UnitTest": ("aeon", False, False),
    "OSULeaf": ("aeon", False, False),
    "ACSF1": ("aeon", False, False),
    "PLAID": ("sktime", False, False),
    "Covid3Month": ("aeon", True, True),
    "CardanoSentiment": ("aeon", False, True),
    "Tecator": ("sktime", False, True),
}


def data_of(package: str) -> Path:
    """The folder of a package's data; the package isn't imported."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "datasets" / "data"


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and its processor time."""
    began = time.process_time()
    return work(), time.process_time() - began


def classify(options: argparse.Namespace) -> None:
    """A row for each set of series with labels or numbers."""
    print("| series | learned from | lengths | elman.GRU | nearest, DTW | ROCKET | s of training |")
    print("|---|---|---|---|---|---|---|")
    for name, (package, chosen, numbers) in CLASSIFY.items():
        if options.only and name not in options.only:
            continue
        folder = data_of(package) / name
        train, test = (
            read_series(folder / f"{name}_{part}.ts", numbers=numbers) for part in ("TRAIN", "TEST")
        )

        def score(found: Any, truth: Any = test.labels, numbers: bool = numbers) -> float:
            if numbers:
                return float(np.sqrt(np.mean((np.asarray(found) - np.asarray(truth)) ** 2)))
            return float(100 * np.mean(np.asarray(found) == np.asarray(truth)))

        found, took = [], 0.0
        for seed in range(options.seeds):
            kind = SeriesRegressor if numbers else SeriesClassifier
            model = kind(random_state=seed, verbose=0, **options.set)
            _, spent = seconds(partial(model.fit, train.series, train.labels))
            took += spent / options.seeds
            found.append(score(model.predict(test.series)))
        ours = f"{np.mean(found):.3g} ± {np.std(found):.2g}" if numbers else f"{np.mean(found):.1f}"
        if not numbers and options.seeds > 1:
            ours += f" ± {np.std(found):.1f}"
        others = ["", ""]
        if options.baselines:
            learn = (train.series, train.labels)
            others = [
                f"{score(predicted(one, learn, test.series)):{'.3g' if numbers else '.1f'}}"
                for one in series_baselines(numbers, 0).values()
            ]
        lengths = [one.shape[1] for one in train.series]
        long = "-".join(map(str, sorted({min(lengths), max(lengths)})))
        channels = len(train.series[0])
        shown = f"{len(train):,}", long + (f" x {channels}" if channels > 1 else "")
        star = "*" if chosen else ""
        unit = ", RMSE" if numbers else ""
        row = [name + star + unit, *shown, ours, *others, f"{took:.0f}"]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Prints the tables, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=("classify", "forecast"), default="classify")
    parser.add_argument("--only", action="append", help="a set by its name; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-baselines", dest="baselines", action="store_false")
    parser.add_argument("--set", type=json.loads, default={}, help="parameters, as a JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the baselines'
    classify(options)


if __name__ == "__main__":
    main()
