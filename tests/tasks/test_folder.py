"""Model folders: what is saved is loaded, what is broken is named."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.folder import check_target, write_folder

SMALL = {"embedding_size": 8, "hidden_size": 8, "epochs": 2, "batch_size": 16, "lr": 0.02}


@pytest.fixture(scope="module")
def fitted(rows):
    return SequenceClassifier(**SMALL, num_layers=2, random_state=7).fit(*rows)


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **fields):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config.update(fields)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def message(folder):
    with pytest.raises(TaskError) as error:
        SequenceClassifier.load(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_what_is_loaded_answers_as_what_was_saved(fitted, saved, unseen):
    loaded = SequenceClassifier.load(saved)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    expected = fitted.predict_proba(unseen[0])
    assert np.array_equal(loaded.predict_proba(unseen[0]), expected)
    on_torch = SequenceClassifier.load(saved, backend="torch")
    assert type(on_torch.net_.module_.rnn) is torch.nn.RNN
    np.testing.assert_allclose(on_torch.predict_proba(unseen[0]), expected, atol=1e-5)


def test_the_folder_holds_two_files_and_no_pickle(fitted, saved):
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((saved / "config.json").read_text("utf-8"))
    assert config["format"] == "elman sequence classifier"
    assert config["version"] == 2
    assert config["seed"] == config["parameters"]["random_state"] == 7
    assert config["labels"] == ["negative", "positive"]
    assert config["vocabulary"] == fitted.vocabulary_.tokens
    assert set(config["written_by"]) == {"elman", "torch", "python"}
    assert load_file(saved / "model.safetensors").keys() == fitted.net_.module_.state_dict().keys()


@pytest.mark.parametrize("labels", [[0, 1], [False, True]], ids=str)
def test_labels_keep_their_type(labels, tmp_path):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(["aa", "bb"] * 4, labels * 4)
    model.save(tmp_path)
    assert SequenceClassifier.load(tmp_path).classes_.dtype == np.asarray(labels).dtype


def test_loading_changes_no_random_state(saved):
    before = torch.random.get_rng_state()
    SequenceClassifier.load(saved)
    assert torch.equal(before, torch.random.get_rng_state())


def test_saving_again_replaces_the_model_and_nothing_else(fitted, saved, rows, unseen):
    (saved / "notes.txt").write_text("mine")
    other = SequenceClassifier(**SMALL).fit(*rows)
    other.save(saved)
    assert (saved / "notes.txt").read_text() == "mine"
    loaded = SequenceClassifier.load(saved)
    assert np.array_equal(loaded.predict_proba(unseen[0]), other.predict_proba(unseen[0]))


def test_a_write_that_fails_leaves_the_old_file(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TaskError, match=r"can't be written \(No space left on device\)"):
        write_folder(saved, {"a": torch.zeros(1)}, {})
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_folders_of_others_are_not_written_to(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(TaskError, match="holds files but no model"):
        check_target(tmp_path)
    with pytest.raises(TaskError, match="is a file; choose another folder"):
        check_target(tmp_path / "photo.jpg")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TaskError, match="the format is None, expected 'elman"):
        check_target(tmp_path)


def test_no_folder_or_not_a_models(tmp_path):
    assert "there is no such folder" in message(tmp_path / "none")
    assert "not a model folder, config.json is missing" in message(tmp_path)


def test_a_broken_config(saved):
    (saved / "config.json").write_bytes(b"\xff{")
    assert "is not JSON" in message(saved)
    (saved / "config.json").write_text("[]")
    assert "holds list instead of an object" in message(saved)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "other"}, "the format is 'other', expected 'elman sequence classifier'"),
        ({"version": 1}, "format version 1, this elman reads 2"),
        ({"labels": None}, "'labels' is 'None'; expected a list"),
        ({"labels": ["b", "a"]}, "'labels' must be in order, each once"),
        ({"labels": ["a", 1]}, "'labels' must be strings, whole numbers or booleans"),
        ({"vocabulary": ["ab"]}, "'vocabulary' must list single characters"),
        ({"vocabulary": ["a", "a"]}, "'vocabulary' lists a character twice"),
        ({"vocabulary": ["a"]}, ", 8), expected torch.float32 (3, 8) as config.json"),
        ({"parameters": {"hidden_size": "8"}}, "'parameters' don't describe a model: hidden_size"),
        ({"parameters": {"colour": 1}}, "'parameters' don't describe a model: "),
        ({"parameters": {"hidden_size": 10**15}}, "'parameters' don't describe a model: "),
        ({"parameters": {**SMALL, "num_layers": 1}}, "unexpected rnn.bias_hh_l1, "),
        ({"parameters": {**SMALL, "num_layers": 3}}, "missing rnn.bias_hh_l2, "),
        ({"sha256": "0"}, "is not the file that config.json was written with"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit(saved, fields, expected):
    change(saved, **fields)
    assert expected in message(saved)


def test_missing_fields_are_named(saved):
    config = json.loads((saved / "config.json").read_text("utf-8"))
    for name in ("parameters", "labels", "vocabulary", "seed"):
        less = {key: value for key, value in config.items() if key != name}
        (saved / "config.json").write_text(json.dumps(less), "utf-8")
        assert f"'{name}' is missing" in message(saved)


def test_weights_that_are_missing_foreign_or_cut_off(saved):
    weights = saved / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    assert "SHA-256 differs" in message(saved)
    save_file({"a": torch.zeros(1)}, weights)
    assert "SHA-256 differs" in message(saved)
    weights.unlink()
    assert "model.safetensors is missing" in message(saved)
