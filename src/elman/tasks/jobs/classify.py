"""From a table of texts and their labels or numbers to a saved model and its report."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ..classifier import SequenceClassifier
from ..data import Table, read_table, split_rows
from ..data.findings import count
from ..data.split import identities
from ..data.text import TOKENS
from ..data.values import LABEL, LABELS, NUMBER, are_numbers
from ..errors import TaskError
from ..regressor import SequenceRegressor
from ..report.evaluation import Evaluation
from ..report.record import describe
from ..report.runs import Rows, Run, run_of, train_baseline
from ..report.tables import show_runs
from ..training.progress import under_way
from ..training.ranks import rank
from .job import Parts, Plan, fit, listed, tell_repeated, tell_shared
from .rows import Found, OfRows, labels_of

SAME_LOSS = 1e-5  # how far the first step's losses of both backends may lie apart
UNEVEN = 10  # a remark is due if the most common label has so many times the texts of the rarest
NUMBERS = 3  # labels, at least, for the remark that all of them read like numbers


class OfTexts(OfRows[Any, Table]):
    """Texts and what is known of them; `compare` trains the same on the other backend, too."""

    HUB = "text-classification"
    COLUMNS = ("text", "label", "labels_separator")

    def __init__(
        self, model: Any, data: Table, valid: Table | None = None, compare: bool = False
    ) -> None:
        super().__init__(model, data, valid)
        self.twin = _twin(model) if compare else None

    @abstractmethod
    def known(self, console: Console) -> None:
        """Say what is known of the texts; raise where nothing can be learned from it."""

    def strata(self) -> Collection[Any]:
        """What is to be on both sides of a split alike."""
        return [""] * len(self.data.texts)

    def rows(self, data: Table) -> Rows:
        """The texts, and what is known of them."""
        return data.texts, data.labels

    def source(self, data: Table) -> dict[str, Any]:
        return describe(data)

    def describe(self, console: Console) -> None:
        table, model = self.data, self.model
        self.known(console)
        for note in table.notes:
            console.print(note)
        long = sum(len(TOKENS[model.tokens](text)) > model.max_length for text in table.texts)
        if long:
            console.print(
                f"{count(long, 'text')} longer than {model.max_length} {model.tokens}: the network "
                "doesn't read the rest"
            )

    def compare(self, valid: Table, console: Console) -> None:
        tell_shared(self.data.texts, valid.texts, console)

    def cut(self, fraction: float, console: Console) -> tuple[Rows, Rows]:
        """Of each label as many; equal texts stay on one side."""
        table = self.data
        split = split_rows(table.texts, self.strata(), fraction, self.model.random_state)
        tell_repeated(split.repeated, console)
        if split.conflicting and table.kind == LABEL:
            console.print(
                f"{split.conflicting:,} rows have the same text as a row with a different label"
            )
        learn, held_out = (
            (table.texts[side], table.labels[side]) for side in (split.train, split.valid)
        )
        return learn, held_out

    def further(self, parts: Parts, plan: Plan, found: Found | None, console: Console) -> None:
        """The same on the other backend, and the baseline, beside one another."""
        runs = [] if found is None else [run_of(self.model, found)]
        if self.twin:
            fit(self.twin, parts.learn, self.fitted(parts.held_out), console)
            runs.append(run_of(self.twin, self.score(self.twin, parts.held_out)))
        if rank():
            return
        ours, *others = sorted(runs, key=lambda run: run.name)  # elman first
        if plan.baseline:
            with under_way(console, "TF-IDF and a linear model"):
                threshold = getattr(self.model, "threshold", 0.5)
                sides = (parts.learn, parts.held_out)
                runs.append(train_baseline(*sides, self.data.kind, threshold))
        if runs[1:]:
            console.print()
            show_runs(runs, console)
        if others:
            _show_comparison(ours, others[0], console)


class Classify(OfTexts):
    """Texts, and the label of each, or any number of labels."""

    @classmethod
    def read(cls, model: Any, file: Path, columns: Mapping[str, Any], skip_bad: bool) -> Table:
        """A table whose labels the model knows."""
        kind = LABELS if model.several_ else LABEL
        table = read_table(file, **columns, kind=kind, skip_bad=skip_bad)
        if skip_bad:
            return table.of_labels(labels_of(model), file)
        table.check_labels(labels_of(model), file, "leave them out with --skip-bad")
        return table

    def known(self, console: Console) -> None:
        table = self.data
        if goes_on := hasattr(self.model, "classes_"):
            known, remedy = labels_of(self.model), "train a new model on all texts, without --from"
            table.check_labels(known, table.source["file"], remedy)
        counts = Counter(name for label in table.labels for name in table.named(label))
        ordered = counts.most_common()
        if len(counts) < 2 and not goes_on:
            label = f"the label {ordered[0][0]!r}" if counts else "no label"
            which = (
                "no text has a label but" if counts and table.kind == LABELS else "every text has"
            )
            raise TaskError(
                f"{table.source['file']}: {which} {label}; expected at least two different labels."
            )
        console.print(f"{len(table.texts):,} texts: {listed(ordered, _named)}")
        if table.kind == LABELS:
            none = sum(not label for label in table.labels)
            console.print(
                f"Texts have {counts.total() / len(table.labels):.1f} labels on average; "
                f"{none:,} have none"
            )
        elif len(counts) >= NUMBERS and are_numbers(counts):
            console.print(
                "The labels read like numbers and are learned as names; with --regression they are "
                "learned as numbers"
            )
        (commonest, most), (rarest, fewest) = ordered[0], ordered[-1]
        if most >= UNEVEN * fewest:
            console.print(
                f"{commonest} has {most / fewest:,.0f} times as many texts as {rarest}; with "
                "--class-weight balanced all labels weigh the same"
            )

    def strata(self) -> Collection[Any]:
        """The label of each text, or of several the rarest."""
        if self.data.kind == LABEL:
            return self.data.labels
        return _rarest(self.data)

    def split(self, fraction: float, console: Console) -> Parts:
        before = {*labels_of(self.model)} if hasattr(self.model, "classes_") else set()
        if self.valid is not None:
            names = before | self._names(self.data.labels)
            self.valid.check_labels(names, self.valid.source["file"])
        parts = super().split(fraction, console)
        self.learned = before | self._names(parts.learn[1])
        return parts

    def _names(self, labels: Iterable[Any]) -> set[str]:
        return {name for label in labels for name in self.data.named(label)}

    def fitted(self, held_out: Rows) -> Rows:
        """Of several labels those that are learned: a rare one may be held out only."""
        texts, labels = held_out
        if self.data.kind == LABELS:
            return texts, [tuple(name for name in row if name in self.learned) for row in labels]
        return held_out


class Regress(OfTexts):
    """Texts, and a number of each."""

    @classmethod
    def read(cls, model: Any, file: Path, columns: Mapping[str, Any], skip_bad: bool) -> Table:
        return read_table(file, **columns, kind=NUMBER, skip_bad=skip_bad)

    def known(self, console: Console) -> None:
        numbers = self.data.labels.astype(np.float64)
        low, high = numbers.min(), numbers.max()
        if low == high:
            raise TaskError(
                f"{self.data.source['file']}: every text has the number {low:g}; expected "
                "different ones."
            )
        console.print(
            f"{len(numbers):,} texts with numbers from {low:.4g} to {high:.4g}, on average "
            f"{numbers.mean():.4g} with a deviation of {numbers.std():.4g}"
        )

    def arguments(self, rows: Rows) -> tuple[Any, ...]:
        """Texts and floats."""
        return rows[0], np.asarray(rows[1], np.float64)

    def fitted(self, held_out: Rows) -> tuple[Any, ...]:
        return self.arguments(held_out)


def regressor_like(model: SequenceClassifier) -> SequenceRegressor:
    """An untrained regressor with the parameters of a classifier."""
    given, usual = model.get_params(), SequenceClassifier().get_params()
    own = SequenceRegressor().get_params()
    for name in given.keys() - own:
        if given[name] != usual[name]:
            option = name.replace("_", "-")
            raise TaskError(f"--{option} is for labels; leave it out with --regression.")
    return SequenceRegressor(**{name: given[name] for name in own})


def _rarest(table: Table) -> list[str]:
    """The rarest label of each text; a label that only one text has counts as the most common."""
    counts = Counter(name for label in table.labels for name in label)
    rarest = [min(label, key=lambda one: (counts[one], one), default="") for label in table.labels]
    different = Counter(name for name, _ in {*zip(rarest, identities(table.texts), strict=True)})
    commonest = different.most_common(1)[0][0]
    return [name if different[name] > 1 else commonest for name in rarest]


def _named(label: str) -> str:
    """A label as it stands behind a number."""
    return repr(label) if label[:1].isdigit() else label


def _twin(model: Any) -> Any:
    """The same on the other backend."""
    other = "torch" if model.backend == "elman" else "elman"
    twin = type(model)(**{**model.get_params(), "backend": other})
    twin._check_parameters()  # before anything is trained
    return twin


def _show_comparison(ours: Run, theirs: Run, console: Console) -> None:
    """elman and torch.nn beside each other."""
    apart = abs(ours.first_loss - theirs.first_loss)
    agree = "agree" if apart <= SAME_LOSS else "DIFFER"
    both, accuracies = (ours.evaluation, theirs.evaluation), ""
    if isinstance(both[0], Evaluation) and isinstance(both[1], Evaluation):
        points = 100 * abs(both[0].accuracy - both[1].accuracy)
        accuracies = f", the accuracies lie {points:.2f} points apart"
    console.print(
        f"\n{ours.name} trains {theirs.epoch_seconds / ours.epoch_seconds:.1f} times as fast as "
        f"{theirs.name} ({torch.get_num_threads()} threads). The first steps' losses {agree} "
        f"({apart:.1e} apart){accuracies}."
    )
