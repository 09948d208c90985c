"""`elman train series` and what is done with its models, from files of all kinds."""

import csv
import json
import random
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from elman.tasks import SeriesClassifier, SeriesRegressor, TaskError
from elman.tasks.data.seriestable import read_series
from elman.tasks.jobs import series_baselines
from tests.tasks.series_rows import SETTINGS, long_rows, make_series, write_ts

SMALL = ("--hidden-size", 8, "--batch-size", 8, "--lr", 0.02, "--dropout", 0)
COLUMNS = {"id": "name", "time": "day", "label": "kind"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_ts(tmp_path_factory.mktemp("series") / "waves.ts", make_series(50))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return write_ts(tmp_path_factory.mktemp("series") / "others.ts", make_series(20, seed=1))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "waves"
    SeriesClassifier(**SETTINGS).fit(*make_series(50)).save(folder)
    return folder


def write_csv(path, rows, shuffle=True):
    rows = long_rows(rows)
    if shuffle:
        random.Random(0).shuffle(rows)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([["name", "day", "x", "y", "kind"], *rows])
    return path


def test_from_a_file_to_a_model_in_use(run, file, others, tmp_path):
    status, out, err = run("train", "series", file, *SMALL, "--epochs", 20, "--output", "m")
    assert (status, err) == (0, "")
    found = r"^50 series of 1\d to \d\d steps of 2 channels: \d+ '\w+', \d+ '\w+'$"
    assert re.search(found, out, re.M)
    assert "40 to learn from, 10 held out" in out
    assert "These are 10 series only" in out
    assert re.search(r"^\d+\.\d% of values missing$", out, re.M)
    written = {path.name for path in (tmp_path / "m").iterdir()}
    assert written == {
        *("config.json", "model.safetensors", "report.json", "options.toml", "README.md"),
        *("confusion.png", "reliability.png", "loss.png"),
    }
    status, out, err = run("evaluate", "m", others)
    assert (status, err) == (0, "")
    assert "20 series of " in out
    report = json.loads((tmp_path / "m/evaluate-others/report.json").read_bytes())
    assert report["evaluation"]["series"] == 20
    assert report["evaluation"]["accuracy"] > 0.8
    status, out, _ = run("inspect", "m", "--text", "0,1,0:100,105,100")
    assert status == 0
    assert "reads      series of 2 channels" in out
    assert re.search(r"^ *[\d.]+%  quick$", out, re.M)
    status, _, err = run("evaluate", "m", others, "--text", "x")
    assert (status, err) == (1, "elman: --text does not apply to this model; leave it out.\n")


def test_predict_in_every_form(run, model, others):
    status, out, err = run("predict", model, "--file", others)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 20
    assert re.match(r"(quick|slow)\t[01]\.\d{3}\t5\n", out)
    _, out, _ = run("predict", model, "--json", stdin=b"0,1,0:100,105,100\n")
    answer = json.loads(out)
    assert (answer["series"], {*answer["probabilities"]}) == (1, {"quick", "slow"})
    status, out, err = run("predict", model, "0,1:1", "1,2", "1,x:1,2", "1,2:?,3")
    assert (status, len(out.splitlines())) == (1, 1)
    assert "no series of numbers (arguments 1, 3); the first: channels of 1 and 2 steps" in err
    assert "another number of channels (argument 2): 1, in training 2" in err
    status, _, err = run("predict", model, "1:1", "--format", "html")
    assert (status, err) == (1, "elman: --format must be text or jsonl for series. Got 'html'.\n")


def test_a_long_table(run, tmp_path):
    write_csv(tmp_path / "waves.csv", make_series(40))
    columns = [f"--{name}={value}" for name, value in COLUMNS.items()]
    status, out, err = run(
        "train", "series", "waves.csv", *columns, *SMALL, "--epochs", 2, "--output", "m"
    )
    assert (status, err) == (0, "")
    assert "40 series of " in out
    report = json.loads((tmp_path / "m/report.json").read_bytes())
    assert report["data"]["values"] == ["x", "y"]
    write_csv(tmp_path / "new.csv", make_series(5, seed=3))
    assert "5 series of new.csv:" in run("evaluate", "m", "new.csv")[1]
    status, out, _ = run("predict", "m", "--file", "new.csv")
    assert status == 0
    assert {line.split("\t")[2] for line in out.splitlines()} == {f"s{n}" for n in range(5)}
    assert run("train", "series", "--config", "m/options.toml", "--output", "again")[0] == 0
    assert (tmp_path / "again/model.safetensors").read_bytes() == (
        tmp_path / "m/model.safetensors"
    ).read_bytes()


def test_all_forms_of_a_file_hold_the_same(tmp_path):
    rows = make_series(6)
    names, columns = ["name", "day", "x", "y", "kind"], [*zip(*long_rows(rows), strict=True)]
    numbers = [[float(v) if v else None for v in column] for column in columns[2:4]]
    table = dict(zip(names, [columns[0], columns[1], *numbers, columns[4]], strict=True))
    parquet.write_table(pa.table(table), tmp_path / "waves.parquet")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in long_rows(rows)]
    (tmp_path / "waves.jsonl").write_text("\n".join(lines))
    write_csv(tmp_path / "waves.csv", rows, shuffle=False)
    write_ts(tmp_path / "waves.ts", rows)
    found = [
        read_series(tmp_path / f"waves.{form}", **(COLUMNS if form != "ts" else {}))
        for form in ("ts", "csv", "jsonl", "parquet")
    ]
    for one in found:
        assert one.labels == rows[1]
        for series, expected in zip(one.series, rows[0], strict=True):
            np.testing.assert_allclose(series, expected, rtol=1e-5)
    assert found[1].source["values"] == ["x", "y"]


