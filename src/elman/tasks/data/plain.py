"""Plain text for language models: files of any size, and their tokens as one long row of ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..errors import TaskError
from .findings import Findings
from .lines import Lines
from .readers import is_table, read_rows
from .spool import Spool, Texts
from .table import judge
from .text import PADDING, Vocabulary
from .values import accepted, as_text

BOUNDARY = PADDING  # the id before, between and after texts: nothing is padded here
BLOCK = 1 << 16  # tokens that are spooled at a time
WORD = re.compile(r" ?\w+| ?[^\w\s]|\s")  # with the space before it; together they are the text

#: How a text is cut into tokens, by the name that `LanguageModel(tokens=...)` has for it. Unlike a
#: classifier's, they are the text as it is: put together again they give it back.
PIECES: dict[str, Callable[[str], Sequence[Any]]] = {
    "characters": lambda text: text,
    "bytes": lambda text: text.encode("utf-8", "surrogatepass"),
    "words": WORD.findall,
}


class FileText:
    """The lines of a file, read anew each time; those named in `without` are left out."""

    def __init__(self, path: Path, without: Sequence[int] = ()) -> None:
        self.path, self.without = path, frozenset(without)

    def __iter__(self) -> Iterator[str]:
        with Lines(self.path) as lines:
            for line in lines:
                if lines.number not in self.without:
                    yield line


@dataclass(frozen=True)
class Corpus:
    """Texts, each an iterable of pieces that can be read again, and what there is to say of them.

    No token goes over the end of a piece.
    """

    texts: Sequence[Iterable[str]]
    characters: int
    sha256: str
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # for the user's eyes

    def fingerprint(self) -> dict[str, Any]:
        """How much it is, and a digest: equal for the same texts in the same order."""
        return {
            "texts": len(self.texts),
            "characters": self.characters,
            "sha256": self.sha256,
        }

    def tokens(self, kind: str) -> Iterator[Iterator[Sequence[Any]]]:
        """The tokens of each text, piece by piece."""
        cut = PIECES[kind]
        for text in self.texts:
            yield map(cut, text)


class _Digest:
    """Counts characters, and digests them."""

    def __init__(self) -> None:
        self.sha256, self.characters = hashlib.sha256(), 0

    def add(self, piece: str, encoded: bytes) -> None:
        self.sha256.update(encoded)
        self.characters += len(piece)

    def end(self) -> None:
        """Between two texts is a byte that UTF-8 doesn't have."""
        self.sha256.update(b"\xff")


def corpus_of(texts: Iterable[str], source: Mapping[str, Any] | None = None) -> Corpus:
    """Given texts as a corpus.

    >>> corpus_of(["one", "two"]).fingerprint()
    {'texts': 2, 'characters': 6, 'sha256': '...'}
    """
    digest, kept = _Digest(), texts if isinstance(texts, Sequence) else list(texts)
    for text in kept:
        digest.add(text, text.encode("utf-8", "surrogatepass"))
        digest.end()
    return Corpus(
        [(text,) for text in kept], digest.characters, digest.sha256.hexdigest(), source or {}
    )


def read_corpus(
    paths: Sequence[Path], text: str | None = None, *, skip_bad: bool = False
) -> Corpus:
    """Read files of plain text, each one text; or the texts in the column `text` of tables.

    Nothing of a plain file is changed. Lines that aren't UTF-8 are an error that names them; with
    `skip_bad` they are left out, which `notes` tell.

    Raises:
        TaskError: bad lines or rows; a file that can't be read; files without any text.
    """
    if text is not None:
        return _read_column(paths, text, skip_bad)
    found: list[Iterable[str]] = []
    digest, notes = _Digest(), list[str]()
    for path in paths:
        if str(path) == "-" or path.is_fifo():  # it is read more than once
            raise TaskError(f"{path}: is a pipe; write what comes out of it to a file first.")
        if is_table(path):
            notes.append(f"{path}: is read as plain text; for a column of its own give --text")
        findings, bad, good = Findings(), list[int](), 0
        with Lines(path) as lines:
            for line in lines:
                try:
                    digest.add(line, line.encode())
                    good += 1
                except UnicodeEncodeError:
                    findings.reject(lines.number, "not UTF-8")
                    bad.append(lines.number)
            findings.advice = lines.advice
        judge(path, findings, good, skip_bad)
        digest.end()
        notes += findings.notes
        found.append(FileText(path, bad))
    if not digest.characters:
        raise TaskError(f"{', '.join(map(str, paths))}: no text; expected at least a character.")
    source = {"file": ", ".join(map(str, paths))}
    return Corpus(found, digest.characters, digest.sha256.hexdigest(), source, notes)


