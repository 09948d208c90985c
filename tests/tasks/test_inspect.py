"""`inspect`: a model's facts, and its hidden states over a text."""

import io
import json

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import elman
from elman.tasks import SequenceClassifier
from elman.tasks.report.states import SHOWN, States, read_states, show_states


def test_a_model_is_shown_with_what_runs_it(run, model, tmp_path):
    status, out, err = run("inspect", model)
    assert (status, err) == (0, "")
    assert "labels     2: negative, positive" in out
    epochs = SequenceClassifier.load(model).training_["epochs"]
    assert f"{epochs[-1]['train_loss']:.3f} in 6 epochs" in out
    network = SequenceClassifier.load(model).net_.module_
    assert f"{sum(p.numel() for p in network.parameters()):,}" in out
    assert [line.split() for line in out.splitlines() if line.startswith("rnn.weight_hh_l0 ")] == [
        ["rnn.weight_hh_l0", "8", "x", "8", "64"]
    ]
    (layer,) = elman.explain(network).layers
    assert f"rnn: {layer.layer}\n  path     {layer.path}\n" in out
    assert "infer, one row: " in out  # there was a call, so the kernel is known


def test_the_report_of_the_training_is_told(run, table, tmp_path):
    small = ("--epochs", 1, "--hidden-size", 4, "--skip-bad", "--output", "small")
    assert run("train", "classify", table, "--text", "text", "--label", "label", *small)[0] == 0
    status, out, _ = run("inspect", "small")
    told = " ".join(out.split())
    report = json.loads((tmp_path / "small/report.json").read_bytes())
    assert status == 0
    assert f"data 300 texts of {table}, SHA-256 {report['data']['sha256']}" in told
    assert f"accuracy {report['evaluation']['accuracy']:.1%}, macro F1 " in told
    (tmp_path / "small/report.json").write_text('{"data": {"texts": "many"}}')
    status, _, err = run("inspect", "small")
    assert (status, "is not as elman writes it" in err) == (1, True)


def test_states_of_a_text(run, model, tmp_path):
    text = "很好 "
    status, out, err = run("inspect", model, "--text", text, "--picture", "states.png")
    assert (status, err) == (0, "")
    classifier = SequenceClassifier.load(model)
    for label, chance in zip(classifier.classes_, classifier.predict_proba([text])[0], strict=True):
        assert f"{chance:6.1%}  {label}" in out
    assert (tmp_path / "states.png").read_bytes().startswith(b"\x89PNG")
    assert run("inspect", model, "--text", " ")[2] == (
        "elman: --text is empty; expected something to read.\n"
    )


@pytest.mark.parametrize("tokens", ["characters", "words", "bytes"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_states_are_those_of_the_layer(rows, cell, tokens):
    options = {"embedding_size": 4, "hidden_size": 5, "epochs": 1, "backend": "torch"}
    classifier = SequenceClassifier(cell=cell, tokens=tokens, **options).fit(*rows)
    states = read_states(classifier, "很 Good,")
    expected = {"characters": [*"很·good,"], "words": ["很", "good", ","]}
    assert states.tokens == expected.get(tokens, ["e5", "be", "88", "20", *"Good,"])
    ids = classifier.vocabulary_.encode(
        {"characters": "很 good,", "words": expected["words"]}.get(tokens, "很 Good,".encode())
    )
    network = classifier.net_.module_
    with torch.no_grad():
        output, _ = network.rnn(network.embedding(torch.tensor(ids, dtype=torch.int64)))
    assert states.values == pytest.approx(output.numpy(), abs=1e-6)
    assert [states.name(0), states.name(5)] == [">0", "<0"]


def printed(states, width, **terminal):
    console = Console(file=io.StringIO(), width=width, soft_wrap=True, **terminal)
    show_states(states, console)
    return console.file.getvalue().splitlines()


@pytest.fixture
def states():
    values = np.random.default_rng(0).uniform(-1, 1, (9, 20)).astype(np.float32)
    values[:, :2] = 0  # never change
    values[0, 2:4] = -1, 1
    return States([*"很好,ab", "word", "很", "·", "好"], values, 12, np.array([0.5, 0.5]))


def test_without_colours_states_are_digits_below_their_tokens(states):
    lines = printed(states, 80)
    assert lines[0].startswith("16 of 20 units, 0 to 9: -1.00 to 1.00;")
    assert lines[2].split() == ["很好,abword很·好"]
    assert len(lines) == 3 + SHOWN
    first = {line.split()[0]: line for line in lines[3:]}
    assert not {">0", ">1"} & set(first)
    column = lines[2].index("很")
    assert (first[">2"][column], first[">3"][column]) == ("0", "9")


@pytest.mark.parametrize("width", [14, 20, 80])
@pytest.mark.parametrize("colours", [{}, {"force_terminal": True, "color_system": "truecolor"}])
def test_wide_characters_stay_above_their_states(states, width, colours):
    lines = printed(states, width, **colours)[2:]
    widths = [cell_len(Text.from_ansi(line).plain) for line in lines if line]
    assert max(widths) <= width
    block = widths[: 1 + (SHOWN // 2 if colours else SHOWN)]
    assert set(block) == {block[0]}  # the tokens, and each line of states below them


def test_no_color_means_digits_on_a_terminal_too(states, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    lines = printed(states, 80, force_terminal=True, color_system="truecolor")
    assert Text.from_ansi(lines[0]).plain.startswith("16 of 20 units, 0 to 9: ")
    assert "▀" not in "".join(lines)
