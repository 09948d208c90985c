"""A callback of skorch's."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback

import elman


class AccelerateSkorch(Callback):
    """Makes the recurrent layers of a net's modules elman's when training begins.

    Args:
        subclasses: as in :func:`elman.accelerate`.

    Raises:
        RuntimeError: where a layer is replaced by another module, whose parameters the net's
            optimizer does not know.
    """

    def __init__(self, subclasses: Any = ()) -> None:
        self.subclasses = subclasses

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Accelerates the net's modules."""
        for name in net._modules:
            module = getattr(net, f"{name}_")
            known = {id(p) for p in module.parameters()}
            elman.accelerate(module, subclasses=self.subclasses)
            if any(id(p) not in known for p in module.parameters()):
                raise RuntimeError(
                    "AccelerateSkorch: a layer has parameters now that the net's optimizer does "
                    "not know: leave the callback out, and fit within elman.accelerated()"
                )
