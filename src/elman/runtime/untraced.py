"""Python functions that Dynamo does not look into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_F = TypeVar("_F", bound=Callable[..., object])


def untraced(function: _F) -> _F:
    """Has Dynamo run the function, and all that it calls, as it is.

    Where a graph breaks, Dynamo looks into every function that Python runs then.
    ``torch.compiler.disable`` does the same, but imports all of Dynamo, which takes a second.
    """
    frames: Any = torch._C._dynamo.eval_frame
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    else:  # torch 2.5
        frames.skip_code(function.__code__)
    return function
