"""The mistakes of a tagger, each with its text, as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..data.findings import count
from ..errors import on_disk
from .entities import Comparison

FILE = "mistakes.jsonl"


def write_mistakes(folder: Path, found: Comparison, texts: Sequence[Sequence[str]]) -> str:
    """Write each mistake with its tokens; a line on it for the user."""
    lines = []
    for mistake in found.mistakes:
        tokens = texts[mistake.text]
        row = {"text": mistake.text + 1, "kind": mistake.kind}
        for name in ("there", "found"):
            if span := getattr(mistake, name):
                part = tokens[span.start : span.end]
                what = part if isinstance(part, str) else " ".join(part)
                row[name] = {**span._asdict(), "what": what}
        row["tokens"] = tokens if isinstance(tokens, str) else list(tokens)
        lines.append(json.dumps(row, ensure_ascii=False))
    with on_disk(folder / FILE, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in found.kinds.items())
    return f"{FILE} lists {count(len(lines), 'mistake')}{': ' if kinds else ''}{kinds}"
