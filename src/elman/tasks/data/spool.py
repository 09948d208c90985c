"""Rows of different lengths on disk: as many as fit there, at some tens of bytes of memory a row.

A spool is a temporary file without a name that is written once, from first row to last, and then
read through a memory map. The system removes it with the last reference, however the process ends.
"""

import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, overload

import numpy as np

from ..errors import TaskError

BUFFER = 1 << 20  # bytes collected before they are written


class Rows:
    """Rows end to end in `values` (N,) or (N, F): row b is `values[starts[b]:][:lengths[b]]`."""

    def __init__(self, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
        self.values, self.starts, self.lengths = values, starts, lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> np.ndarray:
        start = int(self.starts[row])
        return self.values[start : start + int(self.lengths[row])]

    def take(self, rows: Any) -> "Rows":
        """The rows with the given numbers (or slice), in that order; nothing is copied."""
        return Rows(self.values, self.starts[rows], self.lengths[rows])


class Spool:
    """Takes rows of one type one after another, and gives them back as `Rows`.

    With `columns` a row is (T, columns), without (T,).

    >>> with Spool(np.int32) as spool:
    ...     spool.append(np.array([5, 6], np.int32))
    ...     spool.append(np.array([7], np.int32))
    ...     rows = spool.finish()
    >>> [row.tolist() for row in rows]
    [[5, 6], [7]]
    """

    def __init__(self, dtype: Any, columns: int | None = None) -> None:
        self.dtype, self.columns = np.dtype(dtype), columns
        self._lengths = array("q")
        self._file = self._on_disk(partial(tempfile.TemporaryFile, "w+b", BUFFER))

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: Any) -> None:
        # What `finish` returned keeps its own hold on the file; otherwise nothing of it remains.
        self._on_disk(self._file.close)

    def append(self, row: bytes | np.ndarray) -> None:
        """Add a row: bytes, or an array of the spool's type."""
        data = row if isinstance(row, bytes) else np.ascontiguousarray(row, self.dtype).data
        self._on_disk(lambda: self._file.write(data))
        self._lengths.append(len(row))

    def finish(self) -> Rows:
        """The rows; nothing can be added after that."""
        lengths = np.array(self._lengths, np.int64)
        self._on_disk(self._file.flush)
        mapped: Any = b""
        if lengths.any():  # an empty file can't be mapped
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        values = np.frombuffer(mapped, self.dtype)
        if self.columns is not None:
            values = values.reshape(-1, self.columns)
        return Rows(values, np.cumsum(lengths) - lengths, lengths)

    def _on_disk(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError as error:
            size = (
                sum(self._lengths) * self.dtype.itemsize * (self.columns or 1)
                if hasattr(self, "_file")
                else 0
            )
            raise TaskError(
                f"The temporary folder can't take the data ({error.strerror or error}, after "
                f"{size / 1e6:,.0f} MB); free space there, or name another folder in the "
                "environment variable TMPDIR."
            ) from None


class Texts(Sequence[str]):
    """Texts on disk, as a sequence: by number a text, by slice or array of numbers `Texts` again.

    >>> texts = Texts.of(["one", "two", "three"])
    >>> texts[1], list(texts[::2]), len(texts)
    ('two', ['one', 'three'], 3)
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """The given texts, which are read once."""
        with Spool(np.uint8) as spool:
            for text in texts:
                spool.append(text.encode())
            return cls(spool.finish())

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: "slice | np.ndarray") -> "Texts": ...

    def __getitem__(self, at: "int | slice | np.ndarray") -> "str | Texts":
        if isinstance(at, (int, np.integer)):
            return self._rows[int(at)].tobytes().decode()
        return Texts(self._rows.take(at))

    def __iter__(self) -> Iterator[str]:
        for row in range(len(self)):
            yield self._rows[row].tobytes().decode()

    def __reduce__(self) -> Any:
        # A copy (a pickle for another process) holds its own texts and no others.
        return Texts.of, (list(self),)
