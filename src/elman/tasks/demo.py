"""The parts of `elman demo`: each a small training, which ends within a minute."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from skorch.callbacks import Callback

from .classifier import SequenceClassifier
from .data.newspaper import read_newspaper
from .data.plain import corpus_of
from .data.reviews import read_reviews
from .data.schemes import Span, write_tags
from .data.tagtable import TagTable
from .jobs.classify import Classify
from .jobs.job import Job, Parts, fit
from .jobs.lm import Foretell
from .jobs.tag import Tag
from .language_model import LanguageModel
from .models.folder import CHECKPOINT
from .networks.layers import layer_name
from .report.record import write_report
from .tagger import SequenceTagger
from .training.checkpoint import check_folder
from .training.net import SequenceNet

# Sentences that nobody reviewed, and what they say.
REVIEWS = {
    "房间很干净,前台态度也好,下次还会住这里。": "clean room, friendly staff, I'll come again",
    "等了两个小时才入住,空调还是坏的,太失望了。": "two hours' wait, broken air conditioning",
    "这本书文笔优美,孩子读得津津有味。": "a well-written book that the child loves",
    "电脑用了三天就死机,客服推来推去,后悔买了。": "the computer died after three days",
}
# Sentences that no newspaper of 1998 had.
NEWS = {
    "昨天,李明和王芳从上海飞往北京。": "Li Ming and Wang Fang flew from Shanghai to Beijing",
    "新华社记者张建国从广州报道。": "the Xinhua reporter Zhang Jianguo writes from Guangzhou",
    "法国总统希拉克在巴黎会见了日本首相。": "President Chirac received Japan's premier in Paris",
}
NAMES = {"nr": "person", "ns": "place", "nt": "organisation"}
STYLES = {"person": "bold red", "place": "bold green", "organisation": "bold blue"}
BESIDE = 15  # seconds that a part takes beside its training
SLOW = 10  # steps in which kernels are compiled
PARAGRAPHS, HELD_OUT = 4000, 600  # of the newspaper, for its names
LINES = 12_000  # of the newspaper as a text
# A classifier that reads 30,000 reviews thrice in half a minute.
JUDGE: dict[str, Any] = {
    "embedding_size": 64,
    "hidden_size": 64,
    "max_length": 100,
    "dropout": 0.4,
    "ngrams": 2,
}
# A language model that reads a million characters in half a minute.
READER: dict[str, Any] = {
    "cell": "gru",
    "embedding_size": 128,
    "hidden_size": 224,
    "num_layers": 1,
    "embedding_dropout": 0.0,
    "input_dropout": 0.1,
    "dropout": 0.2,
    "min_count": 5,
}
BEGINNINGS, LENGTH = ("中国", "新华社北京"), 70


class Deadline(Callback):
    """Ends a training after so many seconds; what has been learned by then is kept."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.reached = seconds, False

    def on_train_begin(self, net: SequenceNet, **_: Any) -> None:
        """Start the clock."""
        self.end = time.monotonic() + self.seconds

    def on_batch_end(self, net: SequenceNet, **_: Any) -> None:
        """Ask for the end, as Ctrl-C does."""
        if time.monotonic() >= self.end:
            self.reached = net.interrupt_.asked = True


@dataclass(frozen=True)
class Part:
    """What is learned, how it is tried out, and what can be done with it."""

    title: str
    make: Callable[[int], tuple[Job[Any, Any], Parts]]  # of a seed
    show: Callable[[Any, Console], None]  # a trained model on sentences
    score: Callable[[Any], str]  # what its scores are, in words
    commands: tuple[str, ...]  # the model's folder goes into the braces


def run_parts(
    parts: Mapping[str, Part], output: Path, seed: int, seconds: float, console: Console
) -> None:
    """One part after the other; where what comes beside training is slow, trainings are shorter."""
    end = time.monotonic() + (seconds + BESIDE) * len(parts)
    for number, (name, part) in enumerate(parts.items()):
        mine = (end - time.monotonic()) / (len(parts) - number) - BESIDE
        run_part(part, output / name, seed, max(1.0, min(seconds, mine)), console)


