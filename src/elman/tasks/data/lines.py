"""The lines of a text file, one at a time, whatever the file's size and its faults."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import TaskError
from .encodings import Guess, open_text

LONGEST = 1 << 26  # bytes a line, characters a value: what is longer has lost its line breaks
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # what such a file begins with


class Lines:
    """Iterates over the lines of a UTF-8 file, with or without a byte order mark.

    A file that is compressed by gzip, or in UTF-16 or UTF-32, is made UTF-8 first.
    `number` is that of the line read last. Bytes that aren't UTF-8 arrive as half surrogate
    pairs, as `errors="surrogateescape"` has it, so that the rest of the line can still be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.number, self.offset = path, 0, 0
        self._utf8 = False  # whether a line beyond ASCII was
        self._guess: Guess | None = None
        self._file = open_text(path)
        self.begin = len(BOM) if self._file.read(3) == BOM else 0  # the offset of line 1
        self.back(0, self.begin)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(LONGEST)
        except OSError as error:
            raise TaskError(f"{self.path}: can't be read ({error.strerror}).") from None
        if not line:
            raise StopIteration
        self.number += 1
        self.offset += len(line)
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise TaskError(
                f"{self.path}: line {self.number} is longer than {LONGEST:,} bytes; "
                "expected one row a line."
            )
        if line.isascii():
            return line.decode("ascii")
        try:
            text = line.decode()
            self._utf8 = True
        except UnicodeDecodeError:
            text = line.decode(errors="surrogateescape")
            self._guess = self._guess or Guess()
            self._guess.take(line)
        return text

    def back(self, number: int, offset: int) -> None:
        """Read on after line `number`, which ends at byte `offset`."""
        self.number, self.offset = number, offset
        self._file.seek(offset)

    @property
    def advice(self) -> str:
        """How to make the file UTF-8, if it isn't; "" if that is unknown."""
        return "" if self._utf8 or self._guess is None else self._guess.advice(self.path)


def arriving(stream: Any, size: int = 1 << 20) -> Iterator[list[str]]:
    """The lines of a stream, as many at a time as have arrived (of about `size` bytes at most).

    A slow stream is thus answered line by line, a fast one in large pieces. Bytes that aren't
    UTF-8 arrive as from `Lines`.
    """
    rest, begin = b"", True
    while piece := stream.read1(size):
        if begin and piece[:2] in UTF_16:
            raise TaskError(
                "The input is UTF-16; convert it first, for example with iconv -f UTF-16 -t UTF-8."
            )
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST:
            raise TaskError(f"A line of the input is longer than {LONGEST:,} bytes.")
        if lines:
            text = b"\n".join(lines).removeprefix(BOM if begin else b"")
            yield text.decode(errors="surrogateescape").split("\n")
            begin = False
    if rest:
        yield [rest.removeprefix(BOM if begin else b"").decode(errors="surrogateescape")]
