"""What comes next in series of numbers: windows, quantiles, back-tests."""

import json
import re

import numpy as np
import pytest
import torch

from elman.tasks import History, SequenceForecaster, TaskError
from elman.tasks.data.history import as_histories, filled_in
from elman.tasks.data.times import Pace
from elman.tasks.data.windows import Outlook, Windows
from elman.tasks.report.backtest import Backtest, naive_quantiles, ranked_scores
from elman.tasks.training.forecastnet import WindowBatches
from tests.tasks.wave_rows import make_waves

NAN = np.nan
SMALL = {"horizon": 4, "season": 4, "hidden_size": 8, "epochs": 20, "lr": 0.02, "verbose": 0}


def days(*numbers):
    return np.array(numbers, "datetime64[D]")


@pytest.fixture(scope="module")
def model():
    return SequenceForecaster(**SMALL).fit(make_waves(4))


def windows_of(values, ends, known=None, times=None, **how):
    histories, dated = as_histories([History(np.array(values, float), times, known)])
    pace = Pace.of([one.times for one in histories], dated)
    how = {"horizon": 2, "season": 3, "context": 4} | how
    return Windows(histories, Outlook.of(histories, pace, **how), [np.array(ends)])


def test_windows_hold_what_was_and_what_is_known_ahead():
    known = np.arange(9.0)[:, None]  # two steps further than the values
    windows = windows_of([1, 2, NAN, 4, 5, 6, 7], [7, 2], known)
    packed, ahead = windows.pack(np.array([0, 1]))
    assert packed.batch_sizes.tolist() == [2, 2, 1, 1]
    assert packed.unsorted_indices.tolist() == [0, 1]
    first = packed.data[[0, 2, 4, 5]]  # the values 4, 5, 6, 7; changes over a season 3, 3, ?, 3
    middle, scale = 5.5, np.std([4, 5, 6, 7])
    np.testing.assert_allclose(first[:, 0], (np.arange(4, 8) - middle) / scale, rtol=1e-6)
    assert first[:, 1].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert first[:, 3].tolist() == [0.0, 0.0, 1.0, 0.0]
    covariate = (np.arange(9) - 4) / np.std(np.arange(9))
    np.testing.assert_allclose(first[:, 5], covariate[3:7], rtol=1e-6)
    np.testing.assert_allclose(ahead.features[0, :, 3], covariate[7:9], rtol=1e-6)
    assert ahead.base.tolist() == [[5.0, 6.0], [2.0, 1.0]]  # a season before; else the last value
    assert ahead.spread[0] == 3.0
    np.testing.assert_array_equal(windows.truth(np.array([0, 1])), [[NAN, NAN], [NAN, 4.0]])


def test_what_comes_later_does_not_count():
    """A window says the same, whatever the values after it."""
    values = np.random.default_rng(0).normal(size=30)
    other = np.where(np.arange(30) < 20, values, 99.0)
    (one, ahead), (same, other_ahead) = (
        windows_of(given, [20, 11]).pack(np.array([0, 1])) for given in (values, other)
    )
    assert torch.equal(one.data, same.data)
    assert all(map(torch.equal, ahead, other_ahead))


def test_times_that_are_left_out_are_missing_values():
    months = np.array(["2020-01", "2020-02", "2020-03", "2020-06"], "datetime64[M]")
    (one,), dated = as_histories([History([1.0, 2.0, 3.0, 4.0], months)])
    filled, count = filled_in(one, Pace.of([one.times], dated))
    assert count == 2
    np.testing.assert_array_equal(filled.values, [1, 2, 3, NAN, NAN, 4])
    (irregular,), _ = as_histories([History([1.0, 2.0, 3.0], [0.0, 1.0, 2.4])])
    assert filled_in(irregular, Pace(1.0))[0] is irregular


