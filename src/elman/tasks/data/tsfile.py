"""The .ts files of aeon and sktime: a header, then a series a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import TaskError
from .findings import Findings
from .lines import Lines
from .series import read_line

TARGETS = ("classlabel", "targetlabel")


def ts_rows(path: Path, findings: Findings, labelled: bool = True) -> Iterator[tuple[int, Any]]:
    """(line, (series (C, T), what the file says of it, or None)) of each series.

    `labelled` says whether a file without labels is an error.
    """
    with Lines(path) as lines:
        header = _header(path, lines)
        has_label = any(header.get(name, "").lower().startswith("true") for name in TARGETS)
        if labelled and not has_label:
            raise TaskError(
                f"{path}: the header says that there are no labels; expected '@classLabel true' or "
                "'@targetLabel true'."
            )
        if header.get("timestamps", "").lower() == "true":
            raise TaskError(
                f"{path}: series with time stamps can't be read from .ts files; write a long table "
                "(.csv or .parquet) with a row for each step."
            )
        for line in lines:
            if not line.strip() or line.startswith(("#", "%")):
                continue
            values, label = line.strip(), None
            if has_label:
                values, _, label = values.rpartition(":")
                if not label.strip():
                    findings.reject(lines.number, "no label")
                    continue
            try:
                series = read_line(values)
            except ValueError as error:
                findings.reject(lines.number, "no series of numbers", str(error))
                continue
            yield lines.number, (series, None if label is None else label.strip())
        findings.advice = lines.advice


def ts_header(path: Path) -> dict[str, str]:
    """What the header of a file says, by name in lower case."""
    with Lines(path) as lines:
        return _header(path, lines)


def _header(path: Path, lines: Lines) -> dict[str, str]:
    """What stands before @data, names in lower case."""
    header: dict[str, str] = {}
    for line in lines:
        name, _, value = line.strip().partition(" ")
        if name.lower() == "@data":
            return header
        if name.startswith("@"):
            header[name[1:].lower()] = value.strip()
        elif name and not name.startswith(("#", "%")):
            break
    where = f"line {lines.number}" if lines.number else "is empty"
    raise TaskError(f"{path}: {where}: expected '@data' before the series.")
