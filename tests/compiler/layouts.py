"""Ways for a tensor to lie in memory."""

from torch import Tensor

NAN = float("nan")


def spread(t: Tensor) -> Tensor:
    """Every third number of a larger tensor whose others are NaN."""
    larger = t.new_full((*t.shape, 3), NAN)
    larger[..., 1] = t
    return larger[..., 1]


def shifted(t: Tensor) -> Tensor:
    """Contiguous, but at no address that a vector would like; NaN around it."""
    larger = t.new_full((t.numel() + 2,), NAN)
    larger[1:-1] = t.flatten()
    return larger[1:-1].view(t.shape)


def inside(t: Tensor) -> Tensor:
    """A block of a tensor that is larger in every dimension, with NaN around it."""
    larger = t.new_full([n + 2 for n in t.shape], NAN)
    block = larger[tuple(slice(1, n + 1) for n in t.shape)]
    return block.copy_(t)


def turned(t: Tensor) -> Tensor:
    """Dimensions in memory in the opposite order."""
    order = tuple(reversed(range(t.dim())))
    return t.permute(order).contiguous().permute(order)


def repeated(t: Tensor) -> Tensor:
    """One number of each innermost row for all of it, with a stride of zero."""
    return t[..., :1].expand(t.shape)


def same_rows(t: Tensor) -> Tensor:
    """The first part for all along the first dimension: a stride of zero there."""
    return t[:1].expand(t.shape)
