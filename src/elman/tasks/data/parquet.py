"""The rows of Parquet files, read in batches; pyarrow, which does it, is an extra of its own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import TaskError

ROWS = 4096  # rows decoded at once


def parquet_rows(
    path: Path, columns: Sequence[str], find_column: Callable[..., int]
) -> Iterator[tuple[int, list[Any]]]:
    """(number, values) of each row, counted from 1."""
    with _opened(path) as file:
        for name in columns:
            find_column(path, file.schema_arrow.names, name)
        number = 0
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            values = [batch.column(name).to_pylist() for name in columns]
            for row in zip(*values, strict=True):
                number += 1
                yield number, list(row)


def parquet_names(path: Path) -> list[str]:
    """The columns of a file."""
    with _opened(path) as file:
        found: list[str] = file.schema_arrow.names
        return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file; what is wrong with it is told as a TaskError."""
    if not path.exists():
        raise TaskError(f"{path}: there is no such file.")
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise TaskError(
            f'{path}: reading Parquet needs the package pyarrow: pip install "elman[parquet]"'
        ) from None
    try:
        # Not buffered ahead: that would hold whole row groups in memory.
        with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise TaskError(f"{path}: can't be read as Parquet ({error}).") from None
