"""What the six classes that take the place of torch.nn's share with them.

The *counterpart* of such a class is the class of torch.nn that it replaces. Its modules count as
instances of the counterpart. They run the counterpart's operator where that is the path. They
become the counterpart where a tool of PyTorch compiles or swaps modules by their class.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ..dispatch.select import decide
from ..runtime.untraced import untraced
from ..step import Step
from .messages import raised_by

#: To these modules a layer shows its real class. Dynamo refuses to compile instances of torch.nn's
#: layers; parametrizations derive a class from it; picklers compare it with what they write.
_SEE_THE_CLASS = (
    *("torch._dynamo.variables.builder", "torch.nn.utils.parametrize"),
    *("pickle", "copyreg"),
)
_reduced = threading.local()


def _joined(section: str, own: str, common: str) -> tuple[str, str]:
    """Two docstrings of which the first has a section alone, with the second one's entries too;
    where both say something of the same name, the first one counts."""
    whole = re.compile(rf"^{section}:\n((?:    .*\n)+)\n", re.M)
    mine, theirs = whole.search(own), whole.search(common)
    if mine is None or theirs is None:
        return own, common
    entries = re.findall(r"^    \w.*\n(?:     .*\n)*", theirs[1], re.M)
    more = [it for it in entries if f"\n{it.partition(':')[0]}:" not in f"\n{mine[1]}"]
    own = f"{own[: mine.end(1)]}{''.join(more)}{own[mine.end(1) :]}"
    return own, common[: theirs.start()] + common[theirs.end() :]


class Counterpart:
    """The side of a module that torch.nn's tools see; mixed into modules.

    A class names its counterpart by ``class LSTM(Layer, counterpart=torch.nn.LSTM)``, and gets
    those of the counterpart's methods that it lacks. The docstring of its base becomes a part of
    its own, in front of the example.
    """

    _counterpart: ClassVar[type[torch.nn.Module]]
    _face: ClassVar[type[torch.nn.Module]]

    def __init_subclass__(cls, counterpart: type[torch.nn.Module] | None = None) -> None:
        super().__init_subclass__()
        if counterpart is None:
            return
        cls._counterpart = counterpart
        family: Any = next(c for c in cls.__mro__[1:] if issubclass(c, Counterpart))
        own, mark, example = inspect.cleandoc(cls.__doc__ or "").partition(">>> ")
        common = inspect.cleandoc(family.__doc__ or "").format(name=counterpart.__name__)
        for section in ("Args", "Raises"):
            own, common = _joined(section, own, common)
        cls.__doc__ = f"{own}{common}\n\n{mark}{example}"
        base = counterpart.__base__  # of cls as well
        for name, value in vars(counterpart).items():
            if not name.startswith("__") and getattr(cls, name, None) is getattr(base, name, None):
                setattr(cls, name, value)

    def _runs_torch(self, tensors: Sequence[Any]) -> bool:
        """Whether the counterpart's own forward answers a call of these tensors, input first."""
        given = [t for t in tensors if t is not None]
        for tensor in given:
            dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided
            if not dense or tensor.is_nested:
                return False  # elman's checks say what is wrong
        return decide(given, self._own_counterpart()).path == "torch"

    def _run_elsewhere(self, step: Step, tensors: Sequence[Any], input: Any, hx: Any) -> Any:
        """The answer of the counterpart, or a node of a graph of ``torch.fx``; None where elman's
        own code runs. Where elman's checks refuse a call with the words of the counterpart, and
        more, the exception says these."""
        module: Any = self
        if not self._runs_torch(tensors):
            return module._leaf(input, hx)
        try:
            return self._counterpart.forward(self, input, hx)
        except Exception as error:
            weights = module._layer_weights
            found = raised_by(lambda: module._read(step, input, hx, weights(step)))
            kind, text = found or (None, "")
            if kind is not type(error) or not text.startswith(str(error)):
                raise
            raise kind(text) from None

    def _own_counterpart(self) -> type[torch.nn.Module] | None:
        """The class of torch.nn that computes the same; None if this module's options have none."""
        return self._counterpart if getattr(self, "reset_after", True) else None

    # isinstance asks this where the real class is no subclass. Those are none of torch.nn's
    # layers, since Dynamo would refuse them. (With it, `super()` needs its arguments here.)
    @property
    @untraced
    def __class__(self) -> Any:
        asks = sys._getframe(1)
        if asks.f_globals.get("__name__", "").startswith(_SEE_THE_CLASS):
            return type(self)
        if getattr(_reduced, "by", None) == (id(self), id(asks), asks.f_lasti):
            return type(self)
        return face(type(self))

    @__class__.setter
    def __class__(self, value: type) -> None:
        _set_class(self, vars(value).get("_face_of", value))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A pickler in C asks for the reduction and then for `__class__`, which has to be the class
        # in the reduction. Both questions come from one instruction of one frame.
        asks = sys._getframe(1)
        _reduced.by = id(self), id(asks), asks.f_lasti
        return object.__reduce_ex__(self, protocol)

    def __prepare_scriptable__(self) -> Any:
        """The module that ``torch.jit.script`` compiles: the counterpart, of the same tensors."""
        counterpart = self._own_counterpart()
        name = type(self).__name__
        if counterpart is None:
            raise RuntimeError(
                f"torch.jit.script cannot compile {name}(reset_after=False), which torch.nn does "
                "not have: use torch.jit.trace or torch.export"
            )
        if plain(type(self)) is not type(self):
            raise RuntimeError(
                f"torch.jit.script cannot compile {name}, nor any parametrized layer of torch.nn: "
                "use torch.jit.trace or torch.export, or remove_parametrizations first"
            )
        instead = f"torch.nn.{counterpart.__name__} instead of elman's {name}"
        return scripted(self, counterpart, instead, "elman.accelerate(model)")

    @property
    def qconfig(self) -> Any:
        """What ``torch.ao.quantization`` sets on every module that it goes over."""
        if "qconfig" not in self.__dict__:
            raise AttributeError("qconfig")
        return self.__dict__["qconfig"]

    @qconfig.setter
    def qconfig(self, value: Any) -> None:
        counterpart = self._own_counterpart()
        if counterpart is not None:
            value = value or _asked_of(counterpart)
            if value is not None:  # it is to be swapped, by its class
                _set_class(self, counterpart)
        self.__dict__["qconfig"] = value

    @qconfig.deleter
    def qconfig(self) -> None:
        self.__dict__.pop("qconfig", None)


