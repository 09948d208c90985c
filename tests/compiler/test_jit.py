"""Object code: complete in itself, kept on disk, and bounded in memory."""

import concurrent.futures
import dataclasses
import functools
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

import elman
from elman.compiler import backward, forward, isa, jit
from elman.compiler.formats import Format
from elman.compiler.narrow import NARROW
from elman.compiler.plan import plan_of
from elman.compiler.target import target_of
from elman.dispatch import executable
from elman.launch import kernel_cache
from elman.nn import cached
from tests.cells import STEPS
from tests.compiler.objects import symbols, undefined
from tests.systems import PATIENCE, linux_only

SCRIPT = """
import torch, elman
torch.manual_seed(0)
rnn, x = elman.RNN(3, 5), torch.linspace(-1, 1, 24).view(4, 2, 3)
with elman.set_path("kernel"):
    output, _ = rnn(x)
output.sum().backward()
(layer,) = elman.explain(rnn).layers
print(sorted(set(layer.kernels.values())), output.sum().item(), rnn.weight_hh_l0.grad.sum().item())
"""


TORN = """
import ctypes, torch, elman
mmap = ctypes.CDLL(None).mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 4 * [ctypes.c_long]
reserve = lambda size: mmap(None, size, 0, 0x4022, -1, 0)  # untouchable, private, without swap
with elman.set_path("kernel"):
    elman.RNN(3, 5)(torch.ones(4, 2, 3))  # LLVM is there
    size, lowest = 1 << 26, reserve(4096)
    while size >= 4096:  # no hole is left in the address space
        found = reserve(size)
        size, lowest = size // 2 if found < lowest else size, min(found, lowest)
    page, wall = reserve(4096), reserve(5 << 30)
    assert wall < page
    ctypes.CDLL(None).munmap(ctypes.c_void_p(page), ctypes.c_size_t(4096))
    output, _ = elman.LSTM(3, 5)(torch.ones(4, 2, 3))  # its constants fit there, its code does not
print(output.shape)
"""


def run(cache: str, script: str = SCRIPT) -> str:
    environment = {**os.environ, "ELMAN_CACHE_DIR": cache}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return result.stdout


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    cache = str(tmp_path / "kernels")
    first, second, without = run(cache), run(cache), run("off")
    assert first.startswith("['compiled']")
    assert second == first.replace("compiled", "disk")
    assert without == first


