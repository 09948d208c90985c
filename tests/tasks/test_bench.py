import re


def test_bench_times_both_and_tells_the_mean(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    status, out, err = run("bench", "--only", "tutorial", "--rounds", 2, "--threads", 1)
    assert (status, err) == (0, "")
    assert re.search(r"threads 1; elman \S+, torch \S+", out)
    ratio = r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)"
    for mode in ("inference", "training"):
        row = rf"tutorial .* RNN .* 3, 1, 2, 4 .* {mode} .*\d [mu]s .*\d [mu]s .* {ratio}"
        assert re.search(row, out)
        assert re.search(rf"^{mode}: \d+\.\d\d times as fast, the geometric mean of 1$", out, re.M)


def test_an_unknown_workload_is_named_with_those_there_are(run):
    status, out, err = run("bench", "--only", "tutorials")
    assert (status, out) == (1, "")
    assert err.startswith("elman: No workload 'tutorials'; there are tutorial, psychrnn, ")
