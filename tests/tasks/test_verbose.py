"""`verbose`: what `fit` shows of its progress, and that it changes nothing else."""

import pickle
import re

import pytest

from elman.tasks import SequenceClassifier, SequenceTagger, TaskError
from elman.tasks.models.folder import read_config
from tests.tasks.rows import make_rows
from tests.tasks.tagged_rows import SETTINGS, make_tagged

SMALL = {**SETTINGS, "epochs": 2}
MODELS = {
    SequenceClassifier: ({"cell": "rnn"}, make_rows(40), "elman.RNN"),
    SequenceTagger: ({}, make_tagged(40), "elman.GRU"),
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_fit_shows_a_line_for_each_epoch_unless_it_is_to_be_silent(kind, capsys):
    options, rows, name = MODELS[kind]
    shown = kind(**SMALL, **options).fit(*rows)
    out, err = capsys.readouterr()
    lines = [line.split("  ")[0] for line in err.splitlines()]
    assert (out, lines) == ("", [f"{name}, epoch {epoch}/2" for epoch in (1, 2)])
    silent = kind(**SMALL, **options, verbose=0).fit(*rows)
    assert capsys.readouterr() == ("", "")
    losses = [model.net_.history[:, "train_loss"] for model in (shown, silent)]
    assert losses[0] == losses[1]


def test_a_bar_belongs_to_one_training(tmp_path, capsys):
    rows = make_rows(40)
    model = SequenceClassifier(**SMALL).fit(*rows)
    capsys.readouterr()
    pickle.loads(pickle.dumps(model)).partial_fit(*rows)
    model.partial_fit(*rows)
    assert capsys.readouterr() == ("", "")


def test_it_is_no_part_of_what_is_saved(tmp_path, capsys):
    rows = make_rows(40)
    model = SequenceClassifier(**SMALL, verbose=0).fit(*rows, folder=tmp_path)
    assert "verbose" not in read_config(tmp_path)["parameters"]
    assert model.get_params()["verbose"] == 0
    assert SequenceClassifier.load(tmp_path).verbose == 1


def test_another_value_is_refused():
    with pytest.raises(TaskError, match=re.escape("verbose must be 0 or 1. Got 2.")):
        SequenceClassifier(verbose=2).fit(*make_rows(40))
