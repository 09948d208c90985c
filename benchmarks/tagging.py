"""``python -m benchmarks.tagging [--task names|words|pos] [--crf] [...]``: how good a tagger is.

Trains `SequenceTagger` with its defaults on the People's Daily of January 1998, the last fifth of
the paragraphs held out, beside each character's commonest tag and, with `--crf`, a linear chain of
window features (python-crfsuite, of the extra `compare`). Seconds are processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from elman.tasks import SequenceTagger
from elman.tasks.data.newspaper import NAMES, joined, read_newspaper
from elman.tasks.data.schemes import read_tags
from elman.tasks.jobs.tag import commonest
from elman.tasks.report.entities import Comparison, compare
from elman.tasks.training.progress import ProgressBar

#: The spans of each task.
TASKS: dict[str, dict[str, Any]] = {
    "names": {"labels": NAMES},
    "words": {"labels": None, "word": "word"},
    "pos": {"labels": None},
}


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and its processor time."""
    began = time.process_time()
    return work(), time.process_time() - began


def show(name: str, found: Comparison, trained: float, rate: float) -> None:
    """A row of the table."""
    kinds = [found.by_label[label].f1 for label in NAMES if label in found.by_label]
    shown = [f"{score:.3f}" for score in (found.all.precision, found.all.recall, found.all.f1)]
    shown += [f"{score:.3f}" for score in kinds] if len(found.by_label) == len(NAMES) else []
    print(f"| {name} | {' | '.join(shown)} | {trained:,.0f} | {rate:,.0f} |", flush=True)


def features(text: str) -> list[list[str]]:
    """A window of two characters on both sides, and the pairs in it."""
    padded = f"\t\t{text}\t\t"
    return [
        [f"{k}={padded[at + k]}" for k in range(-2, 3)]
        + [f"{k}:{padded[at + k : at + k + 2]}" for k in range(-2, 2)]
        + [f"s={padded[at - 1]}{padded[at + 1]}", "bias"]
        for at in range(2, len(text) + 2)
    ]


def chain(learn: Any, held_out: Sequence[str]) -> tuple[list[list[Any]], float, float]:
    """The spans that a linear chain of window features finds, and its times."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    for text, tags in zip(*learn, strict=True):
        trainer.append(features(text), tags)
    trainer.set_params(
        {"c1": 0.1, "c2": 0.01, "max_iterations": 60, "feature.possible_transitions": True}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "chain")
        _, trained = seconds(lambda: trainer.train(path))
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        rows, took = seconds(lambda: [tagger.tag(features(text)) for text in held_out])
        tagger.close()
    # Of its tags some follow no scheme: an I without a B begins a span as well.
    return [read_tags(row, "IOB1") for row in rows], trained, took


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tagging", description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="names")
    parser.add_argument("--crf", action="store_true", help="also the linear chain")
    parser.add_argument("--only-crf", action="store_true")
    parser.add_argument("--lines", type=int, default=None, help="learn from so many paragraphs")
    parser.add_argument("--epochs", type=int, help="instead of the default")
    parser.add_argument("--hidden-size", type=int, help="instead of the default")
    parser.add_argument("--dropout", type=float, help="instead of the default")
    parser.add_argument("--batch-size", type=int, help="instead of the default")
    parser.add_argument("--repeats", action="store_true", help="read what stands elsewhere as well")
    parser.add_argument(
        "--joined", type=int, default=0, help="paragraphs as texts of so many characters at most"
    )
    parser.add_argument("--auxiliary", action="store_true", help="learn parts of speech as well")
    parser.add_argument("--auxiliary-weight", type=float, help="instead of the default")
    parser.add_argument("--n-estimators", type=int, help="instead of the default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, help="a folder for the tagger")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = read_newspaper(**TASKS[options.task], auxiliary=options.auxiliary)
    cut = len(table) * 4 // 5
    learn = table.take(range(cut)[: options.lines])
    held_out = table.take(range(cut, len(table)))[:2]
    if options.joined:
        learn, held_out = joined(learn, options.joined), joined(held_out, options.joined)
    truth = [read_tags(row, table.scheme) for row in held_out[1]]
    characters = sum(map(len, held_out[0]))
    kinds = f" | {' | '.join(NAMES)}" if options.task == "names" else ""
    print(f"{len(learn[0]):,} texts to learn from, {len(truth):,} held out\n")
    print(f"| method | precision | recall | F1{kinds} | s of training | characters/s |")
    print(f"|---|---|---|---{'|---' * len(NAMES) if kinds else ''}|---|---|")
    names = ("epochs", "hidden_size", "n_estimators", "dropout", "auxiliary_weight")
    names += ("batch_size", "repeats")
    given = {name: value for name in names if (value := getattr(options, name))}
    model = SequenceTagger(random_state=options.seed, **given)
    found, took = seconds(lambda: commonest(learn, held_out[0], model.tokens, table.scheme))
    show("each character's commonest tag", compare(truth, found), 0, characters / took)
    if options.crf or options.only_crf:
        found, trained, took = chain(learn[:2], held_out[0])
        show("linear chain of window features", compare(truth, found), trained, characters / took)
    if options.only_crf:
        return
    bar = ProgressBar(Console(stderr=True), "tagger")
    _, trained = seconds(lambda: model.fit(*learn, valid=held_out, callbacks=[("progress", bar)]))
    if options.save:
        model.save(options.save)
    torch.set_num_threads(1)
    model.predict_spans(held_out[0][:100])  # compiles
    found, took = seconds(lambda: model.predict_spans(held_out[0]))
    show("elman.GRU and a chain", compare(truth, found), trained, characters / took)


if __name__ == "__main__":
    main()
