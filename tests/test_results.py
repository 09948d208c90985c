"""What docs/results.md says of its tables is what they show."""

import re

import pytest

from tests.pages import DOCS, text

PAGE = text(DOCS / "results.md")
PROSE = " ".join(PAGE.split())
WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def rows(heading: str) -> dict[str, list[str]]:
    """The first table below a heading: the cells of each row by its name, without the star."""
    table = re.search(rf"^#+ {heading}\n.*?^\|.*?\n\|[-|]*\n(.*?)\n\n", PAGE, re.M | re.S)
    assert table, heading
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[1].split("\n")]
    return {first.rstrip("*"): others for first, *others in cells}


def number(cell: str, place: int = 0) -> float:
    """A number of a cell, without its deviation or unit."""
    return float(re.findall(r"[\d.]+", cell)[place])


FORECASTS, DISTRIBUTIONS = rows("Forecasts"), rows("Distributions")
MASE, CRPS = 0, 1


def ahead(column: int) -> list[str]:
    """The sets on which the network has a lower MASE than the method of a column."""
    return [it for it, row in FORECASTS.items() if number(row[2]) < number(row[column])]


def test_forecasts_are_counted() -> None:
    naive, ets = ahead(3), ahead(4)
    claim = f"ahead of ETS on {WORDS[len(ets)]} of the {len(FORECASTS)} sets"
    assert f"{claim}, and of the seasonal naive forecast on {len(naive)}." in PROSE
    others = re.search(r"ETS wins on (.*?):", PROSE)
    assert others
    assert {it.split(",")[0] for it in FORECASTS.keys() - ets} == {
        *re.findall(r"`(\w+)`", others[1])
    }


@pytest.mark.parametrize(("column", "claim"), [(1, "is ahead of quantiles on"), (2, "is ahead on")])
def test_distributions_are_counted(column: int, claim: str) -> None:
    pairs = [[number(row[it], CRPS) for it in (column, 0)] for row in DISTRIBUTIONS.values()]
    won, lost = sum(new < old for new, old in pairs), sum(new > old for new, old in pairs)
    assert re.search(rf"{claim} {WORDS[won]} (of the 13 sets )?and behind on {WORDS[lost]}", PROSE)


def test_negative_binomials_are_good_at_counts() -> None:
    counts = {it: row for it, row in DISTRIBUTIONS.items() if row[3]}
    for row in counts.values():
        assert number(row[3], CRPS) <= min(number(cell, CRPS) for cell in row) + 0.01 + 1e-9
    assert number(counts["PBS"][3], CRPS) < min(number(it, CRPS) for it in counts["PBS"][:3])


@pytest.mark.parametrize("series", ["OSULeaf", "ArrowHead", "PickupGestureWiimoteZ", "ACSF1"])
def test_other_classifiers_are_ahead_by_what_is_said(series: str) -> None:
    *_, network, nearest, rocket = map(number, rows("Labels of series")[series])
    points = round(max(nearest, rocket) - network)
    said = WORDS[points] if points < len(WORDS) else str(points)
    assert f"on `{series}` by {said}" in PROSE


def test_rocket_tells_numbers_best() -> None:
    table = rows("Numbers of series")
    assert all(number(row[-1]) == min(map(number, row[2:])) for row in table.values())
    assert WORDS[round(number(table["Tecator"][2]) / number(table["Tecator"][-1]))] == "nine"


def test_several_networks_are_those_of_the_table() -> None:
    table = rows("Tagger")
    three = next(row for it, row in table.items() if "--n-estimators 3" in it)
    guide = text(DOCS / "guides" / "tag.md")
    one = table["elman.GRU and a chain"]
    assert f"raises the F1 from {one[2]} to {three[2]}" in " ".join(guide.split())
