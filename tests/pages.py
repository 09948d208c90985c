"""The pages of the documentation, and what is on them."""

import doctest
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CHINESE = ".zh-CN.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def name(page: Path) -> str:
    """A page's path in the documentation."""
    return page.relative_to(DOCS).as_posix()


def text(page: Path) -> str:
    """What a page says."""
    return page.read_text(encoding="utf-8")


def listings(page: Path) -> str:
    """The sessions on a page, one after the other, or nothing."""
    return "".join(code for kind, code in FENCE.findall(text(page)) if kind == "pycon")


def is_repeated(page: Path) -> bool:
    """Whether a page says in Chinese what one in English says, and has the same sessions."""
    english = page.with_name(page.name.replace(CHINESE, ".md"))
    return page != english and listings(page) == listings(english)


def failures(session: str) -> str:
    """Runs a session, and returns what it printed otherwise than it says."""
    test = doctest.DocTestParser().get_doctest(session, {}, "page", "page", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    runner.run(test, out=report.append)
    return "".join(report)
