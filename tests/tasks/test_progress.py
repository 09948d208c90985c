"""What is seen of a training: in a terminal, where there is none, and when it was interrupted."""

import io
import re
import time

import pytest
from rich.console import Console

from elman.tasks.training.progress import ProgressBar
from tests.tasks.trainings import EACH, At, interrupt, train

LINE = (
    r"model, epoch (\d)/3  loss 0\.\d{3}  accuracy \d+\.\d%  held out \d+\.\d% \(loss 0\.\d{3}\)  "
    r"lr (\d\.\de-0\d)  \d\.\d s  [\d,]+ texts/s(?:  0:\d\d:\d\d left)?"
)


def shown(terminal, callbacks=(), **options):
    """The characters that a training puts on a console."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=150)
    bar = ("progress", ProgressBar(console, "model"))
    train({"epochs": 3, **options.pop("settings", {})}, callbacks=[bar, *callbacks], **options)
    return console.file.getvalue()


def test_without_a_terminal_there_is_a_line_for_each_epoch():
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


def test_the_best_epoch_is_named():
    last = shown(False, settings={"patience": 1, "lr": 0.5}).splitlines()[-1]
    assert re.fullmatch(r"model: the weights are those of epoch \d, the best", last)


def test_after_an_interruption_the_epoch_is_counted_whole(tmp_path):
    whole = shown(False)
    stop = At(11 + 4, interrupt)
    with pytest.raises(KeyboardInterrupt):
        shown(False, [("stop", stop)], folder=tmp_path)
    lines = shown(False, folder=tmp_path, resume=True).splitlines()
    without_times = [re.sub(r"  \d\.\d s .*", "", line) for line in lines]
    assert without_times == [re.sub(r"  \d\.\d s .*", "", line) for line in whole.splitlines()[1:]]
