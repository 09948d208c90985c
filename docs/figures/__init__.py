"""The pictures of the pages: one module a page, one public function a picture.

`docs/figures/order.py` with a function `states` makes `figures/order/states.svg`. The build draws
all of them, so what they show is computed and never out of date.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

from matplotlib.figure import Figure

from .style import svg


def functions() -> dict[str, Callable[[], Figure]]:
    """What draws each picture, by the picture's name: `order/states`."""
    found = {}
    for module in sorted(entry.name for entry in pkgutil.iter_modules(__path__)):
        contents = vars(importlib.import_module(f"{__name__}.{module}"))
        for name, draw in contents.items():
            if inspect.isfunction(draw) and draw.__annotations__ == {"return": Figure}:
                found[f"{module}/{name}"] = draw
    return found


def drawn() -> Iterator[tuple[str, str]]:
    """Every picture as SVG, with its name."""
    for name, draw in functions().items():
        yield name, svg(draw())
