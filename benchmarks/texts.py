"""Texts with labels, from what Python and the packages that elman needs bring along.

Each reader gives texts and labels, in the same order every time. The labels are facts about the
texts, such as the module that a docstring stands in.
"""

from __future__ import annotations

import ast
import random
import re
import sys
import sysconfig
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

Rows = tuple[list[str], list[str]]

STANDARD = Path(sysconfig.get_paths()["stdlib"])
#: Packages that `elman[tasks]` brings along.
PACKAGES = ("networkx", "numpy", "scipy", "sklearn", "sympy", "torch")


class Source(NamedTuple):
    """A data set; `chosen` says whether defaults were chosen on it."""

    read: Callable[[], Rows]
    what: str
    chosen: bool = False


def _rows(
    pairs: Iterable[tuple[str, str]],
    *,
    fewest: int = 1,
    labels: int = 1000,
    each: int = 10**9,
    most: int = 10**9,
) -> Rows:
    """Texts and labels, in random order.

    Args:
        pairs: of a text and its label; of equal texts the last counts.
        fewest: texts that a label must have.
        labels: at most, the commonest.
        each: texts of a label, at most.
        most: texts, at most.
    """
    once = {text: label for text, label in pairs if text.strip()}
    counts = Counter(once.values())
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    kept = {label for label in ordered[:labels] if counts[label] >= fewest}
    rows = sorted(row for row in once.items() if row[1] in kept)
    random.Random(0).shuffle(rows)
    seen: Counter[str] = Counter()
    taken = []
    for text, label in rows:
        seen[label] += 1
        if seen[label] <= each:
            taken.append((text, label))
    return [text for text, _ in taken[:most]], [label for _, label in taken[:most]]


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, f"{package} isn't installed"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _trees(folder: Path, every: int = 1) -> Iterator[tuple[Path, str, ast.Module]]:
    """Every so manieth module of a folder, without its tests: path, source, syntax tree."""
    for path in sorted(folder.rglob("*.py"))[::every]:
        parts = path.relative_to(folder).parts
        if any(part in ("test", "tests", "site-packages", "testing") for part in parts):
            continue
        try:
            source = path.read_text("utf-8")
            yield path, source, ast.parse(source)
        except (SyntaxError, UnicodeDecodeError):
            continue


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            text = ast.get_docstring(node)
            if text and len(text) >= 20:
                yield text


def reviews() -> Rows:
    """Reviews of hotels, books and computers."""
    from elman.tasks.data.reviews import read_reviews

    table = read_reviews()
    return list(table.texts), table.labels.tolist()


def some_reviews() -> Rows:
    """A twentieth of them."""
    return tuple(part[::20] for part in reviews())  # type: ignore[return-value]


def characters() -> Rows:
    """The names of Unicode's characters and their general categories."""

    def pairs() -> Iterator[tuple[str, str]]:
        for code in range(sys.maxunicode):
            name = unicodedata.name(chr(code), "")
            # Names of these are numbered or spelled by rule.
            if name and not re.match(r"(CJK|HANGUL|TANGUT|NUSHU|KHITAN)", name):
                yield name.lower(), unicodedata.category(chr(code))

    return _rows(pairs(), fewest=60, most=12_000)


def docstrings() -> Rows:
    """Docstrings of the standard library and their modules."""

    def pairs() -> Iterator[tuple[str, str]]:
        for path, _, tree in _trees(STANDARD):
            for text in _docstrings(tree):
                yield text, path.relative_to(STANDARD).parts[0].removesuffix(".py")

    return _rows(pairs(), labels=50, most=3750)


def packages() -> Rows:
    """Docstrings of scientific packages and their packages."""
    return _rows(
        (
            (text, name)
            for name in PACKAGES
            for _, _, tree in _trees(_folder(name), every=4)
            for text in _docstrings(tree)
        ),
        each=800,
        most=4000,
    )


def messages() -> Rows:
    """Messages of exceptions and the exceptions' classes; what is filled in is `{}`."""

    def pairs() -> Iterator[tuple[str, str]]:
        for folder in [STANDARD, *map(_folder, PACKAGES)]:
            for _, _, tree in _trees(folder, every=2):
                for node in ast.walk(tree):
                    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                        name, given = node.exc.func, node.exc.args
                        if isinstance(name, ast.Name) and given and (text := _message(given[0])):
                            yield text, name.id

    return _rows(pairs(), fewest=50, most=7500)


def _message(node: ast.expr) -> str:
    """A string of the source, at least two words long; "" for what is none."""
    text = ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return text if " " in text else ""


def functions() -> Rows:
    """The source of functions of the standard library, and their packages."""

    def pairs() -> Iterator[tuple[str, str]]:
        for path, source, tree in _trees(STANDARD):
            package, *rest = path.relative_to(STANDARD).parts
            for node in ast.walk(tree):
                if rest and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    code = source.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
                    if len(text := textwrap.dedent("".join(code))) >= 80:
                        yield text, package

    return _rows(pairs(), labels=12, most=3750)


def topics() -> Rows:
    """Paragraphs of Python's reference and the topics of `help()` they stand under."""
    from pydoc_data.topics import topics as found

    return _rows(
        (
            (" ".join(paragraph.split()), topic)
            for topic, text in sorted(found.items())
            for paragraph in re.split(r"\n\s*\n", text)
            if len(paragraph.split()) >= 8
        ),
        fewest=25,
    )


def words() -> Rows:
    """Words of a Chinese newspaper and the part of speech that each has most often."""
    from elman.tasks.data.newspaper import read_newspaper

    counts: dict[str, Counter[str]] = {}
    paper = read_newspaper(None)
    for text, spans in zip(paper.texts, paper.spans(), strict=True):
        for span in spans:
            counts.setdefault(text[span.start : span.end], Counter())[span.label] += 1
    pairs = ((word, found.most_common(1)[0][0]) for word, found in sorted(counts.items()))
    return _rows(pairs, fewest=100, most=20_000)


def lines() -> Rows:
    """Lines of code and their languages, by the suffix of the file."""
    languages = {".py": "Python", ".h": "C++", ".cuh": "CUDA", ".pyx": "Cython", ".pxd": "Cython"}
    languages |= {".cmake": "CMake", ".f90": "Fortran", ".pyi": "stubs", ".js": "JavaScript"}
    languages |= {".css": "CSS", ".html": "HTML", ".c": "C"}

    def pairs() -> Iterator[tuple[str, str]]:
        for name in PACKAGES:
            for path in sorted(_folder(name).rglob("*")):
                if path.suffix in languages and path.is_file():
                    for line in path.read_text("utf-8", "replace").splitlines()[::7]:
                        if len(line.strip()) >= 10:
                            yield line, languages[path.suffix]

    return _rows(pairs(), fewest=100, each=2500)


SOURCES = {
    "reviews": Source(reviews, "Chinese reviews: praise or not", chosen=True),
    "few reviews": Source(some_reviews, "a twentieth of them", chosen=True),
    "characters": Source(characters, "names of Unicode's characters: the category", chosen=True),
    "docstrings": Source(docstrings, "the standard library's docstrings: the module", chosen=True),
    "packages": Source(packages, "scientific packages' docstrings: the package"),
    "messages": Source(messages, "messages of exceptions: the class"),
    "functions": Source(functions, "the standard library's functions: the package"),
    "topics": Source(topics, "paragraphs of Python's reference: the topic"),
    "words": Source(words, "words of a Chinese newspaper: the part of speech"),
    "lines": Source(lines, "lines of code: the language"),
}
