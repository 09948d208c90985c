"""Model folders: what is saved is loaded, what is broken is named."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

import elman
from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.models.folder import check_target, write_folder

SMALL = {"embedding_size": 8, "hidden_size": 8, "epochs": 2, "batch_size": 16, "lr": 0.02}


@pytest.fixture(scope="module")
def fitted(rows):
    return SequenceClassifier(**SMALL, cell="rnn", num_layers=2, random_state=7).fit(*rows)


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **fields):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config.update(fields)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def change_parameters(folder, **parameters):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    change(folder, parameters={**config["parameters"], **parameters})


def rewrite(folder, weights):
    """Other weights with a right checksum."""
    (folder / "model.safetensors").write_bytes(weights)
    change(folder, sha256=hashlib.sha256(weights).hexdigest())


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
    assert config["version"] == 4
    assert config["parameters"]["random_state"] == 7
    assert config["labels"] == ["negative", "positive"]
    assert config["vocabulary"] == fitted.vocabulary_.tokens
    assert set(config["written_by"]) == {"elman", "torch", "python"}
    assert config["ngrams"] == len(fitted.ngrams_.keys)
    network, beside = fitted.net_.module_.state_dict(), fitted.ngrams_.state_dict()
    names = {*network, *(f"ngrams.{name}" for name in beside)}
    assert load_file(saved / "model.safetensors").keys() == names


def test_a_folder_of_version_2_answers_as_it_did():
    model = SequenceClassifier.load(Path(__file__).parent / "stored" / "version2")
    assert model.ngrams == 0
    assert model.ngrams_ is None
    expected = [[0.22352803, 0.77647197], [0.59612977, 0.40387028], [0.37922609, 0.62077391]]
    found = model.predict_proba(["很好", "讨厌的书", "新"])
    np.testing.assert_allclose(found, expected, atol=1e-6)


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
        ({"version": 1}, "format version 1, this elman reads 2 and 3"),
        ({"ngrams": 0}, "'ngrams' must be a whole number from 1 to 262,144. Got 0."),
        ({"ngrams": True}, "'ngrams' must be a whole number from 1 to 262,144. Got True."),
        ({"ngrams": "x"}, "'ngrams' is 'x'; expected a whole number."),
        ({"labels": None}, "'labels' is 'None'; expected a list"),
        ({"labels": ["b", "a"]}, "'labels' must be in order, each once"),
        ({"labels": ["a", 1]}, "'labels' must be strings, whole numbers or booleans"),
        ({"labels": [0.5, 1.5]}, "'labels' must be strings, whole numbers or booleans"),
        ({"labels": [1, 10**30]}, "'labels' must be whole numbers of 64 bits"),
        ({"labels": ["a", "a\0"]}, "'labels' must be whole numbers of 64 bits, or strings that"),
        ({"vocabulary": ["ab"]}, "'vocabulary' must list single characters"),
        ({"vocabulary": [["a"]]}, "'vocabulary' must list single characters"),
        ({"vocabulary": ["a", "a"]}, "'vocabulary' lists a token twice"),
        ({"vocabulary": ["a"]}, ", 8), expected torch.float32 (3, 8) as config.json"),
        ({"sha256": 5}, "'sha256' is '5'; expected a string"),
        ({"sha256": "0"}, "is not the file that config.json was written with"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit(saved, fields, expected):
    change(saved, **fields)
    assert expected in message(saved)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"hidden_size": "8"}, "hidden_size must be a whole number"),
        ({"hidden_size": 10**15}, "hidden_size must be a whole number from 1 to 65,536"),
        ({"hidden_size": 65_536, "num_layers": 256}, " bytes, expected 26,3"),
        ({"num_layers": 10**9}, "num_layers must be a whole number from 1 to 256"),
        ({"dropout": -1}, "dropout must be at least 0 and below 1. Got -1."),
        ({"random_state": "x"}, "random_state must be "),
        ({"colour": 1}, "'parameters' has colour, which this elman doesn't know"),
        ({"cell": "transformer"}, "cell must be one of rnn, "),
        ({"cell": {"name": "leaky", "leak": "x"}}, "cell Leaky: "),
        ({"cell": {"class": "Mine()", "formula": "00"}}, "the cell Mine() is one of your own, and"),
        ({"cell": {"name": "irnn", "scale": 2**70}}, "The recurrent layers can't be made: int too"),
        (
            {"cell": {"name": "ugrnn", "forget_bias": None}},
            "The recurrent layers can't be made: Co",
        ),
        ({"cell": None}, "cell must be a name, a mapping of a 'name'"),
        ({"recurrent": {"merge": "sideways"}}, "merge must be one of"),
        ({"recurrent": {"device": "cuda"}}, "recurrent must be None, or by name some of"),
        ({"num_layers": 1}, "unexpected rnn.bias_hh_l1, "),
        ({"num_layers": 30}, " bytes, expected "),
        ({"class_weight": [["a"]]}, "'class_weight' must be null, a string, or a list of"),
        ({"class_weight": [[["a"], 1]]}, "'class_weight' must be null, a string, or a list of"),
        ({"tokens": "bytes"}, "'vocabulary' must list numbers below 256"),
    ],
    ids=str,
)
def test_parameters_that_do_not_fit(saved, parameters, expected):
    change_parameters(saved, **parameters)
    assert expected in message(saved)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"format": 1, "format": 2}', "is not JSON ('format' stands twice in an object)"),
        ('{"format": NaN}', "is not JSON (NaN is no number)"),
        ('{"format": -Infinity}', "is not JSON (-Infinity is no number)"),
        ("[" * 100_000, "is not JSON ("),
        ("1" * 10_000, "is not JSON ("),
        ('"\ud800"', "is not JSON ("),
        ("", "is not JSON ("),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_json_object(saved, text, expected):
    (saved / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert expected in message(saved)


def test_other_tensors_than_the_models(saved):
    tensors = load_file(saved / "model.safetensors")
    one, other = "rnn.weight_hh_l0", "rnn.weight_hh_l1"
    for wrong, expected in (
        (
            {**tensors, one: tensors[one].double()},
            f"{one} is torch.float64 (8, 8), expected torch.",
        ),
        (
            {**tensors, one: tensors[one].flatten()},
            f"{one} is torch.float32 (64,), expected torch.",
        ),
        ({**tensors, one: tensors[one] / 0}, f"{one} holds a number that isn't finite"),
        ({n: v for n, v in tensors.items() if n != other}, f"missing {other}; unexpected none"),
        ({**tensors, "more": torch.zeros(1)}, "missing none; unexpected more"),
    ):
        rewrite(saved, save(wrong))
        assert expected in message(saved)
    for wrong in (b"", b"\xff" * 8 + b"{}", save(tensors) + bytes(2 << 20)):
        rewrite(saved, wrong)
        assert f"has {len(wrong):,} bytes, expected " in message(saved)
    whole = save(tensors)
    for wrong in (b"\xff" * 8 + whole[8:], whole[:8] + b"[" * 100 + whole[108:], whole + b"\0"):
        rewrite(saved, wrong)
        assert "is not a safetensors file (" in message(saved)


def test_links_and_devices_are_not_followed(saved, tmp_path):
    for name in ("config.json", "model.safetensors"):
        path, elsewhere = saved / name, tmp_path / "elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        assert f"{path}: is a symbolic link; put the file itself" in message(saved)
        path.unlink()
        os.mkfifo(path)
        assert f"{path}: is not a plain file" in message(saved)
        path.unlink()
        path.mkdir()
        assert str(path) in message(saved)
        path.rmdir()
        with path.open("wb") as file:
            file.truncate(1 << 40)  # holes: nothing on the disk, much in memory
        assert f"{path}: has 1,099,511,627,776 bytes, expected" in message(saved)
        path.unlink()
        elsewhere.rename(path)
    SequenceClassifier.load(saved)


class Own(elman.Cell):
    gates = ("h",)

    def __init__(self, leak=0.5):
        self.leak = leak

    def step(self, x, u, s):
        return (1 - self.leak) * s.h + self.leak * elman.tanh(x.h + u.h)


CELLS = [
    ("gru", "gru"),
    (elman.cells.LightGRU, {"name": "lightgru"}),
    (elman.cells.Leaky(leak=0.25), {"name": "leaky", "leak": 0.25, "nonlinearity": "tanh"}),
    ({"name": "gru", "reset_after": False}, {"name": "gru", "reset_after": False}),
]


@pytest.mark.parametrize(("cell", "written"), CELLS, ids=str)
def test_cells_of_the_catalogue_are_kept_by_name(cell, written, tmp_path):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}, cell=cell).fit(
        ["aa", "bb"] * 4, [0, 1] * 4
    )
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["parameters"]["cell"] == written
    loaded = SequenceClassifier.load(tmp_path)
    assert np.array_equal(loaded.predict_proba(["ab"]), model.predict_proba(["ab"]))


@pytest.mark.parametrize(
    "cell", [Own, Own(0.25), elman.cells.Elman(elman.tanh)], ids=["class", "number", "function"]
)
def test_a_cell_of_ones_own_is_given_again(cell, tmp_path):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}, cell=cell).fit(
        ["aa", "bb"] * 4, [0, 1] * 4
    )
    model.save(tmp_path)
    assert "is one of your own, and a folder holds no code; give it again" in message(tmp_path)
    loaded = SequenceClassifier.load(tmp_path, cell=cell)
    assert np.array_equal(loaded.predict_proba(["ab"]), model.predict_proba(["ab"]))
    with pytest.raises(TaskError, match=r"not trained with the formula of cell=Own\(leak=0.1\)"):
        SequenceClassifier.load(tmp_path, cell=Own(0.1))


def test_parameters_and_tokens_of_all_kinds_come_back(tmp_path):
    texts, labels = ["Aa \ud83d", "Bb \ud83d"] * 4, [1, -1] * 4
    for number, options in enumerate(
        (
            {"tokens": "bytes", "hidden_size": [np.int64(4), 8], "num_layers": 2},
            {"tokens": "words", "class_weight": {np.int64(1): 2, -1: 0.5}, "pooling": "last"},
            {"class_weight": "balanced", "recurrent": {"merge": "mean"}, "dropout": np.float32(0)},
        )
    ):
        folder = tmp_path / str(number)
        model = SequenceClassifier(**{**SMALL, "min_count": 1, **options}).fit(texts, labels)
        model.save(folder)
        loaded = SequenceClassifier.load(folder)
        assert loaded.get_params() == model.get_params()
        assert loaded.vocabulary_.tokens == model.vocabulary_.tokens
        assert np.array_equal(loaded.predict_proba(texts), model.predict_proba(texts))


def test_missing_fields_are_named(saved):
    config = json.loads((saved / "config.json").read_text("utf-8"))
    for name in ("parameters", "labels", "vocabulary", "sha256"):
        less = {key: value for key, value in config.items() if key != name}
        (saved / "config.json").write_text(json.dumps(less), "utf-8")
        assert f"'{name}' is missing" in message(saved)

    for name in ("cell", "max_length"):
        parameters = {key: value for key, value in config["parameters"].items() if key != name}
        (saved / "config.json").write_text(json.dumps({**config, "parameters": parameters}))
        assert f"'parameters' has no {name}." in message(saved)


def test_what_may_be_missing_and_what_may_be_there(saved, unseen):
    expected = SequenceClassifier.load(saved).predict_proba(unseen[0])
    config = json.loads((saved / "config.json").read_text("utf-8"))
    del config["written_by"], config["parameters"]["epochs"], config["parameters"]["lr"]
    (saved / "config.json").write_text(json.dumps({**config, "later": {"anything": [1]}}))
    (saved / "notes.txt").write_text("mine")
    assert np.array_equal(SequenceClassifier.load(saved).predict_proba(unseen[0]), expected)


def test_weights_that_are_missing_or_foreign(saved):
    weights = saved / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\1")
    assert "SHA-256 differs" in message(saved)
    weights.unlink()
    assert "model.safetensors is missing" in message(saved)
