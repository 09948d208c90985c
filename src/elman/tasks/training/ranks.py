"""The processes of a data-parallel training, started by torchrun; a training alone is rank 0 of 1.

Every rank reads the same data and holds the same model. Of each batch it computes the loss and
the gradients of its own share of texts; added up over all ranks they are those of the batch, so
that all take the same step.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from ..errors import TaskError


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the processes that torchrun started; does nothing in any other process."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield
        return
    distributed.init_process_group("gloo")
    yield  # after an error the others may still wait: ending the process is what frees them
    distributed.destroy_process_group()


def together() -> bool:
    """Whether there are other ranks."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """The number of this process; 0 is the one that reports and writes."""
    return distributed.get_rank() if together() else 0


def ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if together() else 1


def add_up(tensors: Iterable[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all ranks, with one message for all of them."""
    if not together():
        return
    tensors = list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    try:
        distributed.all_reduce(flat)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TaskError(f"Another process of this training has ended ({reason}).") from None
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
