"""What the site shows of each cell of the catalogue, made of its class and its step.

MkDocs calls the functions at the end. A new cell needs nothing here but its Chinese sentence: the
formula, the picture and the cost come from its step, and all else from its docstring.
"""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

from docs.catalogue_chinese import USES
from docs.diagrams import svg
from docs.formulas import latex
from elman.cell import Cell
from elman.cells import CATALOGUE, LSTM
from elman.expr import walk
from elman.spaces import HIDDEN, INPUT, Sizes

SHOWN = {"steps": 1}  # a loop of the step is shown for one turn
COUNTED = Sizes({INPUT: 128, HIDDEN: 128})
TEXTS = {
    "en": {
        "picture": "What a step of {name} computes, from left to right",
        "steps": "Shown for `steps=1`. ",
        "cost": "**Cost**, beside an LSTM of 128 units and features: {parameters} of the "
        "parameters, {products} of the multiply-adds.",
        "head": "| cell | use it for | parameters | multiply-adds |\n| --- | --- | ---: | ---: |\n",
        "caption": "**One step**",
    },
    "zh-CN": {
        "picture": "{name} 的一个时间步，从左到右",
        "steps": "图与公式取 `steps=1`。",
        "cost": "**代价**，与有 128 个单元和特征的 LSTM 相比：参数 {parameters} 倍，"
        "乘加 {products} 倍。",
        "head": "| 单元 | 用途 | 参数 | 乘加 |\n| --- | --- | ---: | ---: |\n",
        "caption": "**一个时间步**",
    },
}


def shown(kind: type[Cell]) -> Cell:
    """The cell that is shown of a class."""
    options = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in SHOWN.items() if name in options})


def use(kind: type[Cell], locale: str) -> str:
    """What to use a cell for; a paragraph of its docstring says so."""
    if locale != "en":
        return USES[kind.__name__]
    found = re.search(r"^Use it for (.*?)\n\n", inspect.getdoc(kind) or "", re.M | re.S)
    if found is None:
        raise ValueError(f"the docstring of {kind.__name__} needs a paragraph `Use it for ...`")
    sentence = " ".join(found[1].split())
    return sentence[0].upper() + sentence[1:]


def cost(cell: Cell) -> tuple[int, int]:
    """The parameters of a layer, and the multiply-adds of its matrices in a step of one row."""
    step = cell.trace()
    parameters = sum(math.prod(shape) for shape in step.shapes(COUNTED).values())
    products = 0
    for value in walk(step.new):
        kind = "x" if value.op == "x" else "product"
        if value.op in ("x", "product", "product_t"):
            matrix = step.blocks[kind, value.attr]
            products += COUNTED[matrix.rows] * COUNTED[matrix.columns] // matrix.heads
    return parameters, products


def relative(kind: type[Cell]) -> tuple[str, str]:
    """The cost of a cell with its defaults, as parts of an LSTM's."""
    parts = (mine / its for mine, its in zip(cost(kind()), cost(LSTM()), strict=True))
    parameters, products = (f"{part:.2f}" for part in parts)
    return parameters, products


def entry(kind: type[Cell], locale: str) -> str:
    """What stands below the heading of a cell in the reference."""
    name, texts, cell = kind.__name__, TEXTS[locale], shown(kind)
    parameters, products = relative(kind)
    note = texts["steps"] if vars(cell) != vars(kind()) else ""
    picture = f"![{texts['picture'].format(name=name)}](../figures/cells/{name}.svg)"
    costs = texts["cost"].format(parameters=parameters, products=products)
    translated = "" if locale == "en" else f"{use(kind, locale)}\n\n"
    return (
        f"{translated}{texts['caption']}\n\n$${latex(cell, locale)}$$\n\n{picture}\n\n{note}{costs}"
    )


def table(locale: str) -> str:
    """All cells, each with a line."""
    rows = []
    for kind in CATALOGUE.values():
        link = f"[{kind.__name__}](reference/cells.md#elman.cells.{kind.__name__})"
        rows.append(f"| {link} | {use(kind, locale)} | {' | '.join(relative(kind))} |\n")
    return TEXTS[locale]["head"] + "".join(rows)


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures."""
    from mkdocs.structure.files import File

    for kind in CATALOGUE.values():
        name = f"figures/cells/{kind.__name__}.svg"
        files.append(File.generated(config, name, content=svg(shown(kind))))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the entries on the reference, and the table where a page asks for it."""
    locale = config.extra["locale"]
    if page.file.src_uri == "reference/cells.md":
        kinds = {kind.__name__: kind for kind in CATALOGUE.values()}

        def below(match: re.Match[str]) -> str:
            found = kinds.get(match[1])
            return f"{match[0]}\n\n{entry(found, locale)}\n" if found else match[0]

        markdown = re.sub(r"^::: elman\.cells\.(\w+)$", below, markdown, flags=re.M)
    return markdown.replace("<!-- the catalogue -->", table(locale))
