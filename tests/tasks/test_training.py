"""When a training ends, at which learning rate, and what it says of itself."""

import math
import shlex
import sys
from pathlib import Path

import pytest
from sklearn.base import clone

from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.data.fingerprint import fingerprint
from elman.tasks.training.schedule import out_of_patience
from tests.tasks.trainings import PoisonAt

SMALL = {
    "embedding_size": 8,
    "hidden_size": 8,
    "batch_size": 16,
    "token_dropout": 0.0,
    "dropout": 0.0,
    "lr": 0.1,
}


@pytest.fixture(scope="module")
def noisy(rows):
    """Texts of which every fifth has the wrong label: those can only be learned by heart."""
    texts, labels = rows
    other = {"positive": "negative", "negative": "positive"}
    return texts, [other[one] if row % 5 == 0 else one for row, one in enumerate(labels)]


@pytest.fixture(scope="module")
def patient(noisy, unseen):
    return SequenceClassifier(**SMALL, epochs=30, patience=2).fit(*noisy, valid=unseen)


def test_patience_ends_the_training_and_keeps_the_best_epoch(patient, unseen):
    epochs = patient.training_["epochs"]
    losses = [epoch["valid_loss"] for epoch in epochs]
    best = losses.index(min(losses))
    assert len(epochs) == best + 3 < 30
    assert patient.score(*unseen) == epochs[best]["valid_acc"]
    probabilities = patient.predict_proba(unseen[0])
    right = probabilities[range(100), patient.classes_.searchsorted(unseen[1])]
    assert -sum(map(math.log, right)) / 100 == pytest.approx(losses[best], rel=1e-4)
    assert losses[-1] > losses[best]


def test_with_patience_the_learning_rate_falls_when_nothing_gets_better(patient):
    lr = 0.1
    for epoch in patient.training_["epochs"]:
        assert epoch["lr"] == lr
        lr *= 1 if epoch["valid_loss_best"] else 0.5
    steps = patient.net_.history[0]["batches"][:19]
    assert [step["train_lr"] for step in steps] == [0.1 * (n / 19) for n in range(1, 20)]


def test_out_of_patience():
    better, worse = {"valid_loss_best": True}, {"valid_loss_best": False}
    assert not out_of_patience([better, worse, worse], None)
    assert not out_of_patience([better, worse, worse], 3)
    assert out_of_patience([better, worse, worse], 2)
    assert not out_of_patience([worse, better, worse], 2)


def test_patience_needs_held_out_texts(rows):
    with pytest.raises(TaskError, match="patience needs held-out data to be measured on"):
        SequenceClassifier(**SMALL, patience=2).fit(*rows)


@pytest.mark.parametrize(
    ("step", "valid", "message"),
    [
        (2, False, "The loss became nan in epoch 1 at step 3, after 0."),
        (19, True, "The held-out loss became nan in epoch 1 at step 19, after "),
        (38, False, "The weights became infinite or no numbers in epoch 2 at step 19, after "),
    ],
)
def test_a_training_that_diverges_damages_nothing(rows, unseen, tmp_path, step, valid, message):
    model = SequenceClassifier(**SMALL, epochs=2, ngrams=0)
    model.fit(*rows, folder=tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    given = {"valid": unseen} if valid else {}
    with pytest.raises(TaskError) as error:
        clone(model).fit(
            *rows,
            **given,
            folder=tmp_path,
            callbacks=[("poison", PoisonAt(step))],
            checkpoint_seconds=0,
        )
    assert str(error.value).startswith(message)
    assert "lower the learning rate (now 0.1) and train anew." in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    clone(model).set_params(lr=0.05).fit(*rows, folder=tmp_path)  # no checkpoint is in its way


def test_what_a_training_says_of_itself(patient, noisy, unseen, tmp_path):
    patient.save(tmp_path)
    said = SequenceClassifier.load(tmp_path).training_
    assert said == patient.training_
    assert said["data"] == {"train": fingerprint(*noisy), "valid": fingerprint(*unseen)}
    assert (said["processes"], said["threads"]) == (1, 1)
    assert said["command"] == shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    assert {"epoch", "lr", "train_loss", "valid_acc"} < said["epochs"][0].keys()


def test_a_fingerprint_knows_texts_labels_and_order():
    data = [["a", "b"], ["b", "a"], ["ab", ""], ["a", "b\ud800"]], [[0, 1], [1, 0], ["0", "1"]]
    found = [fingerprint(texts, labels)["sha256"] for texts in data[0] for labels in data[1]]
    assert len(set(found)) == 12
    assert fingerprint(iter(["a", "b"]), iter([0, 1])) == {"texts": 2, "sha256": found[0]}