def test_gaps_in_time_are_an_input():
    windows = windows_of([1, 2, 3, 4], [4], times=[0.0, 1.0, 2.0, 4.5])
    packed, ahead = windows.pack(np.array([0]))
    np.testing.assert_allclose(packed.data[:, 4], np.log([1, 1, 1, 2.5]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ahead.features[0, :, 2], 0, atol=1e-7)


@pytest.mark.parametrize("cell", ["gru", "lightgru"])
def test_it_is_better_than_the_seasonal_naive_forecast(cell):
    series = make_waves(4)
    found = SequenceForecaster(**SMALL, cell=cell).fit([one[:60] for one in series])
    test = found.backtest(series, [60] * 4)
    windows = found.windows(series, [60] * 4)
    naive = Backtest.of(windows, naive_quantiles, found.quantiles, [60] * 4)
    assert (test.steps, len(test.told)) == (80, 20)
    assert test.mase < 0.5 * naive.mase
    assert test.crps < 0.5 * naive.crps
    assert found.score(series) > -0.6


def test_forecasts_follow_the_scale_of_a_series(model):
    (series,) = make_waves(1, seed=3)
    once, shifted = (model.predict_quantiles(one) for one in (series, 1000 * series + 7))
    assert once.shape == (1, 4, 3)
    assert (np.diff(once, axis=2) >= 0).all()
    np.testing.assert_allclose(shifted, 1000 * once + 7, rtol=1e-4)
    np.testing.assert_array_equal(model.predict(series), once[:, :, 1])


def test_missing_values_are_none(model):
    (series,) = make_waves(1, seed=3)
    holes = series.copy()
    holes[[-1, -7, -8]] = NAN
    told = model.predict(holes)
    assert np.isfinite(told).all()
    assert np.abs(told - model.predict(series)).max() < 0.5 * series.std()


def test_scores_by_hand():
    truth = np.array([[1.0, NAN], [2.0, 4.0]])
    told = np.array([[[0.0, 1.0, 3.0]] * 2, [[1.0, 3.0, 3.5]] * 2])
    levels = (0.1, 0.5, 0.9)
    ranked = ranked_scores(told, truth, levels)
    test = Backtest(told, truth, np.array([2.0, 4.0]), ranked, levels)
    assert test.steps == 3
    assert test.mase == pytest.approx((0 + 1 / 4 + 1 / 4) / 3)
    assert test.coverage == pytest.approx(2 / 3)
    # Pinball losses by quantile: 0.1, 0, 0.2; 0.1, 0.5, 0.15; 0.3, 0.5, 0.45
    means = np.array([0.3, 0.75, 1.25]) / 3
    assert test.wql == pytest.approx(2 * means.sum() / 7)
    assert test.crps == pytest.approx((2 * means / np.array([2, 4, 4])).mean())


def test_a_known_covariate_tells_what_history_does_not():
    draw = np.random.default_rng(0)
    known = draw.integers(0, 2, 124).astype(float)
    values = 5 * known + draw.normal(0, 0.1, 124)
    y = History(values[:120], known=known)
    found = SequenceForecaster(**{**SMALL, "season": 1, "epochs": 100, "batch_size": 16}).fit(y)
    assert np.abs(found.predict(y)[0] - values[120:]).max() < 2.5  # a change is of 5
    with pytest.raises(TaskError, match=r"y\[0\] must have covariates of the 4 steps .* Got 0 of"):
        found.predict(History(values[:120], known=known[:120]))
    with pytest.raises(TaskError, match="y has 0 covariates, in training 1"):
        found.predict(values[:120])


@pytest.mark.parametrize(
    ("times", "later"),
    [
        (np.arange("2020-01", "2021-05", dtype="datetime64[M]"), "2021-05-01"),
        (days(*range(16)), "1970-01-17"),
        (
            np.datetime64("2020-01-01T00:30") + np.arange(16) * np.timedelta64(30, "m"),
            "2020-01-01 08:30:00",
        ),
        (np.arange(16) * 2.5, "40"),
    ],
    ids=["months", "days", "half hours", "numbers"],
)
def test_times_go_on_as_they_were(times, later):
    y = History(np.arange(16.0), times)
    found = SequenceForecaster(**{**SMALL, "epochs": 1}).fit(y)
    assert found.later(y)[0][0] == later


@pytest.mark.parametrize(
    "times", [days(*range(48)), np.arange(48) * 2.5, None], ids=["days", "numbers", "none"]
)
def test_series_without_times_have_the_pace_of_training(times):
    """The same is read as of series with times but for the calendar; steps have numbers."""
    (values,) = make_waves(1, 48)
    found = SequenceForecaster(**{**SMALL, "epochs": 1}).fit(History(values, times))
    assert found.later(values) == [["48", "49", "50", "51"]]
    (read,) = found._histories(values)
    assert np.diff(read.times).tolist() == [found.outlook_.pace.size] * 47
    if times is None or not found.outlook_.pace.dated:
        told = found.predict(History(values, times))
        np.testing.assert_array_equal(found.predict(values), told)


@pytest.mark.parametrize(
    ("days_apart", "season"), [(1 / 48, 48), (1 / 24, 24), (1, 7), (7, 52), (365.2425, 1)]
)
def test_a_season_follows_from_dates(days_apart, season):
    assert Pace(days_apart * 86400, dated=True).usual() == season


def test_ranks_share_a_batch():
    windows = windows_of(np.arange(12.0), range(4, 12))
    batches = WindowBatches(windows, 4, most=6)
    assert len(batches) == 2
    whole, truth = batches.batch(np.array([1, 7]), 0, 1)
    parts = [batches.batch(np.array([1, 7]), rank, 3) for rank in range(3)]
    assert {batch.whole for batch, _ in parts} == {whole.whole} == {3}  # the last has one step
    assert parts[2][1].isnan().all()
    np.testing.assert_array_equal(torch.cat([part for _, part in parts[:2]]), truth)


@pytest.mark.parametrize(
    ("settings", "y", "message"),
    [
        ({"horizon": 0}, [1.0, 2.0], "horizon must be a whole number from 1"),
        ({"quantiles": (0.1, 0.9)}, [1.0, 2.0], "quantiles must be rising numbers between 0 and 1"),
        ({"quantiles": (0.5, 0.5)}, [1.0, 2.0], "quantiles must be rising"),
        ({"season": 0}, [1.0, 2.0], "season must be None, or a whole number"),
        ({"patience": 1}, [1.0, 2.0], "patience needs held-out data"),
        ({}, [], "y has no series; expected at least one."),
        ({}, [[NAN, 1.0]], "y has no series with two values"),
        ({}, [["a"]], "y[0] must hold numbers ("),
        ({}, [[1.0, np.inf]], "y[0] has an infinite value; a missing one is NaN."),
        ({}, [np.zeros((2, 2))], "y[0] must be an array (T,) of a step at least. Got (2, 2)."),
        ({}, [History([1.0, 2.0], [1, 1])], "y[0] must have times that rise from step to step."),
        ({}, [History([1.0, 2.0], [1])], "y[0] has 2 values, 1 times and 2 rows of covariates"),
        ({}, [History([1.0, 2.0], days(1, 2)), [1.0]], "dates and numbers as times; expected the"),
    ],
)
def test_what_cannot_be_learned_is_told(settings, y, message):
    with pytest.raises(TaskError, match=re.escape(message)):
        SequenceForecaster(**settings).fit(y if len(y) != 2 or isinstance(y[0], History) else [y])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "objects 'pace' and 'known'"),
        ({"season": 0}, "a positive 'season'"),
        ({"context": 1.5}, "a positive 'season', 'context'"),
        ({"pace": {"size": 0, "months": 0, "dated": True}}, "'pace' must have a positive 'size'"),
        ({"known": {"mean": [0], "scale": []}}, "of a length"),
        ({"known": {"mean": [0], "scale": [1]}}, "expected"),
    ],
)
def test_a_folder_that_does_not_hold_together(model, tmp_path, change, message):
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    config["outlook"] = config["outlook"] | change if change else {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskError, match=message):
        SequenceForecaster.load(tmp_path)
