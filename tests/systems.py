"""What tests ask of the system that they run on, and skip where it has nothing of the kind."""

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest
import torch

from elman.runtime.threads import parallel_address

#: Seconds that a process or a thread may take: a deadlock ends, a busy machine is waited for.
PATIENCE = 1000

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="asks Linux: /proc, mmap, limits, ELF"
)
posix_only = pytest.mark.skipif(os.name != "posix", reason="owners, modes and limits of files")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
#: On Linux torch always brings it: there its absence is a failure.
needs_threads = pytest.mark.skipif(
    sys.platform != "linux" and not parallel_address(),
    reason="torch has no GOMP_parallel here: kernels have one thread",
)


@contextlib.contextmanager
def flushing() -> Iterator[None]:
    """This thread takes denormal numbers for zeros."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
