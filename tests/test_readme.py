"""The examples of the READMEs and of the tour run, links lead somewhere, and both languages show
the same code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: In both languages, with the number of their examples.
PAIRS = {("README.md", "README.zh-CN.md"): 1}
PAIRS |= {("docs/guides/tour.md", "docs/guides/tour.zh-CN.md"): 3}
NAMES = [(name, count) for pair, count in PAIRS.items() for name in pair]


def python_blocks(name: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S
    )


@pytest.mark.parametrize(("name", "count"), NAMES)
def test_examples_run(name, count):
    blocks = python_blocks(name)
    assert len(blocks) == count
    for block in blocks:
        exec(compile(block, name, "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("names", PAIRS)
def test_both_languages_show_the_same_code(names):
    english, chinese = ([ast.dump(ast.parse(b)) for b in python_blocks(name)] for name in names)
    assert english == chinese


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    folder = (ROOT / name).parent
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []
