"""A training that is killed or interrupted goes on as if nothing had happened."""

import functools
import json
import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import save

from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.training.progress import ProgressBar
from tests.systems import PATIENCE
from tests.tasks import trainings
from tests.tasks.trainings import TASKS, At, interrupt, train, train_task

pytestmark = pytest.mark.sampled(3)

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
CONTEXT.set_forkserver_preload(["tests.tasks.trainings", "elman.tasks.classifier", "torch._dynamo"])
VARIANTS = [pytest.param({}, id="cycle"), pytest.param({"patience": 2, "epochs": 6}, id="patience")]


def state(content):
    text = bytearray(json.dumps(content).encode())
    return save({"state": torch.frombuffer(text, dtype=torch.uint8)})


def start(job, *arguments):
    process = CONTEXT.Process(target=getattr(trainings, job), args=arguments)
    process.start()
    return process


def ended(process):
    process.join(PATIENCE)
    return process.exitcode


def outcome(model):
    """All that must be the same: weights, and all figures but times."""
    steps = [
        {name: value for name, value in step.items() if not name.endswith("seconds")}
        for epoch in model.net_.history
        for step in epoch["batches"]
    ]
    epochs = [
        {name: value for name, value in epoch.items() if not name.endswith("seconds")}
        for epoch in model.net_.summary()
    ]
    return {name: t.tolist() for name, t in model.net_.module_.state_dict().items()}, epochs, steps


def fill_the_disk(monkeypatch, after):
    """No file can be written any more, after so many."""
    write, writes = os.fsync, iter(range(after))

    def fsync(file):
        if next(writes, None) is None:
            raise OSError(28, "No space left on device")
        write(file)

    monkeypatch.setattr("os.fsync", fsync)


@pytest.fixture(scope="module", params=VARIANTS)
def settings(request):
    return request.param


@pytest.fixture(scope="module")
def expected(settings):
    return outcome(train(settings))


def test_killed_at_any_step_it_ends_the_same(settings, expected, tmp_path):
    draw = random.Random(0)
    for _ in range(3):
        job = start("train_on", settings, tmp_path, draw.randint(2, 20))
        assert ended(job) == -signal.SIGKILL
        assert (tmp_path / "checkpoint.safetensors").exists()
        assert not (tmp_path / "config.json").exists()
    model = train(settings, tmp_path, resume=True)
    assert outcome(model) == expected
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


def test_killed_at_any_moment_it_ends_the_same(settings, expected, tmp_path):
    draw = random.Random()
    for _ in range(3):
        job = start("train_slowly", settings, tmp_path)
        until = time.monotonic() + PATIENCE
        while not (tmp_path / "checkpoint.safetensors").exists():
            assert job.is_alive()
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        job.kill()
        assert ended(job) == -signal.SIGKILL
    assert outcome(train(settings, tmp_path, resume=True)) == expected


@pytest.mark.parametrize("settings", VARIANTS[:1], indirect=True)
def test_killed_while_it_writes_it_ends_the_same(settings, expected, tmp_path):
    for writes in (0, 3):  # the first is cut, the fourth
        job = start("train_on_until_a_write_is_cut", settings, tmp_path, writes)
        assert ended(job) == -signal.SIGKILL
    assert ".checkpoint.safetensors.draft" in os.listdir(tmp_path)
    assert outcome(train(settings, tmp_path, resume=True)) == expected
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("step", [1, 9, 12], ids=["first", "held out", "second epoch"])
def test_interrupted_it_leaves_a_model_and_goes_on(settings, expected, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path, callbacks=[("interrupt", At(step, interrupt))])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model = SequenceClassifier.load(tmp_path)
    assert len(model.training_["epochs"]) == (step > 11)
    assert set(model.predict(["很好", "很差"])) <= {"positive", "negative"}
    with pytest.raises(TaskError, match="holds a training that has not ended; resume it, or"):
        train(settings, tmp_path)
    assert outcome(train(settings, tmp_path, resume=True)) == expected
    with pytest.raises(TaskError, match="there is nothing to resume; the training has ended"):
        train(settings, tmp_path, resume=True)


def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path):
    def twice():
        interrupt()
        interrupt()
        raise AssertionError("unreachable")

    with pytest.raises(KeyboardInterrupt):
        train({}, tmp_path, callbacks=[("interrupt", At(3, twice))])
    assert SequenceClassifier.load(tmp_path).predict_proba(["很好"]).shape == (1, 2)


# -- every other task

#: Of a task, how the weights or states that are kept from step to step differ.
EVERY = [
    *((task, settings) for task in TASKS for settings in ({}, {"patience": 2})),
    ("lm", {"averaging": 0.9, "cell": "gru"}),
    ("series", {"averaging": 0.0}),
    ("series", {"n_estimators": 2, "patience": 2}),
    ("tag", {"n_estimators": 2}),
]


