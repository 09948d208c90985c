"""What explain says, word for word, and the paths that set_path forces."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.compiler import isa, jit
from elman.dispatch.select import set_isa
from elman.launch import kernel_cache
from elman.launch.calls import NativeCall

COMPLEX = pytest.mark.filterwarnings("ignore:Complex modules:UserWarning")


class Derived(torch.nn.RNN):
    """Not torch's own class."""


class Based(torch.nn.RNNBase):
    """Nor is this one."""


@pytest.fixture
def no_kernels(
    no_kernels_in_memory: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], None]:
    """A process that has no kernels in memory and none on disk; call it to forget them again."""
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "cache"))
    return kernel_cache.forget


@pytest.fixture
def no_executable_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(jit, "obstacle", lambda: "this system refuses executable memory (test)")
    elman.dispatch.select._own_isa.cache_clear()
    yield
    elman.dispatch.select._own_isa.cache_clear()


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes LLVM report another processor: its triple, and features that it has."""
    from llvmlite import binding

    def forget() -> None:
        isa.host.cache_clear()
        elman.dispatch.select._own_isa.cache_clear()

    def report(triple: str, *features: str) -> None:
        monkeypatch.setattr(binding, "get_process_triple", lambda: triple)
        known = isa.by_name("avx512bf16").needs
        found = dict.fromkeys(known, False) | dict.fromkeys(features, True)
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda: found)
        forget()

    yield report
    monkeypatch.undo()
    forget()


@COMPLEX
@pytest.mark.usefixtures("no_kernels")
def test_every_recurrent_layer_of_a_model_is_listed() -> None:
    shared = elman.RNN(2, 3, num_layers=2)
    mixed = elman.RNN(2, 3, dtype=torch.bfloat16)
    mixed.weight_hh_l0.data = mixed.weight_hh_l0.data.float()
    model = torch.nn.ModuleDict(
        {
            "encoder": shared,
            "linear": torch.nn.Linear(3, 2),
            "again": shared,
            "inner": torch.nn.Sequential(elman.RNNCell(2, 3).half()),
            "meta": elman.RNN(2, 3, device="meta"),
            "mixed": mixed,
            "complex": elman.RNNCell(2, 3).to(torch.complex64),
            "plain": torch.nn.RNN(2, 3),
            "derived": Derived(2, 3),
            "based": Based("LSTM", 2, 3),
            "projected": torch.nn.RNN(2, 3, 1, "tanh", True, False, 0.0, False, 1),
            "base": torch.nn.RNNBase("LSTM", 2, 3),
        }
    )
    widest = isa.available()[0].name
    report = elman.explain(model)
    assert (
        str(report)
        == f"""\
encoder: RNN(2, 3, num_layers=2)
  path     kernel
  dtype    float32
  kernel   {widest}; nothing in memory before the first call
inner.0: RNNCell(2, 3)
  path     kernel
  dtype    float32 arithmetic for float16 weights
  kernel   {widest}; nothing in memory before the first call
meta: RNN(2, 3)
  path     torch, because a tensor is on meta, kernels run on the CPU
  dtype    float32
mixed: RNN(2, 3)
  path     reference, because tensors are of both torch.bfloat16 and torch.float32
  dtype    bfloat16 and float32
  time     one step after another, because product.h(state.h) is not affine in the states
complex: RNNCell(2, 3)
  path     torch, because there are no kernels for torch.complex64
  dtype    complex64
plain: RNN(2, 3)
  path     torch.nn, because elman.accelerate, which takes it, was not called
derived: Derived(2, 3)
  path     torch.nn, because elman.accelerate leaves it: Derived is a subclass of torch.nn.RNN, \
and may compute something else: if it only calls super().forward, name it in subclasses=[Derived]
based: Based(2, 3)
  path     torch.nn, because elman.accelerate leaves it: Based is a subclass of torch.nn.RNNBase, \
and may compute something else: write its step as an elman.Cell
projected: RNN(2, 3, proj_size=1)
  path     torch.nn, because elman.accelerate leaves it: only LSTM projects its state (proj_size=1)
base: RNNBase(2, 3)
  path     torch.nn, because elman.accelerate leaves it: elman has no RNNBase
