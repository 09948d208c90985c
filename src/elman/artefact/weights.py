"""The constants of a layer as its code reads them: packed weights, rows of biases, learned vectors.

The compiler packs them by kernels; those of another machine don't run here, so it is done in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..compiler.formats import Numbers
from ..compiler.forward import biases_of, gate_of, places_x, starts
from ..compiler.panel import Place, places_of
from ..compiler.plan import product_groups_of, products_of
from ..compiler.sizes import Layer
from ..compiler.target import Target
from ..expr import Node, walk
from ..spaces import HIDDEN, INPUT, Matrix, Sizes
from . import lists
from .lists import Blocks


def packed(layer: Layer, sizes: Sizes, weights: Mapping[str, Numbers]) -> bytes:
    """The layer's packed buffers, each where its slot says; ``weights`` by their names."""
    memory, plan, target = bytearray(layer.weights), layer.spec.plan, layer.spec.target
    panel_x, panel, row = target.panel_x, target.panel, layer.numbers[target.row.padded]
    blocks_x, blocks = _blocks_x(layer, sizes, weights), _blocks(layer, sizes, weights)
    stored_x, stored = (
        {node: lists.stored(of, layer.spec.lanes, mine) for node, mine in given.items()}
        for of, given in ((panel_x, blocks_x), (panel, blocks))
    )
    room_x = panel_x.nbytes(layer.numbers[HIDDEN.padded], sizes[INPUT])
    for buffer, found in (
        ("panels_x", _placed(stored_x, places_x(plan, target), room_x)),
        ("panels", _placed(stored, places_of(target, plan.infer), panel.nbytes(row, row))),
        ("starts", _starts(layer, sizes, weights)),
    ):
        at = layer.numbers[buffer]
        for place, part in found:
            memory[at + place : at + place + len(part)] = part
    return bytes(memory)


def listed(layer: Layer, sizes: Sizes, weights: Mapping[str, Numbers]) -> Target:
    """The layer's target, whose panels leave out rows of zeros if that is worth it."""
    target = layer.spec.target
    panel_x = lists.listed(target.panel_x, _blocks_x(layer, sizes, weights).values())
    panel = lists.listed(target.panel, _blocks(layer, sizes, weights).values())
    return replace(target, panel=panel, inputs_panel=None if panel_x == panel else panel_x)


def vectors(layer: Layer, weights: Mapping[str, Numbers]) -> dict[str, bytes]:
    """The learned vectors that the formula reads, by their slots."""
    program = layer.spec.plan.infer
    leaves = walk(store.value for stage in program.stages for store in stage.stores)
    names = dict.fromkeys(f"weight_{n.attr}" for n in leaves if n.op == "vector")
    return {name: weights[name].tobytes() for name in names}


def _blocks_x(layer: Layer, sizes: Sizes, weights: Mapping[str, Numbers]) -> dict[Node, Blocks]:
    plan, target = layer.spec.plan, layer.spec.target
    width = target.front.widths[0] * layer.spec.lanes
    given = {column: plan.step.blocks["x", gate_of(column)] for column in plan.columns}
    return {c: Blocks(_panel(layer, sizes, weights, b, width), 1) for c, b in given.items()}


def _blocks(layer: Layer, sizes: Sizes, weights: Mapping[str, Numbers]) -> dict[Node, Blocks]:
    plan, target = layer.spec.plan, layer.spec.target
    width = target.step.widths[0] * layer.spec.lanes
    at_once = {p: len(group) for group in product_groups_of(plan.infer) for p in group}
    panels = {}
    for product in products_of(plan.infer):
        block = plan.step.blocks["product", product.attr]
        transposed = product.op == "product_t"
        content = _panel(layer, sizes, weights, block, width, transposed)
        panels[product] = Blocks(content, target.splits_of(at_once[product]))
    return panels


def _placed(
    panels: Mapping[Node, list[Numbers]], places: Mapping[Node, Place], room: int
) -> Iterator[tuple[int, bytes]]:
    """Panels, given block by block, and where they lie: those of a group row by row."""
    for first in (node for node, place in places.items() if not place.number):
        place = places[first]
        group = [n for n, other in places.items() if other.behind == place.behind]
        for_all = zip(*(panels[node] for node in group), strict=True)
        content = b"".join(np.concatenate(blocks, 1).tobytes() for blocks in for_all)
        yield int(place.behind) * room, content


def _panel(
    layer: Layer,
    sizes: Sizes,
    weights: Mapping[str, Numbers],
    block: Matrix,
    width: int,
    transposed: bool = False,
) -> list[Numbers]:
    """The blocks of a matrix, or of a transposed one, padded with zeros."""
    target = layer.spec.target
    given: Numbers = block.of(weights[block.parameter], sizes)
    rows, columns = block.rows, block.columns
    if transposed:  # head by head
        given = np.concatenate([part.T for part in np.array_split(given, block.heads)])
        rows, columns = columns, rows
    units, padded = len(given), layer.numbers[rows.stored.padded]
    own = target.heads > 1 and block.heads > 1  # each block of units has the columns of its head
    k = sizes[columns] // (block.heads if own else 1)
    matrix = np.zeros((padded, k), given.dtype)
    if own or block.heads == 1:
        matrix[:units] = given
    else:
        for mine in np.array_split(np.arange(units), block.heads):
            first = mine[0] * k // units
            matrix[mine, first : first + given.shape[1]] = given[mine]
    return [np.ascontiguousarray(matrix[u : u + width].T) for u in range(0, padded, width)]


def _starts(
    layer: Layer, sizes: Sizes, weights: Mapping[str, Numbers]
) -> Iterator[tuple[int, bytes]]:
    """What projections, products and formulas start from: sums of biases."""
    plan, padded = layer.spec.plan, layer.numbers[HIDDEN.padded]
    for start, i in starts(plan, plan.infer).items():
        row = np.zeros(padded, next(iter(weights.values())).dtype)
        for bias in biases_of(plan.step, start):
            if bias.parameter in weights:
                given = bias.of(weights[bias.parameter], sizes)
                row[: len(given)] += given
        yield i * row.nbytes, row.tobytes()
