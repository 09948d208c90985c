"""The sizes of a layer, for tests of the rooms below modules."""

from elman.spaces import HIDDEN, INPUT, PROJECTED, Sizes


def layer_sizes(width: int, units: int, projected: int | None = None) -> Sizes:
    """Features of the input, hidden units, and units of the projected state: by default as many."""
    return Sizes(
        {INPUT: width, HIDDEN: units, PROJECTED: units if projected is None else projected}
    )