isa        {report.isa}
threads    {report.threads}
cache      {report.cache}"""
    )
    kinds = {name: type(layer) for name, layer in elman.accelerate(model).named_children()}
    for row in report.layers:
        if row.path == "torch.nn":
            assert (kinds[row.name] is elman.RNN) == ("takes it" in row.reason)


def test_a_model_without_recurrent_layers_has_nothing_to_explain() -> None:
    assert str(elman.explain(torch.nn.Linear(2, 3))) == "no recurrent layer in this module"


def test_kernels_are_reported_with_their_origin(no_kernels: Callable[[], None]) -> None:
    rnn = elman.RNN(2, 3)

    def reported() -> dict[str, str]:
        (row,) = elman.explain(rnn).layers
        return row.kernels

    for origin in ("compiled", "disk"):
        assert reported() == {}
        rnn(torch.rand(4, 2, 2))[0].sum().backward()
        assert reported() == {"train": origin, "backward": origin}
        with torch.no_grad():
            rnn(torch.rand(4, 1, 2))
        expected = {"train": origin, "backward": origin, "infer, one row": origin}
        assert reported() == expected
        no_kernels()
    elman.RNN(2, 4)(torch.rand(4, 2, 2))
    elman.RNN(2, 3, dtype=torch.float64)(torch.rand(4, 2, 2, dtype=torch.float64))
    elman.RNN(2, 3, nonlinearity="relu")(torch.rand(4, 2, 2))
    assert reported() == {}  # those are other kernels
    elman.RNN(2, 3).half()(torch.rand(4, 2, 2).half())
    assert list(reported()) == ["train"]  # and this is the same
    for other in isa.available()[1:]:
        with set_isa(other.name):
            (row,) = elman.explain(rnn).layers
        assert (row.isa, row.kernels) == (other.name, {})


def test_the_cache_and_the_threads_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ELMAN_CACHE_DIR", "off")
    report = elman.explain(elman.RNN(2, 3))
    assert report.cache == "object cache off: ELMAN_CACHE_DIR is 'off'"
    assert report.threads.startswith("one thread: torch")  # one is all that these tests allow
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "none"))
    expected = f"object cache: {tmp_path / 'none'}, 0 files, 0.0 of 64 MiB"
    assert elman.explain(elman.RNN(2, 3)).cache == expected


# What a kernel cannot do: how the layer is made or called, and why in words.
IMPOSSIBLE: dict[str, tuple[Callable[[Any], Any], Any, str]] = {
    "device": (lambda rnn: rnn.to("meta"), "meta", "a tensor is on meta, kernels run on the CPU"),
    "dtype": (
        lambda rnn: rnn.to(torch.complex64),
        torch.complex64,
        "there are no kernels for torch.complex64",
    ),
}


@COMPLEX
@pytest.mark.parametrize(("change", "to", "why"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
@pytest.mark.parametrize(("make", "shape"), [(elman.RNN, (4, 2, 2)), (elman.RNNCell, (2, 2))])
def test_a_kernel_that_cannot_run_says_why(
    make: type, shape: tuple[int, ...], change: Callable[[Any], Any], to: Any, why: str
) -> None:
    module, x = change(make(2, 3)), torch.rand(shape).to(to)
    (row,) = elman.explain(module).layers
    assert (row.path, row.reason) == ("torch", why)
    result = module(x)
    result = result[0] if isinstance(result, tuple) else result
    assert (result.dtype, result.device) == (x.dtype, x.device)
    with elman.set_path("kernel"):
        (row,) = elman.explain(module).layers
        assert (row.path, row.reason) == ("none", f"set_path('kernel'), but {why}")
        with pytest.raises(elman.PathError) as caught:
            module(x)
        assert str(caught.value) == row.reason


@pytest.mark.usefixtures("no_executable_memory")
def test_a_system_without_executable_memory_runs_no_kernel_and_says_so() -> None:
    rnn, why = elman.RNN(2, 3), "this system refuses executable memory (test)"
    (row,) = elman.explain(rnn).layers
    assert (row.path, row.reason, row.isa) == ("torch", why, "")
    (row,) = elman.explain(elman.GRU(2, 3, reset_after=False)).layers
    assert (row.path, row.reason, row.isa) == ("reference", why, "")
    assert rnn(torch.rand(4, 1, 2))[0].shape == (4, 1, 3)
    with elman.set_path("kernel"), pytest.raises(elman.PathError) as caught:
        rnn(torch.rand(4, 1, 2))
    assert str(caught.value) == f"set_path('kernel'), but {why}"


AVX2, AVX512 = (isa.by_name(name).needs for name in ("avx2", "avx512"))
LACKS = "for which the processor or the operating system lacks"
EVERY = ", ".join(AVX512)
NO_COUPLES = f"not avx512bf16, {LACKS} avx512bf16"
PROCESSORS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "avx512bf16": ("x86_64-unknown-linux-gnu", ("avx512bf16", *AVX512), "avx512bf16"),
    "avx512": ("x86_64-unknown-linux-gnu", AVX512, f"avx512; {NO_COUPLES}"),
    "windows": ("amd64-pc-windows-msvc", AVX512, f"avx512; {NO_COUPLES}"),
    "knights landing": (
        "x86_64-unknown-linux-gnu",
        (*AVX2, "avx512f", "avx512cd", "avx512er"),
        f"avx2; {NO_COUPLES}, avx512bw, avx512dq, avx512vl; "
        f"not avx512, {LACKS} avx512bw, avx512dq, avx512vl",
    ),
    "avx2": (
        "x86_64-unknown-linux-gnu",
        AVX2,
        f"avx2; {NO_COUPLES}, avx512bw, avx512cd, avx512dq, avx512f, avx512vl; "
        f"not avx512, {LACKS} avx512bw, avx512cd, avx512dq, avx512f, avx512vl",
    ),
    "avx2 without fma": (
        "x86_64-apple-darwin",
        tuple(f for f in AVX512 if f != "fma"),
        f"sse2; {NO_COUPLES}, fma; not avx512, {LACKS} fma; not avx2, {LACKS} fma",
    ),
    "avx": (
        "x86_64-unknown-linux-gnu",
        ("sse2", "avx", "popcnt"),
        f"sse2; {NO_COUPLES}, {EVERY.removesuffix(', popcnt')}; "
        f"not avx512, {LACKS} {EVERY.removesuffix(', popcnt')}; "
        f"not avx2, {LACKS} {', '.join(AVX2[:-1])}",
    ),
    "nothing known": (
        "x86_64-unknown-linux-gnu",
        (),
        f"sse2; {NO_COUPLES}, {EVERY}; not avx512, {LACKS} {EVERY}; "
        f"not avx2, {LACKS} {', '.join(AVX2)}",
    ),
    "graviton": ("aarch64-unknown-linux-gnu", ("neon", "sve"), "neon"),
    "apple": ("arm64-apple-darwin", (), "neon"),
}


@pytest.mark.parametrize(("triple", "features", "said"), PROCESSORS.values(), ids=PROCESSORS)
def test_a_processor_gets_its_widest_instruction_set(processor, triple, features, said) -> None:
    processor(triple, *features)
    report = elman.explain(elman.RNN(2, 3))
    assert report.isa == said
    assert (report.layers[0].path, report.layers[0].isa) == ("kernel", said.partition(";")[0])
    with set_isa(isa.available()[-1].name):
        assert elman.explain(elman.RNN(2, 3)).isa.endswith(", forced by set_isa")


@pytest.mark.parametrize("machine", ["riscv64", "powerpc64le", "s390x", "i686", "aarch64_be"])
def test_a_processor_without_kernels_runs_torchs_operator_and_says_so(processor, machine) -> None:
    processor(f"{machine}-unknown-linux-gnu", "sse2", "avx2", "fma")
    rnn = elman.RNN(2, 3)
    why = f"there are no kernels for {machine} processors, only for aarch64 and x86_64"
    report = elman.explain(rnn)
    assert report.isa == f"none: {why}"
    assert (report.layers[0].path, report.layers[0].reason) == ("torch", why)
    assert rnn(torch.rand(4, 1, 2))[0].shape == (4, 1, 3)
    with elman.set_path("kernel"), pytest.raises(elman.PathError, match=why):
        rnn(torch.rand(4, 1, 2))
    with pytest.raises(elman.PathError, match="cannot run ISA 'sse2', only"), set_isa("sse2"):
        pass


def test_the_instruction_set_of_this_processor_runs_what_it_needs() -> None:
    """LLVM knows every name in the table: a misspelt one would never be found."""
    from llvmlite import binding

    known = binding.get_host_cpu_features()
    for row in isa.of_this_kind():
        assert set(row.needs) <= set(known)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's forward mode
def test_a_forced_kernel_is_named_by_what_it_lacks_in_a_call() -> None:
    rnn, x = elman.RNN(2, 3), torch.rand(4, 1, 2)
    with elman.set_path("kernel"), pytest.raises(elman.PathError, match="functorch transform"):
        torch.func.jvp(lambda x: rnn(x)[0], (x,), (x,))


def current_path() -> str:
    (row,) = elman.explain(elman.RNN(2, 3)).layers
    return row.path


def test_paths_nest_and_end_with_their_contexts() -> None:
    with elman.set_path("reference"):
        assert current_path() == "reference"
        with elman.set_path("kernel"):
            assert current_path() == "kernel"
            with elman.set_path("auto"), contextlib.suppress(ZeroDivisionError):
                with elman.set_path("reference"):
                    assert current_path() == "reference"
                    raise ZeroDivisionError
            assert current_path() == "kernel"
        (row,) = elman.explain(elman.RNN(2, 3)).layers
        assert (row.path, row.reason, row.isa) == ("reference", "set_path('reference')", "")
    assert current_path() == "kernel"


def test_a_path_is_the_threads_that_chooses_it() -> None:
    with elman.set_path("reference"), concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert (current_path(), pool.submit(current_path).result()) == ("reference", "kernel")


def test_a_path_decorates_functions() -> None:
    assert elman.set_path("reference")(current_path)() == "reference"


def test_a_forced_reference_runs_where_a_kernel_could(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x, calls = elman.RNN(2, 3), torch.rand(4, 2, 2), []
    run = NativeCall.run
    monkeypatch.setattr(NativeCall, "run", lambda *a: (calls.append(1), run(*a)))
    for path, count in (("reference", 0), ("kernel", 1), ("auto", 2)):
        with elman.set_path(path):
            rnn(x)
        assert len(calls) == count


@pytest.mark.parametrize("path", ["fast", "", None])
def test_an_unknown_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError) as caught, elman.set_path(path):
        pass
    expected = f"path must be one of ('auto', 'kernel', 'torch', 'reference'), got {path!r}"
    assert str(caught.value) == expected
    assert current_path() == "kernel"
