"""A model folder whose bytes were changed, anywhere and anyhow: a clear error, or a model."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.tasks import LanguageModel, SequenceClassifier, SequenceTagger, TaskError
from elman.tasks.models.language import TrainedLanguageModel
from elman.tasks.models.opening import load_model
from elman.tasks.models.tagger import TrainedTagger

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CONFIG, WEIGHTS = "config.json", "model.safetensors"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["gru", "bytes", "last", "balanced", "name", "formula", "merge"]),
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3)
    ),
    max_leaves=5,
)


LABELS = {
    SequenceClassifier: "xy",
    SequenceTagger: [["B-x", "I-x"], ["O", "B-x"]],
    LanguageModel: "xy",  # which it leaves alone
}


@pytest.fixture(scope="module", params=LABELS)
def files(request, tmp_path_factory):
    """A small model's files by name."""
    folder = tmp_path_factory.mktemp("small")
    cell = {"name": "leaky", "leak": 0.5}
    model = request.param(cell=cell, embedding_size=2, hidden_size=2, epochs=1)
    model.fit(["ab", "cd"] * 4, [*LABELS[request.param]] * 4).save(folder)
    return {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}


def answers_of(model, texts):
    """What a model of any task says of texts."""
    if not isinstance(model, TrainedLanguageModel):
        return model.predict(texts)
    assert len("".join(model.generate(texts[0], length=3, seed=0))) <= 3
    return model.perplexity(texts)


def load_or_refuse(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    refused = None
    try:
        model = load_model(folder)
        answers = answers_of(model, ["ab", "zz"])
    except TaskError as error:
        refused = str(error)
    if refused is not None:
        assert str(folder) in refused or refused.startswith("The network's states grow beyond")
        assert "\n" not in refused
        return
    if isinstance(model, TrainedLanguageModel):
        assert answers >= 1
        return
    if isinstance(model, TrainedTagger):
        assert [len(tags) for tags in answers] == [len(model.predict([t])[0]) for t in ("ab", "zz")]
        assert all(0 <= span.score <= 1 for row in model.predict_spans(["ab"]) for span in row)
        return
    probabilities = model.predict_proba(["ab", "zz"])
    assert probabilities.shape == (2, len(model.classes_))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def places(value, path=()):
    """Every place in a JSON value, from the whole to its leaves."""
    yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def replaced(value, path, by):
    if not path:
        return by
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], by)
    return changed


@SETTINGS
@given(data=st.data())
def test_any_value_anywhere_in_the_config(data, files, tmp_path):
    config = json.loads(files[CONFIG])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(places(config))[1:]))
        config = replaced(config, path, data.draw(JSON))
    text = json.dumps(config).encode()
    load_or_refuse(tmp_path, {CONFIG: text, WEIGHTS: files[WEIGHTS]})


@SETTINGS
@given(data=st.data())
def test_any_bytes_anywhere_in_a_file(data, files, tmp_path):
    name = data.draw(st.sampled_from([CONFIG, WEIGHTS]))
    content = files[name]
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    end = data.draw(st.sampled_from([begin, begin + 1, end]))
    content = content[:begin] + data.draw(st.binary(max_size=8)) + content[end:]
    changed = {**files, name: content}
    if name == WEIGHTS:  # the checksum of a hostile folder is right
        config = json.loads(files[CONFIG])
        config["sha256"] = hashlib.sha256(content).hexdigest()
        changed[CONFIG] = json.dumps(config).encode()
    load_or_refuse(tmp_path, changed)


@SETTINGS
@given(data=st.data())
def test_any_value_anywhere_in_the_header_of_the_weights(data, files, tmp_path):
    whole = files[WEIGHTS]
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    path = data.draw(st.sampled_from(list(places(header))))
    changed = replaced(header, path, data.draw(JSON))
    load_or_refuse(tmp_path, with_header(files, changed, whole[8 + length :]))


def test_a_header_whose_error_breaks_lines(files, tmp_path):
    whole = files[WEIGHTS]
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    next(iter(header.values()))["dtype"] = "\n"
    load_or_refuse(tmp_path, with_header(files, header, whole[8 + length :]))


def with_header(files, header, rest):
    """The files with another header of the weights, which their hash covers."""
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + rest
    config = {**json.loads(files[CONFIG]), "sha256": hashlib.sha256(content).hexdigest()}
    return {CONFIG: json.dumps(config).encode(), WEIGHTS: content}


def test_states_beyond_all_bounds(files, tmp_path):
    config = json.loads(files[CONFIG])
    config["parameters"]["cell"]["leak"] = 1e308
    files = {**files, CONFIG: json.dumps(config).encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(
        TaskError, match=r"grow beyond all bounds(; train| on 2 of the 2 texts; train)"
    ):
        answers_of(load_model(tmp_path), ["a", "abcd"])


def test_the_untouched_folder_loads(files, tmp_path):
    """Without which the tests above would say nothing."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert answers_of(load_model(tmp_path), ["ab"]) is not None