@functools.cache
def undisturbed(task, **settings):
    """What a training of a task gives that nothing interrupts."""
    return outcome(train_task(task, settings))


@pytest.mark.parametrize(("task", "settings"), EVERY)
def test_killed_any_task_ends_the_same(task, settings, tmp_path):
    expected = undisturbed(task, **settings)
    for step in (3, len(expected[2]) // 2):  # in the first epoch, and in one of those after it
        assert ended(start("train_task_on", task, settings, tmp_path, step)) == -signal.SIGKILL
    assert not (tmp_path / "config.json").exists()
    assert outcome(train_task(task, settings, tmp_path, resume=True)) == expected


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_any_task_leaves_a_model_and_goes_on(task, tmp_path):
    expected = undisturbed(task)
    with pytest.raises(KeyboardInterrupt):
        train_task(task, {}, tmp_path, callbacks=[("interrupt", At(4, interrupt))])
    left = TASKS[task][0].load(tmp_path)
    assert left.about()
    assert all(tensor.isfinite().all() for tensor in left.net_.module_.state_dict().values())
    with pytest.raises(TaskError, match="holds a training that has not ended; resume it, or"):
        train_task(task, {}, tmp_path)
    assert outcome(train_task(task, {}, tmp_path, resume=True)) == expected


@pytest.mark.parametrize("task", TASKS)
def test_a_full_disk_loses_nothing_of_any_task(task, tmp_path, monkeypatch):
    fill_the_disk(monkeypatch, after=3)
    with pytest.raises(TaskError, match=r"can't be written \(No space left on device\)"):
        train_task(task, {}, tmp_path)
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
    monkeypatch.undo()
    assert outcome(train_task(task, {}, tmp_path, resume=True)) == undisturbed(task)


# -- what can be wrong


@pytest.fixture
def begun(tmp_path):
    """The folder of a training that was interrupted in its second epoch."""
    with pytest.raises(KeyboardInterrupt):
        train({}, tmp_path, callbacks=[("interrupt", At(12, interrupt))])
    return tmp_path


def test_other_data_or_parameters_are_named(begun, rows):
    with pytest.raises(TaskError) as error:
        train({"lr": 0.1, "patience": 3}, begun, resume=True)
    other = "another training (lr was 0.02, now 0.1; patience was None, now 3); resume with"
    assert other in str(error.value)
    texts, labels = rows
    model = SequenceClassifier(**trainings.SETTINGS)
    with pytest.raises(TaskError) as error:
        model.fit(texts, labels, folder=begun, resume=True)
    assert "train was {'texts': 120, 'sha256': '" in str(error.value)
    assert "valid was {'texts': 40, 'sha256': '" in str(error.value)
    assert "now None" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no checkpoint of elman's"),
        (b"x" * 1000, "is no checkpoint of elman's"),
        (save({"state": torch.zeros(3)}), "is no checkpoint of elman's"),
        (save({"a": torch.zeros(3)}), "is no checkpoint of elman's"),
        (state({"version": 7, "run": {}, "history": []}), "version 7, this elman reads 1"),
        (state({"version": 1, "run": 3, "history": []}), "is no checkpoint of elman's"),
    ],
)
def test_a_broken_checkpoint(begun, content, message):
    (begun / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(TaskError) as error:
        train({}, begun, resume=True)
    assert f"{begun / 'checkpoint.safetensors'}: {message}" in str(error.value)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    expected = outcome(train({}))
    fill_the_disk(monkeypatch, after=3)
    with pytest.raises(TaskError, match=r"can't be written \(No space left on device\)"):
        train({}, tmp_path)
    assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
    monkeypatch.undo()
    assert outcome(train({}, tmp_path, resume=True)) == expected


def test_the_command_can_be_interrupted_and_resumed(run, table, monkeypatch, tmp_path):
    train = ["train", "classify", table, "--text", "text", "--label", "label", "--skip-bad"]
    train += ["--hidden-size", 4, "--embedding-size", 4, "--epochs", 2, "--output"]
    assert run(*train, "whole")[0] == 0
    status, _, err = run(*train, "whole", "--resume")
    assert (status, err) == (
        1,
        "elman: whole: there is nothing to resume; the training has ended.\n",
    )
    press = At(2, interrupt)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_batch_end", lambda bar, net, **_: press.on_batch_end(net))
        status, out, err = run(*train, "parts")
    assert (status, err) == (130, "")
    said = "Interrupted in epoch 1; what the model has learned so far is saved in parts."
    assert f"{said} The same command with --resume goes on." in out
    assert run("predict", "parts", "很好")[0] == 0
    status, _, err = run(*train, "parts")
    assert status == 1
    assert err.startswith("elman: parts: holds a training that has not ended; resume it, or choose")
    status, out, _ = run(*train, "parts", "--resume")
    assert status == 0
    assert "Saved in parts. " in out
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
