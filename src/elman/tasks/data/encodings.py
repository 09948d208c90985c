"""What a file is written in, if not in UTF-8: made UTF-8 where that is certain, else a guess.

Compressed files, UTF-16 and UTF-32 say what they are. Other encodings don't, and a wrong guess
damages texts in silence: so it is only told, together with what a line would read like.
"""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from ..errors import TaskError

#: What a file begins with, and the name Python has for it; UTF-32's marks begin with UTF-16's.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: Which of the first four bytes are zero, where the first two characters are ASCII.
ZEROS = {"0111": "utf-32-le", "1110": "utf-32-be", "0101": "utf-16-le", "1010": "utf-16-be"}
GZIP = b"\x1f\x8b"
GUESSES = {"GB18030": "gb18030", "WINDOWS-1252": "cp1252"}  # iconv's names and Python's
ENOUGH = 1 << 16  # bytes that a guess is based on
SHOWN = 20  # characters


def open_bytes(path: Path) -> Any:
    """The file as it is; `-` is the standard input."""
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise TaskError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror}).") from None


def open_text(path: Path) -> Any:
    """The file in UTF-8, as far as it says what it is in; seekable bytes."""
    file, encoding = open_bytes(path), ""
    try:
        if str(path) == "-" or not file.seekable():
            file = _copied(file, file)
        begin = file.read(4)
        if begin.startswith(GZIP):
            file.seek(0)
            file = _copied(gzip.GzipFile(fileobj=file), file)
            begin = file.read(4)
        file.seek(0)
        encoding = next((name for mark, name in MARKS.items() if begin.startswith(mark)), "")
        encoding = encoding or ZEROS.get("".join("01"[byte == 0] for byte in begin), "")
        return _copied(codecs.EncodedFile(file, "utf-8", encoding), file) if encoding else file
    except UnicodeError as error:
        file.close()
        raise TaskError(f"{path}: begins as {encoding.upper()}, but isn't ({error}).") from None
    except (OSError, EOFError, zlib.error) as error:
        file.close()
        raise TaskError(f"{path}: can't be read ({error}).") from None


def _copied(reader: Any, file: Any) -> Any:
    """What a reader makes of a file, in a temporary one that takes its place."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (whoever reads it closes it)
    try:
        shutil.copyfileobj(reader, copy)
    except BaseException:
        copy.close()
        raise
    if file is not sys.stdin.buffer:
        file.close()
    copy.seek(0)
    return copy


class Guess:
    """Guesses the encoding of lines that aren't UTF-8.

    >>> guess = Guess()
    >>> guess.take("ein schöner Tag".encode("cp1252"))
    >>> guess.advice(Path("a.csv"))
    "convert the file with `iconv -f WINDOWS-1252 -t UTF-8 a.csv > utf8.csv`, if this is right: ...
    """

    def __init__(self) -> None:
        self._sample = b""
        self._possible = dict(GUESSES)

    def take(self, line: bytes) -> None:
        """Look at a line."""
        if len(self._sample) < ENOUGH:
            self._sample += line[:ENOUGH] + b"\n"
        for name, codec in list(self._possible.items()):
            try:
                line.decode(codec)
            except UnicodeDecodeError:
                del self._possible[name]

    def advice(self, path: Path) -> str:
        """How to make the file UTF-8, and how it then reads; "" where there is no guess."""
        name = _likeliest(self._sample)
        if name not in self._possible:
            return ""
        line = self._sample[: self._sample.index(b"\n")]
        first = re.search(rb"[\x80-\xff]", line)
        before = len(line[: first.start()].decode(GUESSES[name])) if first else 0
        text = line.decode(GUESSES[name]).strip()
        shown = text[max(0, before - SHOWN // 2) :][:SHOWN]
        source, target = path.name, f"utf8{path.suffix}"
        if path.suffix == ".gz":
            source, target = f"<(gzip -dc {path.name})", f"utf8{path.with_suffix('').suffix}"
        return (
            f"convert the file with `iconv -f {name} -t UTF-8 {source} > {target}`, if this is "
            f"right: {shown!r}"
        )


def _likeliest(sample: bytes) -> str:
    """The likeliest of the guesses: single bytes beyond ASCII stand in western words.

    In Chinese they come in pairs, mostly of the 3,755 most common characters, or of marks.
    """
    runs = re.findall(rb"[\x80-\xff]+", sample)
    if 2 * sum(len(run) == 1 for run in runs) >= len(runs):
        return "WINDOWS-1252"
    pairs = [run[at] for run in runs for at in range(0, len(run) - 1, 2)]
    common = sum(0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA3 for lead in pairs)
    return "GB18030" if 2 * common > len(pairs) else ""
