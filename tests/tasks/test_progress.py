"""What is seen of a training: in a terminal, where there is none, and when it was interrupted."""

import io
import re
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from elman.tasks.training import progress
from elman.tasks.training.progress import ProgressBar
from tests.tasks.trainings import EACH, At, interrupt, train

LINE = (
    r"model, epoch (\d)/3  loss 0\.\d{3}  accuracy \d+\.\d%  held out \d+\.\d%  "
    r"held-out loss 0\.\d{3}  "
    r"lr (\d\.\de-0\d)  \d+\.\d s  [\d,]+ texts/s(?:  0:\d\d:\d\d left)?"
)


def shown(terminal, callbacks=(), width=150, **options):
    """The characters that a training puts on a console."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width)
    bar = ("progress", ProgressBar(console, "model"))
    train({"epochs": 3, **options.pop("settings", {})}, callbacks=[bar, *callbacks], **options)
    return console.file.getvalue()


def test_without_a_terminal_there_is_a_line_for_each_epoch(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 1e9)  # also on a machine that is busy
    lines = shown(False).splitlines()
    found = [re.fullmatch(LINE, line) for line in lines]
    assert [match and match[1] for match in found] == ["1", "2", "3"]
    assert [line.endswith(" left") for line in lines] == [True, True, False]
    rates = [float(match[2]) for match in found]
    assert rates == sorted(rates, reverse=True)


def test_a_terminal_shows_the_steps_too():
    out = shown(True, [("sleep", At(EACH, lambda: time.sleep(0.02)))])  # it is drawn now and then
    assert re.search(
        r"model, epoch 1/3 .*loss 0\.\d{3}  accuracy \d+\.\d%  lr \d\.\de-02  [\d,]+ texts/s", out
    )
    assert len(re.findall(LINE, out)) == 3


def test_a_terminal_shows_how_far_the_ngrams_are():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar = ProgressBar(console, "model")
    for done in range(3):
        bar.prepare("n-grams", done, 2)
        bar.bar.refresh()
    bar.stop()
    assert re.search(r"model, n-grams .*━", console.file.getvalue())
    assert "model, n-grams" in shown(True)


def test_without_a_terminal_what_takes_long_has_lines_now_and_then(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    clock = iter([0.0, 1.0, 21.0, 21.0, 22.0, 41.0, 41.0, 44.0, 44.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.under_way(console, "counts") as told:
        for done in range(4):
            told(done, 4)
    assert console.file.getvalue() == "counts ...\ncounts: 1 of 4\ncounts: 3 of 4\n"
    quiet = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress.under_way(quiet, "counts") as told:
        told(0, 1)
    assert quiet.file.getvalue().endswith("\x1b[2K")  # the line is gone


def test_without_a_terminal_slow_ngrams_have_lines(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert "model, n-grams: 4 of 4\n" in shown(False)


@pytest.mark.parametrize("width", [80, 60])
def test_a_narrow_terminal_shows_whole_words_in_one_line(width):
    out = shown(True, [("sleep", At(EACH, lambda: time.sleep(0.02)))], width)
    lines = [re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", line) for line in re.split("[\r\n]", out)]
    assert max(map(cell_len, lines)) <= width
    bar = r"model, epoch \d/3 [━╸╺ ]{8} loss 0\.\d{3}( {2}\S+ \S+)* +[-\d]:[-\d]{2}:[-\d]{2}"
    assert any(re.fullmatch(bar, line.strip()) for line in lines)
    epochs = [line for line in lines if line.endswith("left")]
    assert all(re.match(r"model, epoch \d/3  loss .*  held out \S+%", line) for line in epochs)
    assert len(epochs) == 2


def test_the_best_epoch_is_named():
    last = shown(False, settings={"patience": 1, "lr": 0.5}).splitlines()[-1]
    assert re.fullmatch(r"model: the weights are those of epoch \d, the best", last)


def test_after_an_interruption_the_epoch_is_counted_whole(tmp_path):
    whole = shown(False)
    stop = At(11 + 4, interrupt)
    with pytest.raises(KeyboardInterrupt):
        shown(False, [("stop", stop)], folder=tmp_path)
    resumed, *lines = shown(False, folder=tmp_path, resume=True).splitlines()
    assert resumed == "model: resumes in epoch 2/3, after 4 of its 8 steps"
    without_times = [re.sub(r"  \d+\.\d s .*", "", line) for line in lines]
    assert without_times == [re.sub(r"  \d+\.\d s .*", "", line) for line in whole.splitlines()[1:]]