def test_processes_may_compile_the_same_at_once(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        printed = list(pool.map(run, [str(tmp_path / "kernels")] * 2))
    assert len({line.split("]")[1] for line in printed}) == 1
    assert run(str(tmp_path / "kernels")).startswith("['disk']")


@linux_only
def test_code_reaches_its_constants_where_memory_is_in_pieces():
    """Code and constants in pieces that are 2 GiB apart can't; LLVM ended the process."""
    assert run("off", TORN) == "torch.Size([4, 2, 5])\n"


_object = functools.cache(jit.object_code)


@pytest.mark.parametrize("cell", ["tanh", "LSTM", "Odd"])
@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("row", isa.TABLE, ids=lambda row: row.name)
def test_objects_are_complete_for_every_isa(row, dtype, cell):
    plan = plan_of(STEPS[cell])
    for single in (False, True):
        target = target_of(plan, dtype, Format(dtype), row, 33, single)
        made = [
            (forward.emit(plan, target, True), "elman_forward"),
            (backward.emit(plan, target), "elman_backward"),
        ]
        if dtype == "float":
            for name in ("weights", "int8"):
                narrow = target_of(plan, dtype, NARROW[name], row, 33, single)
                made.append((forward.emit(plan, narrow, False), "elman_forward"))
            if row.bf16_pairs:
                pairs = target_of(plan, dtype, NARROW["products"], row, 33, single)
                made.append((forward.emit(plan, pairs, True), "elman_forward"))
                made.append((backward.emit(plan, pairs), "elman_backward"))
        for module, name in made:
            *shared, own = module.parts()
            for part in (*shared, own):
                assert {*undefined(_object(part.text, row))} == {*part.calls}
            assert symbols(_object(own.text, row))[name]
            assert {*own.calls} <= {part.name for part in shared}


def test_the_key_of_object_code_covers_formula_target_and_pass(monkeypatch):
    keys = []

    class Recorder:
        def load(self, key):
            keys.append(key)
            return b"{}\nnever run"

    monkeypatch.setattr(jit, "CACHE", Recorder())
    monkeypatch.setattr(jit, "Code", lambda *_: "never run")
    best = isa.available()[0]
    other = dataclasses.replace(best, features=best.features + ",+aes")
    narrow = [(torch.float32, what) for what in NARROW]
    for step in (STEPS["tanh"], STEPS["relu"]):
        for row in (best, other):
            for dtypes in ((torch.float32,), (torch.float64,), *narrow):
                for units in (3, 300):  # other numbers of partial sums
                    for single in (False, True):
                        made = kernel_cache.kernel_for(
                            step, dtypes[0], row, units, single, *dtypes[1:]
                        )
                        for run_ in made.passes.values():
                            jit.load(run_.source())
    assert len(keys) == len(set(keys)) == 2 * 2 * (2 + len(NARROW)) * 2 * 2 * 5


@pytest.mark.usefixtures("no_kernels_in_memory")
def test_functions_that_kernels_share_are_compiled_once(monkeypatch):
    texts, compile_ = [], jit.object_codes

    def recorded(modules):
        modules = [*modules]
        texts.extend(text for text, _ in modules)
        return compile_(modules)

    monkeypatch.setenv("ELMAN_CACHE_DIR", "off")
    monkeypatch.setattr(jit, "object_codes", recorded)
    counts = []
    for step in (STEPS["tanh"], STEPS["relu"]):  # with one tile
        made = kernel_cache.kernel_for(step, torch.float32, isa.available()[0], 33, False)
        for name in ("infer", "backward", "train", "infer of one step"):
            assert made.passes[name].code.address
            counts.append(len(texts))
    first, backward_, after, step_, *others = counts
    assert first > 3
    assert backward_ > first + 1  # another tile
    assert after == backward_ + 1  # inference has all that training shares
    assert step_ > after + 1  # a matrix as it lies
    assert others == [step_ + 1, step_ + 2, step_ + 3, step_ + 4]
    shared = [text for text in texts if "@elman_" not in text]
    assert len(shared) == len(set(shared)) == len(jit.SHARED)
    del made
    one = weakref.ref(next(iter(jit.SHARED.values())))
    kernel_cache.forget()
    gc.collect()
    assert one() is None  # it lived as long as the kernels


@pytest.mark.usefixtures("no_kernels_in_memory")
def test_the_passes_of_a_training_step_are_compiled_together(monkeypatch, tmp_path):
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "kernels"))

    def made(*passes):
        kernel_cache.forget()
        kernel = kernel_cache.kernel_for(
            STEPS["tanh"], torch.float32, isa.available()[0], 33, False
        )
        for name in passes:
            assert kernel.passes[name].code.address
        return {name: run_.origin for name, run_ in kernel.passes.items() if run_.origin}

    assert made("infer") == {"infer": "compiled"}
    assert made("train") == {"train": "compiled", "backward": "compiled"}
    assert made("train") == {"train": "disk"}  # which waits for nothing else
    assert made("train", "backward") == {"train": "disk", "backward": "disk"}


@pytest.mark.usefixtures("no_kernels_in_memory")
def test_kernels_in_memory_are_bounded(monkeypatch):
    monkeypatch.setattr(kernel_cache, "_KERNEL_LIMIT", 5)
    for units in range(1, 20):
        kernel_cache.kernel_for(STEPS["tanh"], torch.float32, isa.available()[0], units, True)
        assert len(kernel_cache._kernels) <= 5


@pytest.mark.usefixtures("no_kernels_in_memory")
def test_what_is_remembered_of_calls_is_bounded(monkeypatch):
    caches = executable.EXECUTABLES, cached.CALLS
    for cache in caches:
        monkeypatch.setattr(cache, "limit", 5)
    rnn = elman.RNN(2, 3)
    with torch.no_grad():
        for steps in range(1, 30):
            rnn(torch.rand(steps, 2, 2))
    assert all(0 < len(cache) <= 5 for cache in caches)


def test_an_isa_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="unknown ISA 'mmx': expected one of"):
        isa.by_name("mmx")
    foreign = next(r for r in isa.TABLE if r not in isa.available())
    with (
        pytest.raises(elman.PathError, match=f"cannot run ISA '{foreign.name}'"),
        elman.dispatch.select.set_isa(foreign.name),
    ):
        pass


def test_the_source_of_the_compiler_is_part_of_the_key():
    names = {Path(p).name for p in jit.sources()}
    assert {"tile.py", "activations.py", "outer.py", "expr.py", "spaces.py", "step.py"} <= names
