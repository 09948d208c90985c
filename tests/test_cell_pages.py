"""What the site shows of each cell: a formula, a picture, a use in both languages, its cost."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest

import elman
from docs import catalogue
from docs.catalogue_chinese import USES
from docs.diagrams import RADIUS, Boxes, layers, place, svg
from docs.formulas import latex
from docs.steps import written
from elman.cells import CATALOGUE
from elman.expr import walk

CELLS = pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)


def lines(cell: elman.Cell) -> list[str]:
    """The lines of a formula."""
    inner = latex(cell).removeprefix(r"\begin{align*} ").removesuffix(r" \end{align*}")
    return inner.split(r" \\ ")


FORMULAS = {
    "elman": [r"h_t &= \tanh(W_{h} x_t + U_{h} h_{t-1} + b_{h})"],
    "lstm": [
        r"i &= \sigma(W_{i} x_t + U_{i} h_{t-1} + b_{i})",
        r"f &= \sigma(W_{f} x_t + U_{f} h_{t-1} + b_{f})",
        r"o &= \sigma(W_{o} x_t + U_{o} h_{t-1} + b_{o})",
        r"c_t &= f \odot c_{t-1} + i \odot \tanh(W_{g} x_t + U_{g} h_{t-1} + b_{g})",
        r"h_t &= o \odot \tanh(c_t)",
    ],
    "gru": [  # the biases of n are apart
        r"r &= \sigma(W_{r} x_t + U_{r} h_{t-1} + b_{r})",
        r"z &= \sigma(W_{z} x_t + U_{z} h_{t-1} + b_{z})",
        r"n &= \tanh(W_{n} x_t + r \odot (U_{n} h_{t-1} + b'_{n}) + b_{n})",
        r"h_t &= (1 - z) \odot n + z \odot h_{t-1}",
    ],
    "leaky": [  # a number that the cell is made with keeps its name
        r"h_t &= (1 - \text{leak}) \, h_{t-1} "
        r"+ \text{leak} \, \tanh(W_{h} x_t + U_{h} h_{t-1} + b_{h})"
    ],
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_those_of_the_papers(name: str) -> None:
    assert lines(CATALOGUE[name]()) == FORMULAS[name]


class Odd(elman.Cell):
    """What no cell of the catalogue has."""

    gates = ("a",)
    matrices = ("down", "up")

    def __init__(self) -> None:
        self.sizes = {"down": 2}

    def step(self, x, u, s):
        few = self.product("down", s.h)
        back = self.product("down", few, transpose=True)
        scaled = elman.softmax(back - (x.a - u.a)) * elman.sum(s.h) ** 2
        return elman.clamp(-(scaled / (1 + elman.abs(back))), -0.5) + self.product("up", few)


def test_all_that_a_formula_has_is_printed() -> None:
    assert lines(Odd()) == [
        r"\text{few} &= V_{\text{down}} h_{t-1}",
        r"\text{back} &= V_{\text{down}}^\top \text{few}",
        r"\text{scaled} &= \mathrm{softmax}(\text{back} - (W_{a} x_t + b_{a} - (U_{a} h_{t-1} "
        r"+ b'_{a}))) \, \mathrm{sum}(h_{t-1})^2",
        r"h_t &= \mathrm{clamp}(-\frac{\text{scaled}}{1 + |\text{back}|}, -0.5) "
        r"+ V_{\text{up}} \text{few}",
    ]


@CELLS
def test_every_name_of_a_formula_is_defined(kind: type[elman.Cell]) -> None:
    """Whatever is read stands in an earlier line, or is given; nothing is written out twice."""
    cell = catalogue.shown(kind)
    defined = set[str]()
    for line in lines(cell):
        left, _, right = line.partition(" &= ")
        if not left:
            continue
        for state in re.findall(r"(?:\\text\{\w+\}|\b\w)_t\b", right):
            name = re.sub(r"\\text\{(\w+)\}", r"\1", state.removesuffix("_t"))
            assert name == "x" or state in defined or name in cell.inputs, (line, state)
        assert left not in defined
        defined.add(left)
    assert {f"{elman_word(state)}_t" for state in cell.states} <= defined
    assert len(latex(cell)) < 1500


def elman_word(name: str) -> str:
    """A state's name in a formula."""
    return name if len(name) == 1 else rf"\text{{{name}}}"


@CELLS
def test_pictures_show_all_and_nothing_lies_on_another(kind: type[elman.Cell]) -> None:
    cell = catalogue.shown(kind)
    root = ElementTree.fromstring(svg(cell))
    shown = {it.text for it in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {f"{state}ₜ" for state in cell.states} <= shown
    assert {f"{name}ₜ" for name in cell.inputs} <= shown
    boxes = Boxes(written(cell))
    found = layers(boxes.ends)
    place(found)
    for row in found:
        for above, below in itertools.pairwise(row):
            assert below.y - above.y >= 2 * RADIUS
        assert all(source.x < box.x for box in row for source in box.reads)
    weights = {it.attr for it in walk(written(cell).new.values()) if it.op == "x"}
    assert sum(box.weights for row in found for box in row) >= len(weights)


@CELLS
def test_each_has_a_use_in_both_languages(kind: type[elman.Cell]) -> None:
    english, chinese = (catalogue.use(kind, locale) for locale in ("en", "zh-CN"))
    assert english.endswith(".")
    assert english.count(".") == 1
    assert chinese.endswith("。")


def test_no_use_is_of_a_cell_that_is_not_there() -> None:
    assert set(USES) == {kind.__name__ for kind in CATALOGUE.values()}


def test_costs_are_relative_to_an_lstm() -> None:
    parts = {name: catalogue.relative(CATALOGUE[name]) for name in ("lstm", "gru", "odernn")}
    assert parts == {"lstm": ("1.00", "1.00"), "gru": ("0.75", "0.75"), "odernn": ("0.38", "0.75")}


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_the_table_leads_to_every_cell(locale: str) -> None:
    links = re.findall(r"\(reference/cells\.md#elman\.cells\.(\w+)\)", catalogue.table(locale))
    assert links == [kind.__name__ for kind in CATALOGUE.values()]


def test_a_cell_without_a_use_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a paragraph `Use it for"):
        catalogue.use(Odd, "en")
