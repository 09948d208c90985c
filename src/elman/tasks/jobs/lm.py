"""From files of plain text to a saved language model and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..data.findings import count
from ..data.plain import Corpus, Tokens, read_corpus, split_corpus
from ..models.language import TrainedLanguageModel
from ..networks.layers import layer_name
from ..report.pictures import save_losses
from ..report.surprise import Scores, surprises
from ..report.tables import show_facts
from ..training.progress import under_way
from .job import Job, Parts, Plan
from .kneser_ney import KneserNey, mixed

ORDER, LONGER = 5, 8  # of the n-grams of the baseline; where there are few different tokens
FEW = 500
COUNTED = 20_000_000  # tokens that n-grams are counted in, at most: the last ones


class Foretell(Job[TrainedLanguageModel, Corpus]):
    """Texts, and what comes next in them."""

    NOUN = "text"
    USE = "elman generate {} --prompt TEXT"
    HUB = "text-generation"
    COLUMNS = ("text",)

    @classmethod
    def read(
        cls, model: TrainedLanguageModel, file: Path, columns: Mapping[str, Any], skip_bad: bool
    ) -> Corpus:
        return read_corpus([file], columns.get("text"), skip_bad=skip_bad)

    def rows(self, data: Corpus) -> Corpus:
        return data

    def arguments(self, rows: Corpus) -> tuple[Corpus]:
        """The texts are all that `fit` takes."""
        return (rows,)

    def source(self, data: Corpus) -> dict[str, Any]:
        return {**data.source, **data.fingerprint()}

    def size(self, rows: Corpus) -> str:
        return f"{rows.characters:,} characters"

    def whole(self) -> str:
        return self.size(self.data)

    def describe(self, console: Console) -> None:
        console.print(f"{self.size(self.data)} in {count(len(self.data.texts), 'text')}")
        for note in self.data.notes:
            console.print(note)

    def cut(self, fraction: float, console: Console) -> tuple[Corpus, Corpus]:
        """The end of the text, or the last of several texts, is held out."""
        return split_corpus(self.data, fraction)

    def judge(self, rows: Corpus, folder: Path, console: Console, trained: bool = False) -> Scores:
        found = self.model.scores(rows)
        console.print(found.words())
        if trained:
            console.print(f"\n{save_losses(folder, self.model.training_['epochs'])}")
        return found

    def further(self, parts: Parts, plan: Plan, found: Scores | None, console: Console) -> None:
        """Counted n-grams, alone and together with the network."""
        if found is None or not plan.baseline:
            return
        with under_way(console, "Kneser-Ney n-grams") as told:
            order, alone, both = beside_ngrams(self.model, parts.learn, parts.held_out, told)
        name = layer_name(self.model.cell, self.model.backend)
        console.print()
        show_facts(
            {
                name: found.words(),
                f"Kneser-Ney, order {order}": alone.words(),
                "both, weighed as the text goes on": both.words(),
            },
            console,
        )


def beside_ngrams(
    model: TrainedLanguageModel,
    learn: Corpus,
    held_out: Corpus,
    told: Callable[[int, int], None] = lambda done, all_of_them: None,
) -> tuple[int, Scores, Scores]:
    """The order of n-grams with the model's vocabulary, their scores, and those of both together.

    Of a large text the end is counted, as all counts are in memory. `told` is that of `KneserNey`.
    """
    train, test = (Tokens(c, model.vocabulary_, model.tokens) for c in (learn, held_out))
    order = ORDER if len(model.vocabulary_) > FEW else LONGER
    ngrams = KneserNey(train.ids[-COUNTED:], len(model.vocabulary_), order, told)
    chances = ngrams.chances(test.ids)
    network = np.exp2(-surprises(model.network, test.ids).astype(np.float64))
    both = mixed(chances, network)
    given = (test.ids, held_out.characters, model.tokens)
    return order, Scores.of(-np.log2(chances), *given), Scores.of(-np.log2(both), *given)
