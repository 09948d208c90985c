"""``python -m benchmarks.series [classify] [regress] [forecast] [distributions] [...]``.

How good the defaults on series are: real data that lie in packages, aeon, sktime and
statsmodels (of the extra `series`). Defaults were chosen on those marked with a star. Beside them
run what is hard to beat: nearest neighbours by dynamic time warping, ROCKET, exponential smoothing.
Seconds are processor time.
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
from typing import Any, NamedTuple

import numpy as np
import torch

from elman.tasks import History, SequenceForecaster, SeriesClassifier, SeriesRegressor
from elman.tasks.data.findings import Findings
from elman.tasks.data.longtable import Columns, listed, read_long
from elman.tasks.data.seriestable import read_series
from elman.tasks.jobs.forecast_baselines import ets_quantiles
from elman.tasks.jobs.series_baselines import predicted, series_baselines
from elman.tasks.networks.heads import FAMILIES
from elman.tasks.report.backtest import Backtest, Tell, naive_quantiles

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
    "Covid3Month_disc": ("aeon", False, False),
    "Covid3Month": ("aeon", True, True),
    "CardanoSentiment": ("aeon", False, True),
    "Tecator": ("sktime", False, True),
}


class Told(NamedTuple):
    """Where series to be foretold lie: a table, its columns, horizon and season."""

    file: str
    time: str
    values: str
    horizon: int
    season: int
    chosen: bool = False  # whether defaults were chosen on it


AEON, SKTIME, STATS = "aeon/datasets/data", "sktime/datasets/data", "statsmodels/datasets"
MACRO = "realgdp,realcons,realinv,cpi,m1,tbilrate,unemp,infl"
FORECAST = {
    "Airline": Told(f"{AEON}/Airline/Airline.csv", "Date", "Passengers", 12, 12, True),
    "co2, monthly": Told(f"{STATS}/co2/co2.csv", "date", "co2", 12, 12, True),
    "Uschange": Told(
        f"{AEON}/Uschange/Uschange.csv",
        *("Quarter", "Consumption,Income,Production,Savings,Unemployment", 8, 4, True),
    ),
    "ShampooSales": Told(f"{AEON}/ShampooSales/ShampooSales.csv", "Time", "Sales", 6, 1),
    "Lynx": Told(f"{AEON}/Lynx/Lynx.csv", "", "0", 10, 10),
    "PBS": Told(f"{AEON}/PBS_dataset/PBS_dataset.csv", "", "Scripts", 12, 12),
    "seatbelts": Told(f"{SKTIME}/seatbelts/seatbelts.csv", "", "KSI", 12, 12),
    "solar": Told(f"{SKTIME}/solar/solar.csv", "datetime_gmt", "solar_gen", 48, 48),
    "sunspots": Told(f"{STATS}/sunspots/sunspots.csv", "", "SUNACTIVITY", 11, 11),
    "nile": Told(f"{STATS}/nile/nile.csv", "", "volume", 10, 1),
    "macrodata": Told(f"{STATS}/macrodata/macrodata.csv", "", MACRO, 8, 4),
    "elnino": Told(f"{STATS}/elnino/elnino.csv", "", "", 12, 12),
    "M1, yearly": Told(f"{AEON}/m1_yearly_dataset/m1_yearly_dataset.tsf", "", "", 6, 1),
}


def installed(path: str) -> Path:
    """A path that begins with a package, which isn't imported."""
    package, _, rest = path.partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is not installed; its data are needed.")
    return Path(found.origin).parent / rest


