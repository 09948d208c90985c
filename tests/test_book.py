"""The pages about recurrent networks: both languages show the same, and all of it is computed."""

import re
from pathlib import Path

import pytest
import torch

from docs import figures
from tests.pages import CHINESE, DOCS, FENCE, PAGES, failures, is_repeated, listings, name, text

LEARN = [page for page in PAGES if page.parent.name == "learn"]
#: Guides whose numbers are all computed, as those of LEARN are.
GUIDES = "moving", "gpus", "machines", "tuning", "reproducibility", "faq"
COMPUTED = LEARN + [
    page for page in PAGES if name(page).startswith(tuple(f"guides/{it}." for it in GUIDES))
]
PAIRS = [
    (page.parent / page.name.replace(CHINESE, ".md"), page)
    for page in PAGES
    if page.name.endswith(CHINESE)
]
# Pages of the navigation whose Chinese is still to be written.
STILL_ENGLISH: set[str] = set()
BOTH = pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[name(page) for page, _ in PAIRS])


def names_of_elman(page: Path) -> set[str]:
    """What the sessions on a page use of elman."""
    return set(re.findall(r"\belman\.(\w+)", listings(page)))


def is_torch(page: Path) -> bool:
    """Whether torch.nn has all that a page uses."""
    return names_of_elman(page) <= set(vars(torch.nn)) and "lengths=" not in listings(page)


AS_TORCH = [page for page in LEARN if is_torch(page) and not is_repeated(page)]


@pytest.mark.parametrize("page", AS_TORCH, ids=name)
def test_torch_prints_the_same(page: Path) -> None:
    assert failures(listings(page).replace("import elman", "import torch.nn as elman")) == ""


def test_pages_about_torch_are_found() -> None:
    names = {page.name for page in AS_TORCH}
    assert {"order.md", "cell.md", "gates.md"} <= names
    assert "lengths.md" not in names


def navigation() -> list[str]:
    """The pages that the navigation leads to, in order. Decisions are not there."""
    entries = (DOCS.parent / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    return re.findall(r"^ *- (\S+\.md)$", entries, re.M)


def test_every_page_is_there_in_both_languages() -> None:
    translated = {name(english) for english, _ in PAIRS}
    assert translated - set(navigation()) == set(), "not in the navigation"
    assert set(navigation()) - translated == STILL_ENGLISH, "in English only"


def blocks(page: Path) -> list[str]:
    """The blocks of code on a page, without comments."""
    return [re.sub(r"(^|  )# .*", "", code, flags=re.M) for _, code in FENCE.findall(text(page))]


@BOTH
def test_both_languages_show_the_same_code(english: Path, chinese: Path) -> None:
    assert blocks(english) == blocks(chinese)


def pictures(page: Path) -> list[str]:
    """The pictures on a page, in order."""
    return re.findall(r"!\[[^]]*\]\(([^)]+)\)", text(page))


@BOTH
def test_both_languages_show_the_same_pictures(english: Path, chinese: Path) -> None:
    assert pictures(english) == pictures(chinese)


@BOTH
def test_both_languages_lead_to_each_other(english: Path, chinese: Path) -> None:
    assert text(english).split("\n")[2] == f"[中文]({chinese.name})"
    assert text(chinese).split("\n")[2] == f"[English]({english.name})"


@BOTH
def test_both_languages_have_the_same_sections(english: Path, chinese: Path) -> None:
    levels = [
        re.findall(r"^#+(?= )", FENCE.sub("", text(page)), re.M) for page in (english, chinese)
    ]
    assert levels[0] == levels[1]


def rows_of_tables(page: Path) -> list[int]:
    """The number of rows of every table on a page, in order."""
    return [len(it.split("\n")) for it in re.findall(r"(?:^\|.*\n)+", text(page), re.M)]


@BOTH
def test_both_languages_have_tables_of_the_same_size(english: Path, chinese: Path) -> None:
    assert rows_of_tables(english) == rows_of_tables(chinese)


# A number with a decimal point or comma, which both languages write alike.
WRITTEN = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+|(?<=,\d{3}))(?![\d,]*\d)")


def numbers(page: Path) -> list[str]:
    """The numbers in a page's prose and tables, in some order."""
    return sorted(WRITTEN.findall(re.sub(r"\]\([^)]*\)", "", FENCE.sub("", text(page)))))


@BOTH
def test_both_languages_have_the_same_numbers(english: Path, chinese: Path) -> None:
    assert numbers(english) == numbers(chinese)


def test_numbers_of_both_languages_are_found() -> None:
    found = WRITTEN.findall("35,000 in 12 of 1.5%, 80%, (0.25) and 7, 3,4.")
    assert found == ["35,000", "1.5", "0.25"]


# A decimal, or an integer of two digits or more that is no year.
NUMBER = re.compile(r"(?<![\w.])(?!(?:19|20)\d\d\b)(?:\d+\.\d+|\d{2,})(?![\w.]*\d)")


@pytest.mark.parametrize("page", COMPUTED, ids=name)
def test_numbers_are_those_of_the_sessions(page: Path) -> None:
    prose = re.sub(r"\]\([^)]*\)|^```.*?^```", "", text(page), flags=re.M | re.S)
    computed = set(NUMBER.findall(listings(page)))
    assert set(NUMBER.findall(prose)) - computed == set(), "which no session prints"


def test_a_number_from_nowhere_is_found() -> None:
    assert len(COMPUTED) == len(LEARN) + 2 * len(GUIDES)
    found = NUMBER.findall("0.25 of 7 h_10 in 1990 are 12, 3.4.5 $x_{30}$ 1e-5 -0.5.")
    assert found == ["0.25", "12", "30", "0.5"]


@pytest.mark.parametrize("page", [page for _, page in PAIRS], ids=name)
def test_chinese_has_its_own_punctuation(page: Path) -> None:
    assert re.findall(r"[一-龥][,:;?!].{,8}", FENCE.sub("", text(page))) == []
    assert re.findall(r".{,8}[\x80-\x9f].{,8}", text(page)) == [], "decoded as Latin-1"


@pytest.mark.parametrize("picture", figures.functions())
def test_pictures_are_drawn(picture: str) -> None:
    drawn = figures.style.svg(figures.functions()[picture]())
    assert drawn.startswith("<?xml")
    assert len(drawn) < 150_000


def test_every_picture_is_shown_and_every_one_shown_is_drawn() -> None:
    shown = {one for page in PAGES for one in pictures(page) if "figures/" in one}
    assert {re.sub(r".*figures/|\.svg$", "", one) for one in shown} == set(figures.functions())


def test_every_page_is_in_the_navigation() -> None:
    pages = [page for page in PAGES if not page.name.endswith(CHINESE)]
    assert sorted(navigation()) == sorted(name(it) for it in pages if it.parent.name != "decisions")
