"""Subclasses of torch.nn's layers whose ``super().forward`` reaches elman's.

A class is made of theirs and of elman's layer, which comes before torch.nn's in the order of
methods: what their class defines runs as it did, and what it leaves to torch.nn is elman's.
"""

from __future__ import annotations

import copyreg
from typing import Any

import torch

from .counterpart import Counterpart, face, scripted


def bridge(theirs: type[torch.nn.Module], ours: type) -> type[torch.nn.Module]:
    """The class that modules of ``theirs``, a subclass of the counterpart of ``ours``, change to.

    One is made for each of theirs, and lives as long as something is of it.
    """
    for known in theirs.__subclasses__():
        if "_bridges" in vars(known):
            return known
    counterpart: Any = ours._counterpart  # type: ignore[attr-defined]
    # Whoever makes a module of the class calls torch.nn's constructor, as theirs does.
    below = type(ours.__name__, (face(ours),), {"__init__": counterpart.__init__})
    names: dict[str, Any] = {
        name: getattr(theirs, name) for name in ("__module__", "__qualname__", "__doc__")
    }
    names |= {
        "_bridges": (theirs, ours),
        "__reduce_ex__": _reduce,
        "__prepare_scriptable__": _plain,
        "qconfig": vars(Counterpart)["qconfig"].setter(_set_qconfig),
    }
    kind: Any = type(theirs)
    # Theirs comes first: a module can change to no class whose first base is another.
    made: type[torch.nn.Module] = kind(theirs.__name__, (theirs, below), names)
    return made


def _reduce(self: Any, protocol: Any) -> Any:
    """A pickle names their class and elman's, of which the class is made again."""
    mine = bridge(*self._bridges)
    found: Any = super(mine, self).__reduce_ex__(max(2, int(protocol)))
    made, (_, *arguments), *rest = found
    if made is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return found  # their class says itself how it is pickled
    return _remake, (*self._bridges, *arguments), *rest


def _remake(theirs: type[torch.nn.Module], ours: type, *arguments: Any) -> Any:
    made = bridge(theirs, ours)
    return made.__new__(made, *arguments)


def _plain(self: Any) -> Any:
    """``torch.jit.script`` compiles their class, of the same tensors."""
    theirs, again = self._bridges[0], "elman.accelerate(model, subclasses=...)"
    return scripted(self, theirs, f"{theirs.__name__} without elman's kernels", again)


def _set_qconfig(self: Any, value: Any) -> None:
    """No more: ``torch.ao.quantization`` does not know their class, and swaps no such module."""
    self.__dict__["qconfig"] = value
