"""What modules hold that old versions of torch have pickled."""

from collections.abc import Callable
from typing import Any


def without(*names: str) -> Callable[[dict[str, Any]], object]:
    return lambda state: [state.pop(name) for name in names]


def with_tensors(state: dict[str, Any]) -> None:
    """As before 0.2: the weights themselves, where later versions list their names."""
    names = state.pop("_all_weights")
    state["all_weights"] = [[state["_parameters"][n] for n in row] for row in names]
    without("proj_size", "_flat_weights", "_flat_weights_names", "_flat_weight_refs")(state)


#: What pickles of older versions of torch lack.
OLD_STATES = {
    "before 1.8": without("proj_size"),
    "before 1.12": without("proj_size", "_flat_weight_refs"),
    "before 0.2": with_tensors,
}
