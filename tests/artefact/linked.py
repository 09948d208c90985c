"""An artefact in this process: its object linked as a shared library, called through ctypes."""

import ctypes
import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import elman

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def _place(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class Linked:
    """The functions of a module that is exported for a machine whose code this one can run."""

    def __init__(self, module: Any, folder: Path, target: str = "host", **options: Any) -> None:
        self.facts = elman.export(module, folder, target, "own", **options)
        library = folder / "own.so"
        done = subprocess.run(["cc", "-shared", folder / "own.o", "-o", library])
        assert done.returncode == 0
        self._call = functools.partial(getattr, ctypes.CDLL(str(library)))
        self.outputs = self.facts["outputs"]
        self.dtype = {"float": torch.float32, "double": torch.float64}[self.facts["dtype"]]
        # What the caller's memory holds, before it is told to begin, means nothing.
        self.state = np.full(self.facts["state_bytes"], 0xFF, np.uint8)

    def begin(self, how: str = "init") -> None:
        self._call(f"own_{how}")(_place(self.state))

    def step(self, x: Tensor, *inputs: Tensor) -> Tensor:
        """One step ``(I,)``, or of a token ``()``."""
        y = torch.full((self.outputs,), torch.nan, dtype=self.dtype)
        arrays = [_place(value.contiguous().numpy()) for value in (*inputs, y)]
        first = _place(x.contiguous().numpy()) if x.ndim else ctypes.c_int(int(x))
        self._call("own_step")(_place(self.state), first, *arrays)
        return y

    def chunk(self, x: Tensor, *inputs: Tensor) -> Tensor:
        """Some steps ``(T, I)``, or of tokens ``(T,)``, int32."""
        y = torch.full((len(x), self.outputs), torch.nan, dtype=self.dtype)
        self.write_chunk(x, inputs, y)
        return y

    def write_chunk(self, x: Tensor, inputs: Sequence[Tensor], y: Tensor) -> None:
        """Some steps, whose results are written to the first rows of ``y``."""
        *given, goal = [value.contiguous().numpy() for value in (x, *inputs, y)]
        places = *map(_place, given), ctypes.c_size_t(len(x)), _place(goal)
        self._call("own_chunk")(_place(self.state), *places)
