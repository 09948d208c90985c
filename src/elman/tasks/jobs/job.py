"""From data to a saved model and its report, telling the user at every step what happens.

What is the same for every task is here. A task's own part is a subclass of `Job`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from rich.console import Console
from skorch.callbacks import Callback

from ..data.findings import count
from ..data.split import shared
from ..estimator import SequenceEstimator
from ..models.base import TrainedModel
from ..models.folder import CHECKPOINT, CONFIG
from ..networks.layers import layer_name
from ..report.card import write_card
from ..report.record import facts, write_report
from ..training.checkpoint import check_folder
from ..training.progress import ProgressBar
from ..training.ranks import process_group, rank

Model = TypeVar("Model", bound=TrainedModel)
Data = TypeVar("Data")


@dataclass(frozen=True)
class Plan:
    """What to do beside training: where to save, what to hold out, what to compare with."""

    output: Path
    valid_fraction: float = 0.2  # where the job has no held-out data of its own
    baseline: bool = False
    resume: bool = False  # go on with the training that was interrupted in `output`
    begun: Path | None = None  # the folder of the model that the training goes on from


class Parts(NamedTuple):
    """Rows to learn from and held out, and what the report says of the split."""

    learn: Any
    held_out: Any
    split: dict[str, Any]


class Job(ABC, Generic[Model, Data]):
    """What a task says of its data, how it splits them, and how it judges a model.

    Args:
        model: the estimator, to be trained or, for `evaluate`, trained already.
        data: what its files held.
        valid: held-out data of their own, instead of a fraction of `data`.
    """

    NOUN: ClassVar[str] = "texts"  # what is held out
    USE: ClassVar[str] = 'elman predict {} "TEXT"'  # the folder goes into the braces
    HUB: ClassVar[str]  # what hubs call such models
    COLUMNS: ClassVar[tuple[str, ...]] = ("text", "label")  # that `read` is given

    def __init__(self, model: Model, data: Data, valid: Data | None = None) -> None:
        self.model, self.data, self.valid = model, data, valid

    @classmethod
    @abstractmethod
    def read(cls, model: Any, file: Path, columns: Mapping[str, Any], skip_bad: bool) -> Any:
        """The data of a file for `evaluate`; `columns` are those given or, else, of training."""

    @abstractmethod
    def describe(self, console: Console) -> None:
        """Say what is noteworthy about the data; raise where nothing can be learned from them."""

    @abstractmethod
    def cut(self, fraction: float, console: Console) -> tuple[Any, Any]:
        """Rows to learn from and, of `data`, about a fraction to hold out."""

    @abstractmethod
    def source(self, data: Data) -> dict[str, Any]:
        """What the report says of some data."""

    @abstractmethod
    def rows(self, data: Data) -> Any:
        """All of some data, as `fit` takes them."""

    @abstractmethod
    def judge(self, rows: Any, folder: Path, console: Console, trained: bool = False) -> Any:
        """The model's scores on rows, which have `as_json`; show them, write what belongs to them.

        `trained` says that the folder is the model's, which has just been trained.
        """

    def compare(self, valid: Data, console: Console) -> None:
        """Say what is noteworthy about held-out data beside the others."""

    def split(self, fraction: float, console: Console) -> Parts:
        """What to learn from, and what to hold out: of `valid` or, without, of the data."""
        if self.valid is None:
            return Parts(*self.cut(fraction, console), {"valid_fraction": fraction})
        for note in getattr(self.valid, "notes", ()):
            console.print(f"Of the held-out {self.NOUN}: {note}")
        self.compare(self.valid, console)
        held_out = {"valid": self.source(self.valid)}
        return Parts(self.rows(self.data), self.rows(self.valid), held_out)

    def arguments(self, rows: Any) -> tuple[Any, ...]:
        """Rows as the first arguments of `fit`."""
        return tuple(rows)

    def fitted(self, held_out: Any) -> Any:
        """What `fit` is given as held out."""
        return held_out

    def size(self, rows: Any) -> str:
        """How much there is of something to learn from or held out."""
        return f"{len(rows[0]):,}"

    def whole(self) -> str:
        """How much data there is, in words."""
        return count(len(self.rows(self.data)[0]), "text")

    def further(self, parts: Parts, plan: Plan, found: Any, console: Console) -> None:
        """What comes after the training, on all ranks: those above 0 have `found` nothing."""

    def evaluate(self, file: Path, folder: Path, console: Console) -> None:
        """Judge the model on all of the data, and write the report."""
        console.print(f"{self.whole()} of {file}:")
        found = self.judge(self.rows(self.data), folder, console)
        write_report(folder, {"data": self.source(self.data), "evaluation": found.as_json()})


def run_job(job: Job[Any, Any], plan: Plan, console: Console) -> Any:
    """Train, save, report, compare; the scores on what was held out.

    Of the processes that torchrun starts all train, and one does the rest; the others get None.
    """
    with process_group():
        console.quiet = rank() > 0
        return _run(job, plan, console)


def _run(job: Job[Any, Any], plan: Plan, console: Console) -> Any:
    check_folder(plan.output, plan.resume)
    replaces = (plan.output / CONFIG).exists() and not plan.resume
    if plan.begun:
        console.print(f"Goes on from {plan.begun}: what it knows stays, its weights change")
    job.describe(console)
    parts = job.split(plan.valid_fraction, console)
    console.print(f"{job.size(parts.learn)} to learn from, {job.size(parts.held_out)} held out\n")
    if plan.resume and not (plan.output / CHECKPOINT).exists():
        console.print(f"{plan.output}: no checkpoint was written there yet; this begins anew\n")
    try:
        fit(
            job.model,
            job.arguments(parts.learn),
            job.fitted(parts.held_out),
            console,
            folder=plan.output,
            resume=plan.resume,
        )
    except KeyboardInterrupt:
        console.print(what_is_left(job.model, plan))
        raise
    found = None
    if rank() == 0:
        console.print(f"\nOn the held-out {job.NOUN}:")
        found = job.judge(parts.held_out, plan.output, console, trained=True)
        evaluation = found.as_json()
        report = {"data": job.source(job.data), "split": parts.split, "evaluation": evaluation}
        if plan.begun:
            report["began_from"] = str(plan.begun)
        write_report(plan.output, report)
    job.further(parts, plan, found, console)
    if found is not None:
        model = job.model
        told = {**model.about(), **facts(plan.output, model.training_)}
        layers = layer_name(model.cell, model.backend)
        words = "tokens" in model.get_params()
        write_card(plan.output, type(model).__name__, layers, told, job.USE, job.HUB, words)
        console.print(
            f"\nSaved in {plan.output}{', in place of the model there' if replaces else ''}. "
            f"Use it with: {job.USE.format(plan.output)}"
        )
    return found


def fit(
    model: SequenceEstimator,
    learn: Iterable[Any],
    held_out: Any,
    console: Console,
    callbacks: Iterable[tuple[str, Callback]] = (),
    **saving: Any,
) -> None:
    """One training with its progress bar; `saving` says where `fit` saves it."""
    bar = ProgressBar(console, layer_name(model.cell, model.backend))
    try:
        model.fit(*learn, valid=held_out, callbacks=[("progress", bar), *callbacks], **saving)
    finally:
        bar.stop()


def what_is_left(model: SequenceEstimator, plan: Plan) -> str:
    """What an interrupted training leaves behind."""
    if "epochs" not in getattr(model, "training_", {}):
        return "Interrupted before the first step; there is nothing to save."
    return (
        f"Interrupted in epoch {len(model.net_.history)}; what the model has learned so far is "
        f"saved in {plan.output}. The same command with --resume goes on."
    )


def listed(counts: Sequence[tuple[str, int]], named: Callable[[str], str] = str) -> str:
    """How often the most common labels occur, in words.

    >>> listed([("new", 1200), ("old", 7)])
    '1,200 new, 7 old'
    """
    kinds = ", ".join(f"{number:,} {named(label)}" for label, number in counts[:10])
    return kinds + (f" and {len(counts) - 10} more labels" if counts[10:] else "")


def tell_shared(texts: Collection[str], others: Collection[str], console: Console) -> None:
    """Say how many held-out texts can be learned by heart."""
    if known := shared(texts, others):
        console.print(
            f"{known:,} of the held-out texts are also among those to learn from: the scores will "
            "be too good"
        )


def tell_repeated(texts: int, console: Console) -> None:
    """Say how many texts occurred before."""
    if texts:
        console.print(
            f"{texts:,} repeat an earlier text: equal texts stay on one side of the split"
        )


def default_folder(file: Path) -> Path:
    """Where the model of a file is saved, if nothing else is said."""
    return Path(f"{file.stem}-model")