def run_part(part: Part, folder: Path, seed: int, seconds: float, console: Console) -> None:
    """Train for at most so many seconds, judge sentences, then score, draw and save."""
    (folder / CHECKPOINT).unlink(missing_ok=True)  # of a demo that was interrupted
    check_folder(folder, resume=False)
    console.print(f"\n{part.title}")
    job, parts = part.make(seed)
    sizes = f"{job.size(parts.learn)} to learn from, {job.size(parts.held_out)} held out"
    console.print(f"{sizes}; at most {seconds:.0f} s\n")
    deadline = Deadline(seconds)
    learn, callbacks = job.arguments(parts.learn), [("deadline", deadline)]
    try:
        fit(job.model, learn, parts.held_out, console, callbacks, folder=folder)
    except KeyboardInterrupt:
        if not deadline.reached:
            raise
        where = f"in epoch {len(job.model.net_.history)} of {job.model.epochs}"
        console.print(f"{seconds:.0f} s are over, {where}; it goes on with what has been learned")
        (folder / CHECKPOINT).unlink(missing_ok=True)
    console.print()
    part.show(job.model, console)
    found = job.judge(parts.held_out, folder, Console(quiet=True), trained=True)
    write_report(
        folder, {"data": job.source(job.data), "split": parts.split, "evaluation": found.as_json()}
    )
    console.print(f"\n{part.score(found)}")
    pictures = ", ".join(sorted(path.stem for path in folder.glob("*.png")))
    console.print(f"In {folder}: model, report, pictures ({pictures or 'none'})")


def compare_with_torch(seed: int, seconds: float, console: Console) -> None:
    """Train the same for a while with elman's layers and with torch.nn's; texts a second."""
    console.print(f"\nThe same training with elman's layers and torch.nn's, {seconds:.0f} s each")
    rates, losses = {}, {}
    for backend in ("elman", "torch"):
        job, parts = _reviews(seed)
        model, deadline = job.model.set_params(backend=backend), Deadline(seconds)
        name = layer_name(model.cell, backend)
        with console.status(name), contextlib.suppress(KeyboardInterrupt):
            model.fit(*job.arguments(parts.learn), callbacks=[("deadline", deadline)])
        if model.net_.interrupt_.asked and not deadline.reached:
            raise KeyboardInterrupt
        steps = [step for epoch in model.net_.history for step in epoch["batches"]]
        losses[name] = steps[0]["train_loss"]
        steps = steps[SLOW:] or steps
        spent = sum(step["train_seconds"] for step in steps)
        rates[name] = sum(step["train_batch_size"] for step in steps) / spent
        console.print(f"  {name:13} {rates[name]:6,.0f} texts/s", highlight=False)
    (ours, theirs), (one, other) = rates.values(), losses.values()
    apart = f"the first steps' losses lie {abs(one - other):.0e} apart"
    console.print(f"elman's are {ours / theirs:.1f} times as fast; {apart}")


def _reviews(seed: int) -> tuple[Classify, Parts]:
    model = SequenceClassifier(**JUDGE, epochs=3, random_state=seed, verbose=0)
    whole = read_reviews()
    job = Classify(model, whole)
    return job, job.split(0.1, Console(quiet=True))


