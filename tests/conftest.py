"""What holds in every test: a cache of its own, and memory that shows what was read unset."""

import gc
import os
import tempfile
import zlib
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# The cache is chosen when the first kernel is compiled, perhaps by a doctest: before any fixture.
# Processes that share the work share their parent's, so that a kernel is compiled once.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="elman-tests-")
    os.environ["ELMAN_CACHE_DIR"] = _cache.name
    # Nor do threads of one process wait spinning, on cores that another one could use.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

settings.register_profile(
    "elman",
    deadline=None,  # the first example of a shape compiles its kernel
    derandomize="CI" in os.environ,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("elman")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-case", action="store_true", help="run all cases of tests marked `sampled`"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the cases of a test marked ``sampled(n)`` one in n runs, the same ones every time, and at
    least one. Whoever names a test, or says ``--every-case``, gets all."""
    if config.getoption("--every-case") or any("::" in argument for argument in config.args):
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sampled") and hasattr(item, "callspec"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left = {item for group in cases.values() for item in sorted(group, key=_number)[1:]}
    left = {item for item in left if _number(item) % _share(item) != 0}
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


def _number(item: pytest.Item) -> int:
    return zlib.crc32(item.name.encode())


def _share(item: pytest.Item) -> int:
    mark = item.get_closest_marker("sampled")
    return int(mark.args[0]) if mark else 1


def pytest_collection_finish() -> None:
    """What was imported and collected, a million objects, is no garbage: nobody looks again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 50)  # tracing makes many objects that live


@pytest.fixture(scope="session", autouse=True)
def _poisoned_scratch() -> Iterator[None]:
    """What kernels work in and write to starts as NaN: scratch memory, results, gradients."""
    from elman.runtime.memory import set_poison

    set_poison(True)
    yield
    set_poison(False)


@pytest.fixture
def poisoned_tensors() -> Iterator[None]:
    """What torch's operators call uninitialised starts as NaN."""
    assert torch.utils.deterministic.fill_uninitialized_memory
    # The public function also imports the whole of torch.compile, which takes seconds.
    torch._C._set_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch._C._set_deterministic_algorithms(False)


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is put back after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_kernels_in_memory() -> Iterator[None]:
    """A process that has compiled nothing yet; what it had is put back at the end."""
    from elman.launch import kernel_cache

    with kernel_cache.scheduled():
        yield
