"""A net whose model is a mean of the weights it had while it learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .net import SequenceNet


class AveragingNet(SequenceNet):
    """`averaging` is the share that the mean of all weights so far keeps at each step.

    That mean is judged, and is what remains. 0: there is none, and the last weights are.
    """

    def __init__(self, *args: Any, averaging: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.averaging = averaging
        self._average: list[AveragedModel] = []  # none or one: skorch trains modules that are set

    def initialize(self) -> AveragingNet:
        """Begin anew: new weights, whose mean they are."""
        super().initialize()
        if self.averaging:
            self._average = [AveragedModel(self.module_, multi_avg_fn=self._follow).eval()]
        return self

    def infer(self, x: Any, **_: Any) -> Any:
        """What the module, or the mean, says of this rank's part of the batch."""
        return self.judged(torch.is_grad_enabled())(x.packed)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Let the mean follow the weights."""
        super().on_batch_end(net, training=training, **kwargs)
        for mean in self._average if training else ():
            mean.update_parameters(self.module_)

    def _follow(self, mean: Any, weights: Any, steps: Any) -> None:
        """The first weights are forgotten sooner, as there are few others."""
        share = min(self.averaging, 1 - 2 / (2 + float(steps)))
        get_ema_multi_avg_fn(share)(mean, weights, steps)

    def judged(self, training: bool) -> Any:
        """The module that learns or, to be judged, the mean."""
        return self.module_ if training or not self._average else self._average[0].module

    def judged_weights(self) -> dict[str, Tensor]:
        """The mean, if there is one."""
        found: dict[str, Tensor] = self.judged(False).state_dict()
        return found

    def lasting(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds beside what every net's does: the mean."""
        means = [("average", mean.state_dict()) for mean in self._average]
        return super().lasting() | dict(means)

    def resume_from(self, lasting: Mapping[str, dict[str, Tensor]]) -> None:
        """Take up the mean as well."""
        super().resume_from(lasting)
        for mean in self._average:
            mean.load_state_dict(lasting["average"])


def averaged(averaging: float, weight_decay: float) -> dict[str, Any]:
    """The arguments of a net that AdamW trains, and whose model is the mean of its weights."""
    return {
        "averaging": float(averaging),
        "optimizer": torch.optim.AdamW,
        "optimizer__weight_decay": float(weight_decay),
    }
