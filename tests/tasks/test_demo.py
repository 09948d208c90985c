"""The demo: sentences are judged first, a slow machine ends it in time, and it begins again."""

import re
from pathlib import Path

import pytest
import torch

from elman.tasks import LanguageModel, SequenceClassifier, SequenceTagger, demo
from elman.tasks.data import Table
from elman.tasks.demo import PARTS, Deadline
from elman.tasks.models.folder import CHECKPOINT


@pytest.fixture
def few(monkeypatch):
    """A part of the data, and smaller networks: seconds instead of a minute."""
    reviews, paper = demo.read_reviews(), demo.read_newspaper()
    part = Table(reviews.texts[::120], reviews.labels[::120], reviews.lines[::120])
    monkeypatch.setattr(demo, "read_reviews", lambda: part)
    monkeypatch.setattr(demo, "read_newspaper", lambda: paper)
    monkeypatch.setattr(demo, "PARAGRAPHS", 100)
    monkeypatch.setattr(demo, "HELD_OUT", 20)
    monkeypatch.setattr(demo, "LINES", 60)


def test_every_part_judges_sentences_then_scores_and_draws(run, few, tmp_path):
    threads = torch.get_num_threads()
    status, out, err = run("demo", "--seconds", 900)
    assert (status, err) == (0, "")
    assert torch.get_num_threads() == threads
    assert len(re.findall(r"^  (?:posi|nega)tive [01]\.\d\d  .*。", out, re.M)) == 4
    assert len(re.findall(r"^  .*。.*\n? +\(.*\)$", out, re.M)) >= 3
    assert out.index("Sentences that it hasn't seen:") < out.index("held-out reviews are judged")
    assert out.index("Names in sentences") < out.index("names in held-out paragraphs are found")
    commands = re.findall(r"^  elman (.*)$", out[out.index("What to try next:") :], re.M)
    assert len(commands) == sum(len(part.commands) for part in PARTS.values()) + 1
    assert out.index("What it makes up") < out.index("Of held-out paragraphs: ")
    made_up = re.search(r"^  中国(.*)\n((?:  .*\n)*)  新华社北京", out, re.M)
    assert len(made_up[1] + made_up[2]) >= demo.LENGTH
    tasks = {"reviews": SequenceClassifier, "names": SequenceTagger, "text": LanguageModel}
    for name, task in tasks.items():
        folder = tmp_path / "elman-demo" / name
        assert task.load(folder).training_["epochs"]
        assert (folder / "loss.png").exists()
        assert (folder / "report.json").exists()
    assert (tmp_path / "elman-demo/reviews/confusion.png").exists()


@pytest.mark.parametrize(
    ("part", "epochs", "line"),
    [
        ("reviews", 3, r"  (?:posi|nega)tive [01]\.\d\d  "),
        ("names", 4, "  .*。"),
        ("text", 1, "  "),
    ],
)
def test_what_takes_too_long_ends_and_goes_on_with_what_it_has(
    run, few, tmp_path, monkeypatch, part, epochs, line
):
    monkeypatch.setattr(Deadline, "on_train_begin", lambda self, net, **_: setattr(self, "end", 0))
    folder = tmp_path / "elman-demo" / part
    folder.mkdir(parents=True)
    (folder / CHECKPOINT).write_bytes(b"of a demo that was interrupted")
    status, out, _ = run("demo", part)
    assert status == 0
    over = f"55 s are over, in epoch 1 of {epochs}; it goes on with what has been learned"
    assert over in out.splitlines()
    assert len(re.findall(f"^{line}", out, re.M)) >= 3
    assert not (folder / CHECKPOINT).exists()


def test_interrupted_it_says_that_it_begins_again(run, few, monkeypatch, tmp_path):
    monkeypatch.setattr(Deadline, "on_batch_end", lambda self, net, **_: interrupt(net))
    status, out, _ = run("demo", "reviews")
    assert status == 130
    assert "Interrupted; the same command begins again." in out
    assert "Sentences that it hasn't seen:" not in out
    monkeypatch.undo()
    assert (tmp_path / "elman-demo" / "reviews" / CHECKPOINT).exists()


def interrupt(net):
    net.interrupt_.asked = True


def test_the_comparison_is_an_option_with_a_bound(run, few):
    status, out, _ = run("demo", "names", "--compare", "--seconds", 2)
    assert status == 0
    rates = re.findall(r"^  (elman|torch\.nn)\.GRU +([\d,]+) texts/s$", out, re.M)
    assert [name for name, _ in rates] == ["elman", "torch.nn"]
    apart = re.search(r"times as fast; the first steps' losses lie (\S+) apart", out)
    assert float(apart[1]) < 1e-5


def test_a_part_that_is_not_there_is_refused_with_the_one_meant(run):
    assert run("demo", "review")[2] == (
        "elman: A part is one of reviews, names, text. Got 'review'. Did you mean 'reviews'?\n"
    )


def test_names_of_persons_are_whole():
    job, parts = demo._names(0)
    labels = {span.label for row in job.data.spans() for span in row}
    assert labels == {"person", "place", "organisation"}
    assert set(parts.learn[0]).isdisjoint(parts.held_out[0])
    persons = [
        text[span.start : span.end]
        for text, row in zip(job.data.texts, job.data.spans(), strict=True)
        for span in row
        if span.label == "person"
    ]
    assert "江泽民" in persons


def test_where_all_is_slow_trainings_are_shorter(monkeypatch):
    now, given = [0.0], []
    monkeypatch.setattr(demo.time, "monotonic", lambda: now[0])

    def slow(part, folder, seed, seconds, console):
        given.append(seconds)
        now[0] += seconds + 40

    monkeypatch.setattr(demo, "run_part", slow)
    demo.run_parts(PARTS, Path("here"), 0, 55, None)
    assert given == [55, 42.5, 17.5]
    assert now[0] < 240