def histories_of(name: str) -> list[History]:
    """The series of a set."""
    told = FORECAST[name]
    path = installed(told.file)
    if path.suffix == ".tsf":
        rows = path.read_text("latin-1").partition("@data")[2].strip().splitlines()
        return [History(np.array(row.rpartition(":")[2].split(","), float)) for row in rows]
    if name == "elnino":  # a row a year
        table = np.genfromtxt(path, delimiter=",", skip_header=1)
        return [History(table[:, 1:].ravel())]
    if name.startswith("co2"):  # weeks, of which the mean of each month
        dates, values = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=str).T
        month = np.array([int(d[:4]) * 12 + int(d[4:6]) for d in dates])
        known = np.array([float(value) if value else np.nan for value in values])
        every = np.arange(month[0], month[-1] + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [History(np.array([np.nanmean(known[month == one]) for one in every]))]
    found = read_long(path, Columns("", told.time, listed(told.values)), Findings())
    times = found.times[0]
    if found.dated:
        times = (times * 1e6).astype("datetime64[us]")
    return [History(values, times) for values in found.values[0].T]


def parts_of(name: str) -> tuple[list[History], list[int], list[History]]:
    """The series of a set, the steps from which on they are told, and what comes before these."""
    series, horizon = histories_of(name), FORECAST[name].horizon
    held_out = [max(horizon, len(one) // 5) for one in series]
    if name.startswith("M1"):
        held_out = [horizon] * len(series)
    begins = [len(one) - last for one, last in zip(series, held_out, strict=True)]
    return series, begins, [one.until(step) for one, step in zip(series, begins, strict=True)]


def distributions(options: argparse.Namespace) -> None:
    """A row for each set: quantiles and distributions, scored by the same three quantiles."""
    kinds = [None, *FAMILIES]
    print(f"| series | {' | '.join(kind or 'quantiles' for kind in kinds)} |")
    print(f"|{'---|' * (len(kinds) + 1)}")
    for name, told in FORECAST.items():
        if options.only and name not in options.only:
            continue
        series, begins, learn = parts_of(name)
        row = [name + "*" * told.chosen]
        for kind in kinds:
            values = np.concatenate([one.values for one in series])
            if kind and FAMILIES[kind].counts and (np.nan_to_num(values) % 1).any():
                row.append("")
                continue
            found = []
            for seed in range(options.seeds):
                given = {"horizon": told.horizon, "season": told.season, "random_state": seed}
                model = SequenceForecaster(distribution=kind, verbose=0, **{**given, **options.set})
                model.fit(learn)
                windows = model.windows(series, begins)
                test = Backtest.of(windows, model.tell, model.quantiles, begins)
                found.append([test.mase, test.crps, 100 * test.coverage])
            mase, crps, covered = np.mean(found, 0)
            row.append(f"{mase:.2f}, {crps:.2f}, {covered:.0f}%")
        print(f"| {' | '.join(row)} |", flush=True)


def forecast(options: argparse.Namespace) -> None:
    """A row for each set of series to be foretold: MASE and CRPS of the last fifth, by turns."""
    head = ["elman.GRU", "seasonal naive", "ETS"]
    shown = " | ".join([*(f"{n}: MASE, CRPS" for n in head), "covered", "s of training"])
    print(f"| series | steps | horizon, season | {shown} |")
    print(f"|{'---|' * 8}")
    for name, told in FORECAST.items():
        if options.only and name not in options.only:
            continue
        series, begins, learn = parts_of(name)
        scores, took = [], 0.0
        for seed in range(options.seeds):
            given = {"horizon": told.horizon, "season": told.season, "random_state": seed}
            model = SequenceForecaster(**{**given, "verbose": 0, **options.set})
            _, spent = seconds(partial(model.fit, learn))
            took += spent / options.seeds
            scores.append(model.backtest(series, begins))
        quantiles, windows = model.quantiles, model.windows(series, begins)
        others: list[Tell] = [naive_quantiles, *([ets_quantiles] if options.baselines else [])]
        rows = [np.mean([[one.mase, one.crps] for one in scores], 0).tolist()]
        for tell in others:
            test = Backtest.of(windows, tell, quantiles, begins)
            rows.append([test.mase, test.crps])
        figures = [f"{mase:.2f}, {crps:.2f}" for mase, crps in rows]
        figures += [""] * (3 - len(figures))
        lengths = [len(one) for one in series]
        long = "-".join(map(str, sorted({min(lengths), max(lengths)})))
        many = f"{len(series)} x {long}" if len(series) > 1 else long
        covered = f"{np.mean([one.coverage for one in scores]):.0%}"
        row = [name + "*" * told.chosen, many, f"{told.horizon}, {told.season}", *figures, covered]
        print(f"| {' | '.join(row)} | {took:.0f} |", flush=True)


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and the processor time of this thread: others are the baselines'."""
    began = time.thread_time()
    return work(), time.thread_time() - began


def classify(options: argparse.Namespace, numbers: bool = False) -> None:
    """A row for each set of series with labels or with numbers: accuracies, or RMSEs."""
    alone = ["the mean"] if numbers else []
    head = ["series", "learned from", "lengths", "elman.GRU", *alone, "nearest, DTW", "ROCKET"]
    print(f"| {' | '.join(head)} | s of training |")
    print(f"|{'---|' * (len(head) + 1)}")
    for name, (package, chosen, of_numbers) in CLASSIFY.items():
        if of_numbers != numbers or (options.only and name not in options.only):
            continue
        folder = installed(f"{package}/datasets/data/{name}")
        train, test = (
            read_series(folder / f"{name}_{part}.ts", numbers=numbers) for part in ("TRAIN", "TEST")
        )

        def score(found: Any, truth: Any = test.labels) -> float:
            if numbers:
                return float(np.sqrt(np.mean((np.asarray(found) - np.asarray(truth)) ** 2)))
            return float(100 * np.mean(np.asarray(found) == np.asarray(truth)))

        found, took, form = [], 0.0, ".3g" if numbers else ".1f"
        for seed in range(options.seeds):
            kind = SeriesRegressor if numbers else SeriesClassifier
            model = kind(random_state=seed, verbose=0, **options.set)
            _, spent = seconds(partial(model.fit, train.series, train.labels))
            took += spent / options.seeds
            found.append(score(model.predict(test.series)))
        others = [f"{score(np.mean(train.labels)):{form}}"] if numbers else []
        for one in series_baselines(numbers, 0).values():
            learn, answers = (train.series, train.labels), ""
            if options.baselines:
                answers = f"{score(predicted(one, learn, test.series)):{form}}"
            others.append(answers)
        lengths = [one.shape[1] for one in train.series]
        long = "-".join(map(str, sorted({min(lengths), max(lengths)})))
        channels = len(train.series[0])
        shown = f"{len(train):,}", long + (f" x {channels}" if channels > 1 else "")
        ours = f"{np.mean(found):{form}} ± {np.std(found):{'.2g' if numbers else '.1f'}}"
        row = [name + "*" * chosen, *shown, ours, *others, f"{took:.0f}"]
        print(f"| {' | '.join(row)} |", flush=True)


PARTS = {
    "classify": classify,
    "regress": partial(classify, numbers=True),
    "forecast": forecast,
    "distributions": distributions,
}


def main() -> None:
    """Prints the tables, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*PARTS])
    parser.add_argument("--only", action="append", help="a set by its name; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-baselines", dest="baselines", action="store_false")
    parser.add_argument("--set", type=json.loads, default={}, help="parameters, as a JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the baselines'
    for part in dict.fromkeys(options.parts):
        PARTS[part](options)
        print()


if __name__ == "__main__":
    main()
