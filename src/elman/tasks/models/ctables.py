"""The tokens and labels of a model as a header for C."""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Any

from ..data.text import RESERVED, UNKNOWN
from .chain import Chain

_PLAIN = (string.ascii_letters + string.digits + " ").encode()


def tables(chain: Chain, name: str) -> str:
    """The text of `name_tables.h`; empty if the model has neither tokens nor labels."""
    parts = []
    if chain.tokens:
        tokens = [b""] * RESERVED + [_bytes(token) for token in chain.vocabulary]
        parts.append(_TOKENS.format(upper=name.upper(), unknown=UNKNOWN))
        parts.append(_array(f"char *const {name}_tokens", name, "TOKENS", map(_quoted, tokens)))
        lengths = [str(len(token)) for token in tokens]
        parts.append(_array(f"unsigned short {name}_token_bytes", name, "TOKENS", lengths))
        if chain.tokens != "words":
            rest = _REST if chain.tokens == "characters" else ""
            parts.append(_LOOKUP.format(name=name, upper=name.upper(), rest=rest))
    if len(chain.labels):
        labels = [_quoted(_bytes(str(label))) for label in chain.labels]
        parts.append("/* What each output is the probability of, in UTF-8. */")
        parts.append(_array(f"char *const {name}_labels", name, "OUTPUTS", labels))
    if not parts:
        return ""
    return _TEXT.format(name=name, upper=name.upper(), body="\n".join(parts))


def _bytes(token: Any) -> bytes:
    """A token as a C program reads and writes it."""
    if isinstance(token, int):
        return bytes([token])
    return str(token).encode("utf-8", "surrogatepass")


def _quoted(content: bytes) -> str:
    r"""Bytes as a string of C.

    >>> print(_quoted(b'a"\n'))
    "a\042\012"
    """
    plain = (chr(b) if b in _PLAIN else f"\\{b:03o}" for b in content)
    return f'"{"".join(plain)}"'


def _array(what: str, name: str, size: str, values: Iterable[str]) -> str:
    lines, line = list[str](), ""
    for value in values:
        if line and len(line) + len(value) > 90:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{value},"
    body = "\n".join(f"    {each}" for each in [*lines, line])
    return f"static const {what}[{name.upper()}_{size}] = {{\n{body}\n}};\n"


_TEXT = """\
/* What the numbers of {name} stand for. */
#ifndef {upper}_TABLES_H
#define {upper}_TABLES_H

#include "{name}.h"

{body}
#endif
"""
_TOKENS = """\
#define {upper}_END 0      /* the token that begins and ends a text */
#define {upper}_UNKNOWN {unknown}  /* a token that is not listed */

/* The tokens, in UTF-8 unless they are bytes, and how many bytes each has. */"""
_REST = "    while ((text[*bytes] & 0xC0) == 0x80) ++*bytes; /* the rest of a character */\n"
_LOOKUP = """\
/* The token that a text begins with, and how many bytes of the text it is. */
static inline int {name}_token(const char *text, size_t *bytes) {{
    for (int token = {upper}_UNKNOWN + 1; token < {upper}_TOKENS; token++) {{
        size_t i = 0, count = {name}_token_bytes[token];
        while (i < count && text[i] == {name}_tokens[token][i]) i++;
        if (i == count) {{
            *bytes = count;
            return token;
        }}
    }}
    *bytes = 1;
{rest}    return {upper}_UNKNOWN;
}}
"""
