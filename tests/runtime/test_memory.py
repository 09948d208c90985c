"""Scratch memory: alignment, size, poison, lifetime."""

import ctypes
import itertools
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch

from elman.runtime import memory
from elman.runtime.alignment import ALIGNMENT
from elman.runtime.large import fresh
from elman.runtime.memory import SMALL, scratch, set_poison


@pytest.fixture(autouse=True)
def _restore_poison() -> Iterator[None]:
    before = memory._poison
    yield
    set_poison(before)


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 1 << 20])
def test_is_aligned_and_all_within_its_owner(nbytes: int) -> None:
    owner, address = scratch(nbytes)
    start = owner.data_ptr()
    assert address % ALIGNMENT == 0
    assert start <= address
    assert address + nbytes <= start + owner.nbytes()


def test_poison_is_nan_in_every_byte_until_switched_off() -> None:
    set_poison(True)
    owner, address = scratch(1001)
    assert ctypes.string_at(address, 1001) == b"\xff" * 1001
    values = torch.frombuffer(bytearray(ctypes.string_at(address, 1000)), dtype=torch.float32)
    assert values.isnan().all()
    set_poison(False)
    ctypes.memset(address, 0, 1001)
    del owner
    owners = [scratch(1001) for _ in range(8)]
    assert any(ctypes.string_at(a, 1001) != b"\xff" * 1001 for _, a in owners)


def test_large_blocks_alive_together_do_not_overlap() -> None:
    blocks = [scratch(SMALL + 1) for _ in range(50)]
    starts = sorted(address for _, address in blocks)
    assert all(after - before > SMALL for before, after in itertools.pairwise(starts))


def test_small_blocks_are_the_threads_own() -> None:
    _, mine = scratch(100)
    found: list[int] = []
    other = threading.Thread(target=lambda: found.extend(scratch(100)[1] for _ in range(2)))
    other.start()
    other.join()
    assert scratch(SMALL)[1] == mine
    assert found[0] == found[1]
    assert abs(found[0] - mine) >= SMALL


def test_a_large_block_is_freed_with_its_owner() -> None:
    owner, _ = scratch(SMALL + 1)
    reference = weakref.ref(owner)
    del owner
    assert reference() is None


def test_modes_that_redirect_new_tensors_have_no_say() -> None:
    with torch.device("meta"):
        owner, address = scratch(100)
    assert owner.device.type == "cpu"
    assert address != 0


def test_large_blocks_ask_for_the_huge_pages_that_lie_inside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(memory, "_madvise", lambda: lambda *numbers: asked.append(numbers))
    scratch(memory.LARGE - 1)
    assert not asked
    _, address = scratch(5 << 20)
    tensor = fresh(torch.empty(5 << 20, dtype=torch.uint8))
    for (first, nbytes, advice), start in zip(asked, (address, tensor.data_ptr()), strict=True):
        assert first % (2 << 20) == nbytes % (2 << 20) == 0
        assert start <= first
        assert first + nbytes <= start + (5 << 20)
        assert nbytes >= 2 << 20
        assert advice == 14
