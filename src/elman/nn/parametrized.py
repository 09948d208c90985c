"""Classes that ``torch.nn.utils.parametrize`` derives from a module's own, one for each module."""

from __future__ import annotations

from typing import Any

from torch.nn.utils import parametrize


def plain(kind: type) -> type:
    """The class that a parametrized module had before; of another module, its class itself."""
    base = kind.__bases__[0]
    made = (
        kind.__module__ == parametrize.__name__ and kind.__name__ == f"Parametrized{base.__name__}"
    )
    return base if made else kind


def alike(kind: type, base: type) -> type:
    """A class of ``base`` that is parametrized as ``kind`` is."""
    if plain(kind) is kind:
        return base
    own = {name: value for name, value in vars(kind).items() if name not in _OF_EACH_CLASS}
    metaclass: Any = type(base)
    made: type = metaclass(f"Parametrized{base.__name__}", (base,), own)
    return made


#: Attributes that every class gets anew.
_OF_EACH_CLASS = ("__dict__", "__weakref__", "__doc__", "_face")