def _show_labels(model: SequenceClassifier, console: Console) -> None:
    console.print("Sentences that it hasn't seen:")
    chances = model.predict_proba(list(REVIEWS)).tolist()
    for (text, meaning), row in zip(REVIEWS.items(), chances, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        _print(f"{model.classes_[best]} {row[best]:.2f}", Text(text), meaning, console)


def _names(seed: int) -> tuple[Tag, Parts]:
    model = SequenceTagger(hidden_size=96, epochs=4, random_state=seed, verbose=0)
    paper = read_newspaper()
    end = len(paper) * 4 // 5  # the last fifth is another month's end, with other names
    rows = range(end)[:: -(-end // PARAGRAPHS)]
    known = {paper.texts[row] for row in rows}
    new = [row for row in range(end, len(paper)) if paper.texts[row] not in known]
    job = Tag(model, _named(paper, rows), _named(paper, new[:: -(-len(new) // HELD_OUT)]))
    return job, job.split(0.0, Console(quiet=True))


def _named(paper: TagTable, rows: Sequence[int]) -> TagTable:
    """Some paragraphs, with labels in words, and a person's name in one piece."""
    tags = []
    for row, spans in zip(rows, paper.spans(rows), strict=True):
        joined: list[Span] = []
        for span in spans:
            begin = span.start
            if span.label == "nr" and joined and joined[-1][1:] == (begin, "nr"):
                begin = joined.pop().start
            joined.append(span._replace(start=begin))
        named = [span._replace(label=NAMES[span.label]) for span in joined]
        tags.append(write_tags(named, len(paper.texts[row]), "BIO"))
    texts, lines = [paper.texts[row] for row in rows], [paper.lines[row] for row in rows]
    return TagTable(texts, tags, lines, "BIO", source=paper.source)


def _show_names(model: SequenceTagger, console: Console) -> None:
    console.print("Names in sentences that it hasn't seen:")
    found = model.predict_spans(list(NEWS))
    for (text, meaning), spans in zip(NEWS.items(), found, strict=True):
        shown, begin = Text(), 0
        for span in spans:
            shown.append(text[begin : span.start])
            name = f"[{text[span.start : span.end]} {span.label}]"
            shown.append(name, STYLES[span.label])
            begin = span.end
        shown.append(text[begin:])
        _print("", shown, meaning, console)


def _text(seed: int) -> tuple[Foretell, Parts]:
    model = LanguageModel(**READER, epochs=1, lr=6e-3, averaging=0.99, random_state=seed, verbose=0)
    texts = read_newspaper().texts
    end = len(texts) * 19 // 20
    every = -(-end // LINES)
    parts = (texts[:end:every], texts[end : end + HELD_OUT])
    learn, held_out = (corpus_of(["\n".join(map(str, part))]) for part in parts)
    job = Foretell(model, learn, held_out)
    return job, job.split(0.0, Console(quiet=True))


def _show_text(model: LanguageModel, console: Console) -> None:
    console.print("What it makes up, character by character:")
    for prompt in BEGINNINGS:
        console.print(f"  {prompt}", end="", style="bold")
        for token in model.generate(prompt, length=LENGTH, temperature=0.6, seed=0):
            console.print(token.replace("\n", "\n  "), end="", soft_wrap=True)
        console.print()


def _print(answer: str, text: Text, meaning: str, console: Console) -> None:
    """What is said of a text, and below it, where there is no room beside it, what it means."""
    line = Text(f"  {answer}  " if answer else "  ").append_text(text)
    room = console.width - cell_len(line.plain)
    gap = "  " if cell_len(meaning) + 4 <= room else "\n" + " " * 6
    console.print(line.append(f"{gap}({meaning})", "dim"), soft_wrap=True)


PARTS = {
    "reviews": Part(
        "Reviews in Chinese, of hotels, books and computers: positive or negative?",
        _reviews,
        _show_labels,
        lambda found: (
            f"{found.accuracy:.1%} of {found.support.sum():,} held-out reviews are judged right "
            f"(always {found.majority[0]}: {found.majority[1]:.1%})"
        ),
        (
            'elman predict {} "这个酒店太吵了"',
            'elman inspect {} --text "这个酒店太吵了"',
        ),
    ),
    "names": Part(
        "The People's Daily of January 1998: persons, places, organisations",
        _names,
        _show_names,
        lambda found: (
            f"{found.all.recall:.1%} of {found.all.there:,} names in held-out paragraphs are "
            f"found, and {found.all.precision:.1%} of those found are right"
        ),
        ('elman predict {} "记者从南京大学获悉"',),
    ),
    "text": Part(
        "The same newspaper as a text: which character comes next?",
        _text,
        _show_text,
        lambda found: f"Of held-out paragraphs: {found.words()}",
        ("elman generate {} --prompt 今天", "elman score {} 新华社北京电"),
    ),
}
