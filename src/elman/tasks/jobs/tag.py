"""From a file of tagged texts to a saved tagger and its report."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..data.findings import count
from ..data.schemes import OUTSIDE, Span, read_tags
from ..data.split import split_rows
from ..data.tagged import Text, to_tokens
from ..data.tagtable import TagTable, read_tagged
from ..errors import TaskError
from ..models.tagger import TrainedTagger
from ..networks.layers import layer_name
from ..report.entities import Comparison, compare
from ..report.mistakes import write_mistakes
from ..report.pictures import save_losses
from ..report.record import describe_tags
from ..report.tables import show_comparison, show_scores
from .job import Job, Parts, Plan, listed, tell_repeated, tell_shared

Rows = tuple[list[Any], ...]  # texts and tags and, where they are learned, auxiliary tags


class Tag(Job[TrainedTagger, TagTable]):
    """Texts and the spans in them."""

    HUB = "token-classification"

    @classmethod
    def read(
        cls, model: TrainedTagger, file: Path, columns: Mapping[str, Any], skip_bad: bool
    ) -> TagTable:
        """Texts whose tags are in the model's scheme."""
        how: dict[str, Any] = {"tokens": model.tokens, "scheme": model.scheme_}
        return read_tagged(file, **columns, **how, skip_bad=skip_bad)

    def rows(self, data: TagTable) -> Rows:
        return data.take(range(len(data)))

    def source(self, data: TagTable) -> dict[str, Any]:
        return describe_tags(data)

    def fitted(self, held_out: Rows) -> Rows:
        """Texts and tags."""
        return held_out[:2]

    def describe(self, console: Console) -> None:
        table, model = self.data, self.model
        counts = Counter(span.label for row in table.spans() for span in row).most_common()
        if not counts:
            raise TaskError(f"{table.source['file']}: no text has a span; expected at least one.")
        tokens = sum(map(len, table.tags))
        console.print(
            f"{len(table):,} texts of {tokens:,} {model.tokens}, tagged as {table.scheme}: "
            f"{listed(counts)}"
        )
        for note in table.notes:
            console.print(note)
        lists = [text for text in table.texts if not isinstance(text, str)]
        if model.tokens == "characters" and any(len(token) > 2 for text in lists for token in text):
            console.print(
                "The tokens are longer than characters: --tokens words reads more in them"
            )

    def compare(self, valid: TagTable, console: Console) -> None:
        labels = {span.label for row in self.data.spans() for span in row}
        new = Counter(s.label for row in valid.spans() for s in row if s.label not in labels)
        if new:
            console.print(
                f"{count(new.total(), 'span')} of the held-out texts have a label that "
                f"{self.data.source['file']} hasn't ({', '.join(list(new)[:5])}): they count as "
                "missed"
            )
        tell_shared(_joined(self.data), _joined(valid), console)

    def cut(self, fraction: float, console: Console) -> tuple[Rows, Rows]:
        """Equal texts stay on one side."""
        texts = _joined(self.data)
        split = split_rows(texts, [""] * len(texts), fraction, self.model.random_state)
        tell_repeated(split.repeated, console)
        learn, held_out = (self.data.take(rows.tolist()) for rows in (split.train, split.valid))
        return learn, held_out

    def judge(
        self, rows: Rows, folder: Path, console: Console, trained: bool = False
    ) -> Comparison:
        """Precision, recall and F1 of the spans, and a file of the mistakes."""
        model = self.model
        found = compare(self._truth(rows), model.tag(rows[0]))
        listed = write_mistakes(folder, found, [to_tokens(t, model.tokens) for t in rows[0]])
        show_comparison(found, console)
        console.print(f"\n{listed}")
        if trained:
            console.print(save_losses(folder, model.training_["epochs"]))
        return found

    def further(self, parts: Parts, plan: Plan, found: Comparison | None, console: Console) -> None:
        """Each token's commonest tag."""
        if found is None or not plan.baseline:
            return
        model = self.model
        usual = commonest(parts.learn, parts.held_out[0], model.tokens, self.data.scheme)
        named = {
            layer_name(model.cell, model.backend): found,
            "each token's commonest tag": compare(self._truth(parts.held_out), usual),
        }
        console.print()
        show_scores(named, console)

    def _truth(self, rows: Rows) -> list[list[Span]]:
        return [read_tags(row, self.data.scheme) for row in rows[1]]


def commonest(train: Rows, texts: Sequence[Text], kind: str, scheme: str) -> list[list[Span]]:
    """The spans of one who gives each token the label that it most often had, or O if unknown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text, tags in zip(*train[:2], strict=True):
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


def _joined(table: TagTable) -> list[str]:
    """Texts, those that are lists of tokens with spaces between."""
    return [text if isinstance(text, str) else " ".join(text) for text in table.texts]