def _read_column(paths: Sequence[Path], text: str, skip_bad: bool) -> Corpus:
    """The texts of tables."""
    notes = []
    with Spool(np.uint8) as spool:
        for path in paths:
            findings, good = Findings(), 0
            rows = read_rows(path, [text], findings)
            for _, (one,) in accepted(rows, {text: as_text}, findings):
                spool.append(one.encode())
                good += 1
            judge(path, findings, good, skip_bad)
            notes += findings.notes
        texts = Texts(spool.finish())
    if not len(texts):
        raise TaskError(f"{paths[0]}: no row has a {text!r}; expected at least one.")
    whole = corpus_of(texts, {"file": ", ".join(map(str, paths)), "text": text})
    return Corpus(_Whole(texts), whole.characters, whole.sha256, whole.source, notes)


class _Whole(Sequence[Any]):
    """Texts on disk, each as an iterable of one piece."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, at: Any) -> Any:
        return _Whole(self._texts[at]) if isinstance(at, slice) else (self._texts[at],)


def split_corpus(corpus: Corpus, fraction: float) -> tuple[Corpus, Corpus]:
    """The beginning of a corpus and its end, which has about `fraction` of the characters.

    It is cut between two pieces: the lines of a file, or texts.

    >>> learn, held_out = split_corpus(corpus_of(["one ", "two ", "three ", "four "]), 0.25)
    >>> [*map(list, held_out.texts)], learn.characters
    ([['four ']], 14)
    """
    if not 0 < fraction < 1:
        raise TaskError(f"The validation fraction must lie between 0 and 1. Got {fraction}.")
    wanted, sides = corpus.characters * (1 - fraction), (_Digest(), _Digest())
    cut: tuple[int, int] | None = None  # text and piece that the end begins with
    for number, text in enumerate(corpus.texts):
        for at, piece in enumerate(text):
            if cut is None and sides[0].characters and sides[0].characters + len(piece) > wanted:
                cut = number, at
            sides[cut is not None].add(piece, piece.encode("utf-8", "surrogatepass"))
    if cut is None or not sides[1].characters:
        raise TaskError(
            "The text is a single line, which can't be split; hold out text of its own: --valid."
        )
    number, at = cut
    begin, end = corpus.texts[:number], corpus.texts[number:]
    if at:
        begin = [*begin, _Part(corpus.texts[number], 0, at)]
        end = [_Part(corpus.texts[number], at, None), *corpus.texts[number + 1 :]]
    learn, held_out = (
        Corpus(texts, side.characters, side.sha256.hexdigest(), corpus.source)
        for texts, side in zip((begin, end), sides, strict=True)
    )
    return learn, held_out


class _Part:
    """Some of a text's pieces."""

    def __init__(self, text: Iterable[str], begin: int, end: int | None) -> None:
        self._text, self._begin, self._end = text, begin, end

    def __iter__(self) -> Iterator[str]:
        return islice(self._text, self._begin, self._end)


class Tokens(Dataset[Any]):
    """Ids of all texts in a row, (N,) int32, in a file that is mapped into memory.

    >>> vocabulary = Vocabulary("abc")
    >>> Tokens(corpus_of(["ab", "c"]), vocabulary, "characters").ids.tolist()
    [0, 2, 3, 0, 4, 0]
    """

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, kind: str) -> None:
        self.characters = corpus.characters
        boundary = np.array([BOUNDARY], np.int32)
        with Spool(np.int32) as spool:
            spool.append(boundary)
            for text in corpus.tokens(kind):
                held, size = [], 0
                for piece in text:
                    held.append(vocabulary.encode(piece))
                    size += len(piece)
                    if size >= BLOCK:
                        spool.append(np.concatenate(held))
                        held, size = [], 0
                spool.append(np.concatenate([*held, boundary]))
            self.ids = spool.finish().values

    def counts(self, vocabulary: int) -> np.ndarray:
        """How often each id occurs, (V,); part by part, as NumPy copies what it counts."""
        found = np.zeros(vocabulary, np.int64)
        for at in range(0, len(self.ids), BLOCK):
            found += np.bincount(self.ids[at : at + BLOCK], minlength=vocabulary)
        return found

    def __len__(self) -> int:
        """How many tokens there are to foretell."""
        return len(self.ids) - 1

    def __getitem__(self, at: Any) -> Any:
        return self.ids[at]
