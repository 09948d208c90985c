"""A callback of Lightning's."""

from __future__ import annotations

import sys
from typing import Any

import elman

if "lightning.pytorch" not in sys.modules and "pytorch_lightning" in sys.modules:
    from pytorch_lightning import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback


class AccelerateLightning(Callback):
    """Makes the recurrent layers of a LightningModule elman's before it is trained or asked.

    It serves ``lightning.pytorch`` and ``pytorch_lightning``. Checkpoints are the same with it and
    without.

    Args:
        subclasses: as in :func:`elman.accelerate`.
    """

    def __init__(self, subclasses: Any = ()) -> None:
        super().__init__()
        self.subclasses = tuple(subclasses)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Accelerates the module; Lightning calls it before it makes the optimizers."""
        elman.accelerate(pl_module, subclasses=self.subclasses)
