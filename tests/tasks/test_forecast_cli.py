"""`elman train forecast` and what is done with its models."""

import csv
import json
import re

import numpy as np
import pytest

from elman.tasks import SequenceForecaster, TaskError
from elman.tasks.data.forecasttable import read_forecast_table
from elman.tasks.jobs import forecast
from tests.tasks.wave_rows import make_counts, make_waves

SMALL = ("--horizon", 4, "--season", 4, "--hidden-size", 8, "--lr", 0.02, "--epochs", 3)


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two series of days, one with a missing value and one with a day left out."""
    days = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    rows = [
        [name, day, "" if (name, number) == ("a", 30) else f"{value:.4f}"]
        for name, one in zip("ab", make_waves(2, 60), strict=True)
        for number, (day, value) in enumerate(zip(days, one, strict=True))
        if (name, number) != ("b", 20)
    ]
    return write(tmp_path_factory.mktemp("sales") / "sales.csv", ["shop", "day", "sales"], rows)


def test_from_a_file_to_forecasts(run, file, tmp_path):
    columns = ("--id", "shop", "--time", "day")
    train = ("train", "forecast", file, *columns, *SMALL)
    status, out, err = run(*train, "--output", "m", "--baseline")
    assert (status, err) == (0, "")
    assert "119 steps of 2 series, 1.7% of values missing" in out
    assert "1 step without a row: their values are missing" in out
    assert re.search(r"held out pinball loss \d\.\d{4}", out)
    found = r"^MASE [\d.]+, CRPS [\d.]+, WQL [\d.]+, coverage [\d.]+% \(of 80%\): 6 forecasts of 4"
    assert re.search(found, out, re.M)
    assert re.search(r"^seasonal naive +MASE ", out, re.M)
    written = {path.name for path in (tmp_path / "m").iterdir()}
    assert written == {
        *("config.json", "model.safetensors", "report.json", "options.toml", "README.md"),
        *("forecast.png", "loss.png"),
    }
    status, out, err = run("predict", "m", "--output", "told.csv")
    assert (status, out, err) == (0, "", "")
    rows = list(csv.reader((tmp_path / "told.csv").read_text("utf-8").splitlines()))
    assert rows[0] == ["series", "time", "0.1", "0.5", "0.9"]
    assert [row[:2] for row in rows[1:3]] == [["a", "2024-03-01"], ["a", "2024-03-02"]]
    assert len(rows) == 9
    assert all(float(low) <= float(middle) <= float(high) for *_, low, middle, high in rows[1:])
    status, out, err = run("evaluate", "m", file)
    assert (status, err) == (0, "")
    assert "MASE " in out
    status, out, _ = run("inspect", "m", "--text", "1,2,3")
    assert status == 0
    assert "tells      4 steps: 0.1, 0.5, 0.9" in out
    assert re.search(r"^scores +MASE [\d.]+, CRPS [\d.]+ of 6 forecasts", out, re.M)
    assert re.search(r"^\+1  -?[\d.]+$", out, re.M)


def test_counts_from_a_file_to_forecasts(run, tmp_path):
    series = make_counts(2)
    rows = [[name, int(v)] for name, one in zip("ab", series, strict=True) for v in one]
    write(tmp_path / "sold.csv", ["shop", "sold"], rows)
    like = ("--distribution", "negative-binomial")
    train = ("train", "forecast", "sold.csv", "--id", "shop", *SMALL)
    status, out, err = run(*train, *like, "--output", "m", "--baseline")
    assert (status, err) == (0, "")
    assert re.search(r"held out negative log-likelihood \d\.\d{4}", out)
    assert re.search(r"^seasonal naive +MASE ", out, re.M)
    assert (tmp_path / "m/forecast.png").exists()
    assert "| tells | 4 steps: 0.1, 0.5, 0.9 of a negative-binomial distribution |" in (
        card := (tmp_path / "m/README.md").read_text("utf-8")
    )
    assert "every token" not in card
    status, out, _ = run("predict", "m")
    told = [list(map(float, row[2:])) for row in list(csv.reader(out.splitlines()))[1:]]
    assert status == 0
    assert (np.array(told) % 1 == 0).all()
    status, out, _ = run("evaluate", "m", "sold.csv")
    assert (status, "coverage" in out) == (0, True)
    status, _, err = run(*train, "--from", "m", *like, "--output", "on")
    assert (status, err) == (0, "")
    status, _, err = run(*train, "--from", "m", "--distribution", "normal", "--output", "on")
    assert (status, "has negative-binomial, and can't be changed" in err) == (1, True)
    write(tmp_path / "sold.csv", ["sold"], [[2.5], [1], [2]] * 8)
    status, _, err = run("train", "forecast", "sold.csv", *like, "--horizon", 2)
    assert (status, "is for counts: whole numbers from 0. Got 2.5 in y[0]; " in err) == (1, True)


def test_values_from_the_command_line(run, tmp_path):
    settings = {"horizon": 2, "season": 1, "hidden_size": 4, "epochs": 1, "quantiles": [0.5, 0.8]}
    SequenceForecaster(**settings).fit(make_waves(1)[0]).save("m")
    status, out, _ = run("predict", tmp_path / "m", "1,2,3", "--json")
    assert status == 0
    lines = list(map(json.loads, out.splitlines()))
    assert [line["time"] for line in lines] == ["3", "4"]
    assert list(lines[0]["quantiles"]) == ["0.5", "0.8"]
    status, _, err = run("predict", "m", "1,x")
    assert (status, "no series of numbers (argument 1)" in err) == (1, True)
    status, _, err = run("predict", "m", "1,2", "--format", "conll")
    assert (status, "must be text or jsonl for forecasts (text: CSV)" in err) == (1, True)


def test_covariates_and_several_targets(tmp_path):
    rows = [[i, i % 3, i * 2, "" if i > 7 else i, "" if i > 8 else -i] for i in range(12)]
    path = write(tmp_path / "a.csv", ["t", "k", "unused", "x", "y"], rows)
    given = {"time": "t", "target": ["x,y"], "known": ["k"]}
    table = read_forecast_table(path, given)
    assert table.names == ["x", "y"]
    assert [len(one) for one in table.histories] == [8, 9]
    assert [one.known.shape for one in table.histories] == [(12, 1)] * 2
    assert table.source["target"] == ["x", "y"]


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        ("t,x,y\n1,2,3\n", {"time": "t"}, "name the column to be told with --target; left are 'x'"),
        ("", {}, "a.csv: is empty; expected a header line and rows below it."),
        ("t,x\n1,\n", {"time": "t"}, "a.csv: x has no value; expected some."),
        ("t,x\n1,2\n", {"time": "day"}, "a.csv: no column 'day'"),
        ("t,x\n1,two\n", {"time": "t"}, "'x' is no number (line 2): 'two'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, content, given, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(TaskError) as error:
        read_forecast_table(tmp_path / "a.csv", given)
    assert message in str(error.value)


def test_too_short_a_series_and_other_errors(run, file, tmp_path):
    write(tmp_path / "a.csv", ["x"], [[1], [2], [3]])
    status, _, err = run("train", "forecast", "a.csv", "--horizon", 4)
    assert (status, "1 of 1 series have fewer than 6 steps, the first 3" in err) == (1, True)
    status, _, err = run("train", "forecast", "a.csv", "--valid", "a.csv")
    assert (status, "leave out --valid" in err) == (1, True)


def test_ets_is_shown_where_it_is_installed(run, file, monkeypatch):
    monkeypatch.setattr(forecast, "has_ets", lambda: False)
    train = ("train", "forecast", file, "--id", "shop", "--time", "day", *SMALL)
    status, out, _ = run(*train, "--baseline")
    assert (status, "ETS needs statsmodels: pip install" in out) == (0, True)


def test_ets(run, file):
    pytest.importorskip("statsmodels")
    train = ("train", "forecast", file, "--id", "shop", "--time", "day", *SMALL)
    status, out, _ = run(*train, "--baseline")
    assert status == 0
    assert re.search(r"^ETS +MASE [\d.]+", out, re.M)
