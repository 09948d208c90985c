"""Texts with their spans, as text, JSON, CoNLL columns or HTML."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any

from ..data.schemes import Span, write_tags
from ..data.tagged import Text, in_tokens, to_tokens

# Of ECMA-48: a control sequence, a string such as a window's title, any other escape sequence.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # what isn't space
FORMATS = ("text", "jsonl", "conll", "html")
HEAD = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Spans</title><style>
body { font: 1rem/2 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
mark { padding: 0.1em 0.3em; border-radius: 0.3em; color: inherit; }
mark small { opacity: 0.7; margin-left: 0.3em; font-size: 0.7em; }
</style></head><body>
"""
FOOT = "</body></html>\n"


def pieces(text: Text, spans: Sequence[Any]) -> list[tuple[str, Any]]:
    """What a text consists of: (part, span or None), with spaces between given tokens.

    >>> pieces("Ann ran", [(0, 3, "name")])
    [('Ann', (0, 3, 'name')), (' ran', None)]
    """
    between = "" if isinstance(text, str) else " "
    found: list[tuple[str, Any]] = []
    before = 0
    for span in [*spans, None]:
        start, end = (len(text), len(text)) if span is None else span[:2]
        if rest := between.join(text[before:start]):
            found.append((rest, None))
        if span is not None:
            found.append((between.join(text[start:end]), span))
        before = end
    return found


def as_line(text: Text, spans: Sequence[Any]) -> str:
    r"""The spans with their labels and scores, and the text, with tabs between.

    >>> as_line("Ann ran", [(0, 3, "name", 0.987)])
    'Ann/name/0.987\tAnn ran'
    """
    named = [
        f"{one_line(part)}/{span[2]}/{span[3]:.3f}" for part, span in pieces(text, spans) if span
    ]
    whole = text if isinstance(text, str) else " ".join(text)
    return f"{' '.join(named)}\t{one_line(whole)}"


def one_line(text: str) -> str:
    r"""A text on one line, without what a terminal would obey instead of showing it.

    >>> one_line("a\tb \x1b[31mred\x1b[0m\x1b]0;title\x07\n")
    'a b red'
    """
    return " ".join(CONTROL.sub("", ESCAPES.sub("", text)).split())


def as_json(place: dict[str, Any], text: Text, spans: Sequence[Any]) -> str:
    """One JSON object: where the text stood, the text, and its spans."""
    named = [
        {**dict(zip(("start", "end", "label"), span[:3], strict=True)), "score": round(span[3], 6)}
        | {"text": part}
        for part, span in pieces(text, spans)
        if span
    ]
    return json.dumps({**place, "text": text, "spans": named}, ensure_ascii=False)


def as_conll(text: Text, spans: Sequence[Any], kind: str, scheme: str) -> str:
    """A token and its tag a line, and a blank line."""
    tokens = to_tokens(text, kind)
    given = [Span(*span[:3]) for span in spans]
    if isinstance(text, str) and kind == "words":
        given = in_tokens(given, text)
    tags = write_tags(given, len(tokens), scheme)
    lines = [f"{one_line(token) or '_'}\t{tag}" for token, tag in zip(tokens, tags, strict=True)]
    return "\n".join(lines) + "\n"


def as_html(text: Text, spans: Sequence[Any], labels: Sequence[str]) -> str:
    """A paragraph whose spans have the colours of their labels.

    >>> as_html("A < B", [(0, 1, "name", 0.5)], ["name"])
    '<p><mark ...title="name 0.500">A<small>name</small></mark> &lt; B</p>'
    """
    parts = []
    for part, span in pieces(text, spans):
        shown = html.escape(part)
        if span:
            name = html.escape(span[2])
            hue = 360 * labels.index(span[2]) // max(1, len(labels))
            parts.append(
                f'<mark style="background: hsl({hue} 70% 85%)" title="{name} {span[3]:.3f}">'
                f"{shown}<small>{name}</small></mark>"
            )
        else:
            parts.append(shown)
    return f"<p>{''.join(parts)}</p>"
