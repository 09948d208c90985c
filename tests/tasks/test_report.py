"""Scores against numbers worked out by hand; what is shown of them, and drawn."""

import io
import json
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from elman.tasks.report import pictures
from elman.tasks.report.evaluation import evaluate
from elman.tasks.report.record import read_report
from elman.tasks.report.tables import NAME, show_evaluation


@pytest.fixture
def found():
    truth = ["a", "a", "a", "b", "b", "c"]
    chances = [
        *([0.95, 0.05, 0], [0.65, 0.35, 0], [0.15, 0.85, 0]),  # a: right, right, taken for b
        *([0.05, 0.95, 0], [0.75, 0.2, 0.05]),  # b: right, taken for a
        [0, 0.05, 0.95],
    ]
    return evaluate(truth, np.array(chances, np.float32), ["a", "b", "c"])


def test_scores(found):
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.precision == pytest.approx([2 / 3, 1 / 2, 1])
    assert found.recall == pytest.approx([2 / 3, 1 / 2, 1])
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.majority == ("a", 0.5)
    losses = -np.log([0.95, 0.65, 0.15, 0.95, 0.2, 0.95])
    assert found.log_loss == pytest.approx(losses.mean())


def test_calibration(found):
    sure = {6: (1, 0.65, 1), 7: (1, 0.75, 0), 8: (1, 0.85, 0), 9: (3, 0.95, 1)}
    for number, row in enumerate(found.reliability):
        assert row == pytest.approx(sure.get(number, (0, 0, 0)), abs=1e-6)
    assert found.calibration_error == pytest.approx((0.35 + 0.75 + 0.85 + 3 * 0.05) / 6)


def test_a_label_that_does_not_occur_is_left_out_of_the_mean():
    found = evaluate(["a", "b"], np.array([[0.9, 0.1, 0], [0.2, 0.8, 0]]), ["a", "b", "c"])
    assert (found.accuracy, found.macro_f1) == (1, 1)
    assert found.support.tolist() == [1, 1, 0]


def test_json_holds_all_of_it(found):
    plain = json.loads(json.dumps(found.as_json()))
    assert plain["by_label"]["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert plain["confusion"]["true_by_predicted"][0] == [2, 1, 0]
    assert [row["texts"] for row in plain["reliability"]] == [1, 1, 1, 3]


def shown(found, width):
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    show_evaluation(found, console)
    return console.file.getvalue().splitlines()


def test_a_confusion_matrix_is_shown_where_it_fits(found):
    assert ["a", "2", "1", "0"] in [line.split() for line in shown(found, 80)]
    narrow = shown(found, 30)
    assert "      1  a for b" in narrow
    assert not [line for line in narrow if line.startswith("label \\ prediction")]


@pytest.mark.parametrize("width", [60, 30])
def test_on_a_narrow_terminal_names_are_folded_and_no_number_is_cut(width):
    labels = ["a label of so many words that they need several lines", "short"]
    lines = shown(evaluate(labels * 600, np.tile(np.eye(2), (600, 1)), labels), width)
    numbers = [line.split()[-4:] for line in lines]
    assert numbers.count(["100.0%", "100.0%", "100.0%", "600"]) == 2
    assert ["90%", "to", "100%", "1,200", "100.0%", "100.0%"] in map(str.split, lines)
    table = lines[lines.index("") + 1 : lines.index("Most often mistaken:")]
    assert set(labels[0].split()) <= set(" ".join(table).split())
    assert max(map(len, table)) == max(
        width, NAME + len("   precision   recall       F1   texts   ")
    )


def test_of_many_labels_the_worst_are_shown():
    labels = [f"label {number:02}" for number in range(30)]
    chances = np.eye(30)
    chances[7] = chances[8]
    lines = shown(evaluate(labels, chances, labels), 80)
    assert "The 20 labels of 30 with the lowest F1 score:" in lines
    assert lines[7].split() == ["label", "07", "0.0%", "0.0%", "0.0%", "1"]
    assert "      1  label 07 for label 08" in lines
    assert len(lines) < 42


def test_pictures(found, tmp_path):
    epochs = [{"epoch": 1, "train_loss": 0.7}, {"epoch": 2, "train_loss": 0.5, "valid_loss": 0.6}]
    says = pictures.save_pictures(tmp_path, found, epochs)
    assert says == "Pictures: confusion.png, reliability.png, loss.png"
    for name in ("confusion", "reliability", "loss"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    says = pictures.save_pictures(tmp_path, found)
    assert says == 'Pictures need the package matplotlib: pip install "elman[tasks]"'
    assert not list(tmp_path.iterdir())


def test_characters_that_no_font_has_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "CHINESE", ("Noto Sans CJK SC",))
    names = ["a", "\U0010fffd", "b"]
    path, shown = tmp_path / "a.png", []
    says = pictures.save_picture(path, lambda _, names: shown.extend(names), names=names)
    assert shown == ["a", "#2", "b"]
    assert says == (
        "a.png: no font here has all characters, so numbers stand for 1 names (#2 \U0010fffd); for "
        "Chinese install for example Noto Sans CJK SC (fonts-noto-cjk)"
    )


def test_labels_without_a_font_do_not_hide_which_pictures_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_fonts", lambda: ["DejaVu Sans"])
    found = evaluate(["好评", "差评"], np.eye(2), ["好评", "差评"])
    first, second = pictures.save_pictures(tmp_path, found).splitlines()
    assert first == "Pictures: confusion.png, reliability.png"
    assert second.startswith("confusion.png: no font here has all characters, so numbers stand for")
    assert "(#1 好评, #2 差评)" in second


def test_every_picture_has_a_title_and_sensible_axes(found):
    losses = Figure().add_subplot()
    pictures._losses(losses, [{"epoch": 1, "train_loss": 1.0}])
    reliability = Figure().add_subplot()
    pictures._reliability(reliability, found)
    confusion = Figure().add_subplot()
    pictures._confusion(found, [0, 1, 2], confusion, found.labels)
    assert all(axes.get_title() for axes in (losses, reliability, confusion))
    assert (losses.get_xlim(), losses.get_ylim()[0]) == ((0.5, 1.5), 0)
    assert all(tick == int(tick) for tick in losses.get_xticks())
    legend = [text.get_text() for text in reliability.get_legend().get_texts()]
    assert "perfectly calibrated" in legend
    assert [tick.get_text() for tick in confusion.get_yticklabels()] == ["a", "b", "c"]


def test_of_many_labels_those_with_the_most_mistakes_are_named(monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 4)
    labels = [f"label {number}" for number in range(6)]
    chances = np.eye(6)[[0, 1, 2, 4, 3, 5]]  # labels 3 and 4 are taken for each other
    found = evaluate(labels, chances, labels)
    chosen = pictures._most_mistaken(found)
    assert chosen == [0, 1, 3, 4]
    axes = Figure().add_subplot()
    pictures._confusion(found, chosen, axes, [labels[one] for one in chosen])
    assert axes.get_title().endswith("(the 4 labels of 6 with the most mistakes)")
    assert sorted(text.get_text() for text in axes.texts) == ["1"] * 4


def test_reports_that_are_none(tmp_path):
    assert read_report(tmp_path) == {}
    for content, message in (
        ("{", "is not JSON"),
        ("[]", "is no report"),
        ('{"data": 1}', "is no"),
    ):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_report(tmp_path)
