"""The READMEs' examples run, their links lead somewhere, and both languages show the same code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ["README.md", "README.zh-CN.md"]


def python_blocks(name: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S
    )


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name):
    blocks = python_blocks(name)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, name, "exec"), {"__name__": "readme"})


def test_both_languages_show_the_same_code():
    english, chinese = ([ast.dump(ast.parse(b)) for b in python_blocks(name)] for name in NAMES)
    assert english == chinese


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