@pytest.mark.parametrize("how", ["header", "option"])
def test_numbers_are_learned_from_files(run, tmp_path, how):
    series, _ = make_series(40)
    rows = (series, [len(one[0]) + 0.5 for one in series])
    if how == "header":
        given = (write_ts(tmp_path / "a.ts", rows, "targetlabel true"),)
    else:
        write_csv(tmp_path / "a.csv", rows)
        given = ("a.csv", "--regression", *(f"--{n}={v}" for n, v in COLUMNS.items()))
    status, out, err = run("train", "series", *given, *SMALL, "--epochs", 3, "--output", "m")
    assert (status, err) == (0, "")
    assert re.search(r"held out off by \d\.\d{3} deviations  held-out loss ", out)
    scores = r"^R² -?[\d.]+, rank correlation -?[\d.]+, mean absolute error [\d.]+, RMSE "
    assert re.search(scores, out, re.M)
    assert isinstance(SeriesRegressor.load(tmp_path / "m"), SeriesRegressor)
    assert (tmp_path / "m/predictions.png").exists()
    assert re.fullmatch(r"-?[\d.]+\t1\n", run("predict", "m", "1,2:3,4")[1])
    assert re.search(r"^-?[\d.]+$", run("inspect", "m", "--text", "1,2:3,4")[1], re.M)
    assert re.search(r"scores +R² -?[\d.]+, RMSE", run("inspect", "m")[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ts", "1,2:a\n", "a.ts: line 1: expected '@data' before the series."),
        ("a.ts", "", "a.ts: is empty: expected '@data' before the series."),
        ("a.ts", "@classLabel false\n@data\n1,2\n", "there are no labels; expected '@classLabel"),
        ("a.ts", "@timestamps true\n@classLabel true a\n@data\n(1,2):a\n", "time stamps can't be"),
        ("a.ts", "@classLabel true a\n@data\n1,x:a\n1,2:3:a\n1,2: \n", "3 of 3 rows can't be used"),
        ("a.ts", "@classLabel true a\n@data\n1,2:a\n1:2:a\n", "another number of channels than"),
        ("a.ts", "@classLabel true a\n@data\n", "a.ts: has no series; expected at least one."),
        ("a.csv", "x,y\n1,2\n", "name the columns that say which series a row belongs to"),
        ("a.csv", "name,kind\na,b\n", "no column is left for values; name them with --values."),
        ("a.csv", "name,kind,x\na,b,1\na,c,2\n", "another 'kind' than its series (line 3): series"),
        ("a.csv", "name,kind,x\na,b,one\n", "'x' is no number (line 2): 'one'"),
        ("a.csv", "name,kind,x\n,b,1\na,,1\n", "1 row: no 'name' (line 2)\n  1 row: no 'kind'"),
        ("a.csv", "name,kind,day,x\na,b,soon,1\n", "'day' is no time (line 2): 'soon'; write 2024"),
        ("a.csv", "name,kind,day,x\na,b,1,1\na,b,2024-01-01,1\n", "'day' has dates and numbers"),
        ("a.txt", "", "can't tell the format from the suffix '.txt'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    columns = {} if "x,y" in content else {"id": "name", "label": "kind"}
    if ",day," in content:
        columns["time"] = "day"
    with pytest.raises(TaskError) as error:
        read_series(tmp_path / name, **columns)
    assert message in str(error.value)


def test_bad_series_are_left_out_if_that_is_wanted(tmp_path):
    (tmp_path / "a.ts").write_text("@classLabel true a b\n@data\n1,2:a\n1,x:b\n")
    found = read_series(tmp_path / "a.ts", skip_bad=True)
    assert (len(found), found.places) == (1, [3])
    assert found.notes[0].startswith("1 of 2 rows can't be used and are left out:")


def test_labels_never_seen_are_told(run, model, tmp_path):
    write_ts(tmp_path / "a.ts", (make_series(2)[0], ["quick", "strange"]))
    status, _, err = run("evaluate", model, "a.ts")
    assert status == 1
    assert "1 label(s) never seen in training: 'strange'; expected one of quick, slow" in err


def test_baselines_need_aeon(run, file, monkeypatch):
    monkeypatch.setattr(series_baselines, "find_spec", lambda name: None)
    status, _, err = run("train", "series", file, "--baseline")
    assert (status, "need the package aeon: pip install" in err) == (1, True)


def test_baselines_are_shown(run, file):
    pytest.importorskip("aeon")
    status, out, _ = run("train", "series", file, *SMALL, "--epochs", 2, "--baseline")
    assert status == 0
    assert re.search(r"^ROCKET +accuracy [\d.]+%", out, re.M)
