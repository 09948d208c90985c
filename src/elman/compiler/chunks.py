"""The chunks of time in which the backward pass runs over a part of the rows.

A chunk is a few segments (``batch.Order``), whose gradients at the gates take ``_BYTES``: the steps
of a chunk run back, then the inputs' gradients of its rows follow, then the weights' are summed up
over its segments. So the gradients at the gates need memory for one chunk only, and are read before
they have left the cache. The order of summation is that of the segments; chunks have no say in it.
"""

from __future__ import annotations

from ..batch import Order

_BYTES = 512 << 10  # of gradients at the gates


def steps_of(order: Order, row_bytes: int, weight_bytes: int) -> int:
    """The steps of a chunk: whole segments.

    Large weights, whose gradients are read and written once a chunk, ask for larger ones.
    """
    segment = max(1, order.segment * order.rows)
    fitting = max(_BYTES, 2 * weight_bytes) // (segment * max(1, row_bytes))
    return order.segment * max(1, fitting)
