"""From a file of tagged texts to a saved tagger and its report."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from .data.findings import count
from .data.schemes import OUTSIDE, Span, read_tags
from .data.split import shared, split_rows
from .data.tagged import Text, to_tokens
from .data.tagtable import TagTable
from .errors import TaskError
from .folder import CONFIG
from .job import Job, what_is_left
from .model import layer_name
from .report.entities import Comparison, compare
from .report.mistakes import write_mistakes
from .report.pictures import save_losses
from .report.record import describe_tags, write_report
from .report.show import show_comparison, show_scores
from .tagger import SequenceTagger
from .training.checkpoint import check_folder
from .training.progress import ProgressBar
from .training.ranks import process_group, rank

Rows = tuple[list[Text], list[list[str]]]


def run_tag_job(
    table: TagTable, model: SequenceTagger, job: Job, console: Console
) -> Comparison | None:
    """Train, save, report; the scores on the held-out texts.

    Of the processes that torchrun starts all train, and one does the rest; the others get None.
    """
    with process_group():
        console.quiet = rank() > 0
        return _run(table, model, job, console)


def _run(table: TagTable, model: SequenceTagger, job: Job, console: Console) -> Comparison | None:
    check_folder(job.output, job.resume)
    replaces = (job.output / CONFIG).exists() and not job.resume
    _describe(table, model, console)
    train, valid, split = _split(table, model, job, console)
    console.print(f"{len(train[0]):,} to learn from, {len(valid[0]):,} held out\n")
    bar = ProgressBar(console, layer_name(model.cell, model.backend))
    try:
        model.fit(
            *train,
            valid=valid,
            callbacks=[("progress", bar)],
            folder=job.output,
            resume=job.resume,
        )
    except KeyboardInterrupt:
        console.print(what_is_left(model, job))
        raise
    finally:
        bar.stop()
    if rank():
        return None
    truth = [read_tags(row, table.scheme) for row in valid[1]]
    found = model.tag(valid[0])
    scores = compare(truth, found)
    report = {"data": describe_tags(table), "split": split, "evaluation": scores.as_json()}
    write_report(job.output, report)
    listed = write_mistakes(job.output, scores, [to_tokens(t, model.tokens) for t in valid[0]])
    console.print("\nOn the held-out texts:")
    show_comparison(scores, console)
    console.print(f"\n{listed}\n{save_losses(job.output, model.training_['epochs'])}")
    if job.baseline:
        console.print()
        named = {layer_name(model.cell, model.backend): scores}
        usual = commonest(train, valid[0], model.tokens, table.scheme)
        named["each token's commonest tag"] = compare(truth, usual)
        show_scores(named, console)
    console.print(
        f"\nSaved in {job.output}{', in place of the model there' if replaces else ''}. "
        f'Use it with: elman predict {job.output} "TEXT"'
    )
    return scores


def commonest(train: Rows, texts: Sequence[Text], kind: str, scheme: str) -> list[list[Span]]:
    """The spans of one who gives each token the label that it most often had, or O if unknown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text, tags in zip(*train, strict=True):
        for token, tag in zip(to_tokens(text, kind), tags, strict=True):
            counts[token][tag if scheme == "tags" else tag[2:]] += 1
    best = {token: tally.most_common(1)[0][0] for token, tally in counts.items()}
    rows = []
    for text in texts:
        labels = [best.get(token, "") for token in to_tokens(text, kind)]
        if scheme == "tags":
            rows.append([Span(at, at + 1, one) for at, one in enumerate(labels) if one])
        else:
            rows.append(read_tags([f"I-{one}" if one else OUTSIDE for one in labels], "IO"))
    return rows


def _describe(table: TagTable, model: SequenceTagger, console: Console) -> None:
    """What is noteworthy about the texts."""
    counts = Counter(span.label for row in table.spans() for span in row).most_common()
    if not counts:
        raise TaskError(f"{table.source['file']}: no text has a span; expected at least one.")
    kinds = ", ".join(f"{number:,} {label}" for label, number in counts[:10])
    more = f" and {len(counts) - 10} more labels" if len(counts) > 10 else ""
    tokens = sum(map(len, table.tags))
    console.print(
        f"{len(table):,} texts of {tokens:,} {model.tokens}, tagged as {table.scheme}: "
        f"{kinds}{more}"
    )
    for note in table.notes:
        console.print(note)
    lists = [text for text in table.texts if not isinstance(text, str)]
    if model.tokens == "characters" and any(len(token) > 2 for text in lists for token in text):
        console.print("The tokens are longer than characters: --tokens words reads more in them")


def _split(
    table: TagTable, model: SequenceTagger, job: Job, console: Console
) -> tuple[Rows, Rows, dict[str, Any]]:
    """Training and held-out rows, and what the report says on how they came about."""
    texts = [_joined(text) for text in table.texts]
    if job.valid is not None:
        valid = job.valid
        assert isinstance(valid, TagTable)
        for note in valid.notes:
            console.print(f"Of the held-out texts: {note}")
        labels = {span.label for row in table.spans() for span in row}
        new = Counter(s.label for row in valid.spans() for s in row if s.label not in labels)
        if new:
            console.print(
                f"{count(new.total(), 'span')} of the held-out texts have a label that "
                f"{table.source['file']} hasn't ({', '.join(list(new)[:5])}): they count as missed"
            )
        if known := shared(texts, [_joined(text) for text in valid.texts]):
            console.print(
                f"{known:,} of the held-out texts are also among those to learn from: the scores "
                "will be too good"
            )
        whole, others = range(len(table)), range(len(valid))
        return table.take(whole), valid.take(others), {"valid": describe_tags(valid)}
    split = split_rows(texts, [""] * len(texts), job.valid_fraction, model.random_state)
    if split.repeated:
        console.print(
            f"{split.repeated:,} repeat an earlier text: equal texts stay on one side of the split"
        )
    train, held_out = (table.take(rows.tolist()) for rows in (split.train, split.valid))
    return train, held_out, {"valid_fraction": job.valid_fraction}


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(text)


def default_folder(file: Path) -> Path:
    """Where the model of a file is saved, if nothing else is said."""
    return Path(f"{file.stem}-model")
