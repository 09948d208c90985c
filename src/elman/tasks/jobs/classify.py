"""From a table of texts and their labels to a saved classifier and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..classifier import SequenceClassifier
from ..data import Table, read_table, split_rows
from ..data.findings import count
from ..data.split import shared
from ..data.text import TOKENS
from ..data.values import label_name
from ..errors import TaskError
from ..report.evaluation import Evaluation, evaluate
from ..report.pictures import save_pictures
from ..report.record import describe
from ..report.runs import Rows, Run, run_of, train_baseline
from ..report.tables import show_evaluation, show_runs
from ..training.ranks import rank
from .job import Job, Parts, Plan, fit

SAME_LOSS = 1e-5  # how far the first step's losses of both backends may lie apart
UNEVEN = 10  # times as many texts as the rarest label that the commonest has, to be remarked


class Classify(Job[SequenceClassifier, Table]):
    """Texts and their labels; `compare` trains the same on the other backend, too."""

    HUB = "text-classification"

    def __init__(
        self,
        model: SequenceClassifier,
        data: Table,
        valid: Table | None = None,
        compare: bool = False,
    ) -> None:
        super().__init__(model, data, valid)
        self.twin = _twin(model) if compare else None

    @classmethod
    def read(
        cls, model: SequenceClassifier, file: Path, columns: Mapping[str, Any], skip_bad: bool
    ) -> Table:
        """A table whose labels the model knows."""
        table = read_table(file, **columns, skip_bad=skip_bad)
        if skip_bad:
            return table.of_labels(_labels(model), file)
        table.check_labels(_labels(model), file, "leave them out with --skip-bad")
        return table

    def rows(self) -> Rows:
        """The texts and labels."""
        return self.data.texts, self.data.labels

    def source(self) -> dict[str, Any]:
        """Where the table came from, and how many texts of each label it has."""
        return describe(self.data)

    def describe(self, console: Console) -> None:
        """The labels, texts that are cut short, and what the reader noted."""
        table, model = self.data, self.model
        counts = Counter(table.labels).most_common()
        if len(counts) < 2:
            raise TaskError(
                f"{table.source['file']}: every text has the label {counts[0][0]!r}; expected at "
                "least two different labels."
            )
        kinds = ", ".join(f"{number:,} {_named(label)}" for label, number in counts[:10])
        more = f" and {len(counts) - 10} more labels" if len(counts) > 10 else ""
        console.print(f"{len(table.texts):,} texts: {kinds}{more}")
        (commonest, most), (rarest, fewest) = counts[0], counts[-1]
        if most >= UNEVEN * fewest:
            console.print(
                f"{commonest} has {most / fewest:,.0f} times as many texts as {rarest}; with "
                "--class-weight balanced all labels weigh the same"
            )
        for note in table.notes:
            console.print(note)
        long = sum(len(TOKENS[model.tokens](text)) > model.max_length for text in table.texts)
        if long:
            console.print(
                f"{count(long, 'text')} longer than {model.max_length} {model.tokens}: the network "
                "doesn't read the rest"
            )

    def split(self, fraction: float, console: Console) -> Parts:
        """Of each label as many; equal texts stay on one side."""
        table, valid = self.data, self.valid
        if valid is not None:
            valid.check_labels(set(table.labels), valid.source["file"])
            for note in valid.notes:
                console.print(f"Of the held-out texts: {note}")
            if known := shared(table.texts, valid.texts):
                console.print(
                    f"{known:,} of the held-out texts are also among those to learn from: the "
                    "scores will be too good"
                )
            return Parts(self.rows(), (valid.texts, valid.labels), {"valid": describe(valid)})
        split = split_rows(table.texts, table.labels, fraction, self.model.random_state)
        if split.repeated:
            console.print(
                f"{split.repeated:,} repeat an earlier text: equal texts stay on one side of the "
                "split"
            )
        if split.conflicting:
            console.print(
                f"{split.conflicting:,} rows have the same text as a row with a different label"
            )
        learn, held_out = (
            (table.texts[side], table.labels[side]) for side in (split.train, split.valid)
        )
        return Parts(learn, held_out, {"valid_fraction": fraction})

    def judge(
        self, rows: Rows, folder: Path, console: Console, trained: bool = False
    ) -> Evaluation:
        """Accuracy and all that goes with it, and its pictures."""
        found = self._evaluate(self.model, rows)
        show_evaluation(found, console)
        folder.mkdir(parents=True, exist_ok=True)
        epochs = self.model.training_["epochs"] if trained else ()
        console.print(f"\n{save_pictures(folder, found, epochs)}")
        return found

    def further(self, parts: Parts, plan: Plan, found: Evaluation | None, console: Console) -> None:
        """The same on the other backend, and the baseline, beside one another."""
        runs = [] if found is None else [run_of(self.model, found)]
        if self.twin:
            fit(self.twin, parts.learn, parts.held_out, console)
            runs.append(run_of(self.twin, self._evaluate(self.twin, parts.held_out)))
        if rank():
            return
        ours, *others = sorted(runs, key=lambda run: run.name)  # elman first
        if plan.baseline:
            with console.status("TF-IDF and logistic regression"):
                runs.append(train_baseline(parts.learn, parts.held_out))
        if runs[1:]:
            console.print()
            show_runs(runs, console)
        if others:
            _show_comparison(ours, others[0], console)

    def _evaluate(self, model: SequenceClassifier, rows: Rows) -> Evaluation:
        texts, labels = rows
        return evaluate(labels, model.predict_proba(texts), _labels(model))


def _named(label: str) -> str:
    """A label as it stands behind a number."""
    return repr(label) if label[:1].isdigit() else label


def _labels(model: SequenceClassifier) -> list[str]:
    """The labels of a model as a file has them."""
    return [label_name(one) for one in model.classes_.tolist()]


def _twin(model: SequenceClassifier) -> SequenceClassifier:
    """The same on the other backend."""
    other = "torch" if model.backend == "elman" else "elman"
    twin = SequenceClassifier(**{**model.get_params(), "backend": other})
    twin._check_parameters()  # before anything is trained
    return twin


def _show_comparison(ours: Run, theirs: Run, console: Console) -> None:
    """elman and torch.nn beside each other."""
    apart = abs(ours.first_loss - theirs.first_loss)
    agree = "agree" if apart <= SAME_LOSS else "DIFFER"
    console.print(
        f"\n{ours.name} trains {theirs.epoch_seconds / ours.epoch_seconds:.1f} times as fast as "
        f"{theirs.name} ({torch.get_num_threads()} threads). The first steps' losses {agree} "
        f"({apart:.1e} apart), the accuracies lie "
        f"{100 * abs(ours.evaluation.accuracy - theirs.evaluation.accuracy):.2f} points apart."
    )
