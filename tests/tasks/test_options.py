"""Options come from the classifier's signature, and from files."""

import inspect
from typing import get_type_hints

import pytest

from elman.tasks import (
    LanguageModel,
    SequenceClassifier,
    SequenceForecaster,
    SequenceTagger,
    TaskError,
)
from elman.tasks.commands import options
from elman.tasks.series import SeriesEstimator

TASKS = {
    "classifier:SequenceClassifier": SequenceClassifier,
    "tagger:SequenceTagger": SequenceTagger,
    "language_model:LanguageModel": LanguageModel,
    "series:SeriesEstimator": SeriesEstimator,
    "forecaster:SequenceForecaster": SequenceForecaster,
}


@pytest.mark.parametrize(("name", "task"), TASKS.items())
def test_every_parameter_has_an_option_with_its_default(name, task):
    parameters = dict(inspect.signature(task).parameters)
    hints = get_type_hints(task.__init__)
    read = list(options.parameters_of(name))
    assert [(one, default) for one, _, default in read] == [
        (one, parameter.default) for one, parameter in parameters.items()
    ]
    own = [(one, kind) for one, kind, _ in read if options.TYPES.get(one) not in (str, int)]
    assert own == [(one, hints[one]) for one, _ in own]
    for one in options.UNSEEN:
        del parameters[one]
    assert set(options.PANEL) >= set(parameters)
    given = {options.NAMES.get(name, name): p.default for name, p in parameters.items()}
    assert options.estimator(name, given).get_params() == task().get_params()


def test_every_option_is_a_parameter_of_some_task():
    assert (
        set(options.PANEL)
        == {name for task in TASKS.values() for name in inspect.signature(task).parameters}
        - options.UNSEEN
    )


def test_options_are_written_and_read_back(run, table, tmp_path):
    train = ("train", "classify", table, "--text", "text", "--label", "label", "--skip-bad")
    small = ("--epochs", 1, "--embedding-size", 4, "--dropout", 1e-5, "--no-bidirectional")
    json = ("--hidden-size", "[6, 5]", "--num-layers", 2, "--cell", '{"name": "leaky", "leak": 1}')
    status, _, err = run(*train, *small, *json, "--save-config", "my.toml", "--output", "one")
    assert (status, err) == (0, "")
    assert (tmp_path / "my.toml").read_text() == (tmp_path / "one/options.toml").read_text()

    # The command line wins over the file.
    assert run("train", "classify", "--config", "my.toml", "--output", "two", "--seed", 3)[0] == 0
    one, two = (SequenceClassifier.load(tmp_path / name) for name in ("one", "two"))
    assert one.hidden_size == [6, 5]
    assert (one.cell["name"], one.cell["leak"]) == ("leaky", 1)
    assert two.get_params() == {**one.get_params(), "random_state": 3}


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (
            "hiden_size = 8",
            1,
            "my.toml: there is no option 'hiden_size'. Did you mean hidden_size?",
        ),
        ("hidden-size = 8", 1, "there is no option 'hidden-size'. Did you mean hidden_size?"),
        ("xyz = 8", 1, "there is no option 'xyz'. There are file, text, label, "),
        ("epochs 8", 1, "my.toml: is not TOML ("),
        (f"epochs = {'9' * 5000}", 1, "my.toml: is not TOML ("),
        (f"epochs = {'[' * 5000}", 1, "my.toml: is not TOML ("),
        (f"hidden_size = '{'[' * 100_000}'", 1, "hidden_size must be a whole number"),
        ("epochs = 1.5", 2, "Invalid value for '--epochs'"),
        ("epochs = true", 2, "Invalid value for '--epochs'"),
        ("bidirectional = 'perhaps'", 2, "Invalid value for '--bidirectional'"),
        ("cell = {name = 'leaky', lek = 1}", 1, "cell Leaky: "),
        ("hidden_size = 0.5", 1, "hidden_size must be a whole number"),
    ],
)
def test_a_wrong_file_of_options_is_told(run, table, tmp_path, content, status, message):
    (tmp_path / "my.toml").write_text(f"file = '{table}'\n{content}\n")
    found, _, err = run("train", "classify", "--config", "my.toml")
    assert (found, "Traceback" in err) == (status, False)
    assert message in err


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    with pytest.raises(TaskError, match=r"none\.toml: can't be read \(No such file"):
        options.read_config(None, tmp_path / "none.toml")
    with pytest.raises(TaskError, match=r"can't be written \(Is a directory\)"):
        options.write_config(tmp_path, {})


@pytest.mark.parametrize(
    ("task", "held_out", "baseline"),
    [
        ("classify", "held-out texts", "TF-IDF"),
        ("tag", "held-out texts", "commonest tag"),
        ("lm", "held-out text,", "Kneser-Ney"),
        ("series", "held-out series,", "ROCKET"),
        ("forecast", "held-out steps,", "seasonal naive"),
    ],
)
def test_the_shared_options_name_what_a_task_has(run, task, held_out, baseline):
    shown = " ".join(run("train", task, "--help")[1].replace("│", " ").split())
    assert held_out in shown
    assert baseline in shown
    assert "{noun}" not in shown
