"""Where the command `elman` begins: outside the package, whose import takes PyTorch's second.

Help, versions, completions and wrong options need no PyTorch. So the package is put in place
without being executed, and is executed when a command first asks it for something.
"""

import os
import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that is executed when it is first asked for what only its execution gives it."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] != ["bench"]:  # which times libraries as they are by themselves
        # Threads that wait for one another spin, on the core that the other waits for if a program
        # beside them is busy: a training then took four times as long. Sleeping costs a quiet
        # machine nothing. OpenMP reads this when PyTorch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "elman" not in sys.modules:
        spec = find_spec("elman")
        assert spec is not None
        package = module_from_spec(spec)
        package.__class__ = _Package
        sys.modules["elman"] = package
    from elman.cli import main

    main()