def scripted(module: Any, kind: type, instead: str, back: str) -> Any:
    """A module of another class, of the same tensors, for ``torch.jit.script`` to compile."""
    warnings.warn(
        f"torch.jit.script compiles {instead}, and leaves it in the model: call "
        f"elman.restore(model) before, or {back} afterwards",
        stacklevel=3,
    )
    made: Any = object.__new__(kind)
    object.__setattr__(made, "__dict__", module.__dict__)
    return made


def face(cls: type) -> type:
    """The class that the modules of a class show: one derived from it and from its counterpart, so
    that a class which a tool derives from it still runs elman's forward."""
    counterpart: type = cls._counterpart  # type: ignore[attr-defined]
    if issubclass(cls, counterpart):
        return cls
    if "_face" not in vars(cls):

        def make(kind: type, *arguments: Any, **options: Any) -> Any:
            if kind is not cls._face:  # type: ignore[attr-defined]
                return object.__new__(kind)
            module = object.__new__(cls)
            module.__init__(*arguments, **options)  # type: ignore[misc]
            return module

        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        members = {**names, "_face_of": cls, "__new__": make}
        cls._face = type(cls.__name__, (cls, counterpart), members)  # type: ignore[attr-defined]
    return cls._face  # type: ignore[attr-defined]


def plain(kind: type) -> type:
    """The class that ``torch.nn.utils.parametrize`` derived this one from, for one module; of
    another module, its class itself."""
    base = kind.__bases__[0]
    derived = f"Parametrized{base.__name__}"
    made = kind.__module__ == parametrize.__name__ and kind.__name__ == derived
    return base if made else kind


def alike(kind: type, base: type) -> type:
    """A class of ``base`` that is parametrized as ``kind`` is."""
    if plain(kind) is kind:
        return base
    of_each_class = ("__dict__", "__weakref__", "__doc__", "_face")
    own = {name: value for name, value in vars(kind).items() if name not in of_each_class}
    metaclass: Any = type(base)
    made: type = metaclass(f"Parametrized{base.__name__}", (base,), own)
    return made


def _asked_of(counterpart: type) -> Any:
    """What the caller, if it is ``torch.ao.quantization``, does with modules of a class."""
    frame = sys._getframe(2)
    while frame is not None:
        asked = frame.f_locals.get("qconfig_dict")
        if isinstance(asked, dict):
            return asked.get(counterpart)
        frame = frame.f_back  # type: ignore[assignment]
    return None


_set_class = object.__dict__["__class__"].__set__
