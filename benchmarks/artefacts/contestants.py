"""Contestants: shared libraries of one stack each, and sessions of this process."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import elman
from elman.bench.task import Task

from ..peers import graph

HERE = Path(__file__).parent
FAST = ("-O3", "-march=native")
WIDE = (*FAST, "-mprefer-vector-width=512")
HEADER = "onnxruntime_c_api.h"
WEIGHTS = {"": None, " bfloat16": torch.bfloat16, " int8": torch.int8}


class MissingError(Exception):
    """A contestant that cannot take part here, and why."""


@dataclass(frozen=True)
class Contestant:
    """``begin`` sets states to zero; ``run`` takes all steps of ``x``; ``fill`` writes ``y``
    besides, if running does not."""

    begin: Callable[[], Any]
    run: Callable[[], Any]
    y: np.ndarray
    fill: Callable[[], Any] | None = None


class Build(NamedTuple):
    """A source, and how it is compiled; of several builds of a contestant the fastest counts."""

    source: str
    compiler: str
    flags: Sequence[str]


def builds(source: str, compilers: Sequence[str], *flags: Sequence[str]) -> list[Build]:
    """All ways to compile it with the compilers that are here."""
    return [Build(source, c, f) for c in compilers if shutil.which(c) for f in flags]


C, CXX = ("gcc", "clang"), ("g++", "clang++")


def written(block: int) -> list[Build]:
    """C++ with so many sums at a time."""
    return builds("templates.cpp", CXX, *((*f, f"-DBLOCK={block}") for f in (FAST, WIDE)))


#: By name, for a step.
COMPILED: Mapping[str, Sequence[Build]] = {
    "C": builds("plain.c", C, FAST, WIDE),
    "C, -ffast-math": builds("plain.c", C, (*FAST, "-ffast-math"), (*WIDE, "-ffast-math")),
    "C++ templates": [b for block in (64, 128) for b in written(block)],
}


def module_of(task: Task) -> Any:
    """The layers of a task, with its weights."""
    module = getattr(elman, task.layer)(task.I, task.H, task.num_layers)
    weights = {name: torch.from_numpy(array) for name, array in task.parameters().items()}
    module.load_state_dict(weights)
    return module


def header() -> list[str]:
    """How a compiler finds ONNX Runtime's header."""
    if given := os.environ.get("ONNXRUNTIME_INCLUDE"):
        return [f"-I{given}"]
    try:
        found = subprocess.run(
            ["pkg-config", "--cflags", "libonnxruntime"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        found = None
    if found is None or found.returncode:
        raise MissingError(
            f"needs {HEADER}: Debian's libonnxruntime-dev, or ONNXRUNTIME_INCLUDE, its folder"
        )
    return found.stdout.split()


def library() -> Path:
    """That of the Python package."""
    spec = importlib.util.find_spec("onnxruntime")
    folder = Path(spec.origin or "").parent / "capi" if spec else None
    found = sorted(folder.glob("libonnxruntime.so.*")) if folder else []
    if not found:
        raise MissingError("needs the Python package onnxruntime")
    return found[0]


def onnx_runtime(task: Task, folder: Path) -> Build:
    """ONNX Runtime with a model of one step."""
    flags, model = header(), folder / "step.onnx"
    model.write_bytes(graph.model(task._replace(T=1)))
    names = f'-DMODEL="{model}"', f'-DLIBRARY="{library()}"'
    return Build("onnx_runtime.c", "cc", [*FAST, *flags, *names, "-ldl"])


def compiled(build: Build, task: Task, folder: Path, objects: Sequence[Path] = ()) -> ctypes.CDLL:
    """A library of a contestant, loaded.

    Raises:
        MissingError: it does not compile, or does not begin.
    """
    goal = folder / f"{len(list(folder.iterdir()))}.so"  # the loader takes a name for the same file
    sizes = task.layer, task.I, task.H, task.num_layers
    names = zip(("CELL", "INPUTS", "UNITS", "LAYERS"), sizes, strict=True)
    command = [build.compiler, "-shared", "-fPIC", *(f"-D{name}={size}" for name, size in names)]
    command += [f"-I{HERE}", f"-I{folder}", str(HERE / build.source), *map(str, objects)]
    command += [*build.flags, "-lm", "-o", str(goal)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{build.compiler} fails: {done.stderr.strip()}")
    found = ctypes.CDLL(str(goal))
    weights = np.concatenate([array.ravel() for array in task.parameters().values()])
    if found.load(ctypes.c_void_p(weights.ctypes.data)):
        raise MissingError("does not begin")
    return found


def of_library(found: ctypes.CDLL, task: Task, x: np.ndarray, name: str = "steps") -> Contestant:
    """A library as a contestant, by one of its functions."""
    y = np.zeros((task.T, task.H), np.float32)
    places = (ctypes.c_void_p(array.ctypes.data) for array in (x, y))
    given = ctypes.c_size_t(task.T), *places
    function = getattr(found, name)
    return Contestant(found.begin, lambda: function(*given), y)


def artefact(task: Task, x: np.ndarray, folder: Path, kind: str) -> dict[str, Contestant]:
    """The artefact, by steps and by chunks."""
    own = folder / (kind.strip() or "float32")
    own.mkdir()
    elman.export(module_of(task), own, name="own", weight_dtype=WEIGHTS[kind])
    found = compiled(Build("artefact.c", "cc", FAST), task, own, [own / "own.o"])
    names = {f"artefact{kind}, step": "steps", f"artefact{kind}, chunk": "chunk"}
    return {who: of_library(found, task, x, name) for who, name in names.items()}


def stream(task: Task, x: np.ndarray, kind: str) -> dict[str, Contestant]:
    """A session of this process, by steps and by chunks."""
    session = elman.Stream(module_of(task), weight_dtype=WEIGHTS[kind])
    rows, y = torch.from_numpy(x), torch.zeros(task.T, task.H)

    def steps() -> None:
        for row in rows:
            session.step(row)

    def kept_steps() -> None:
        for row, goal in zip(rows, y, strict=True):
            goal.copy_(session.step(row))

    def chunk() -> Any:
        return session.chunk(rows)

    ways = {"step": (steps, kept_steps), "chunk": (chunk, lambda: y.copy_(chunk()))}
    return {
        f"Stream{kind}.{way}": Contestant(session.reset, run, y.numpy(), fill)
        for way, (run, fill) in ways.items()
    }
