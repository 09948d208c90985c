"""`TrainedRegressor`: says a number of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .chain import Chain, scaled
from .config import read_target
from .texts import TrainedTextModel


class TrainedRegressor(TrainedTextModel):
    """What a `SequenceRegressor` knows and answers.

    Beside what every model of texts has: `target_`, the mean and deviation of what was learned.
    """

    FORMAT = "elman sequence regressor"

    target_: tuple[float, float]

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The number of each text, (B,)."""
        outputs = self._outputs(X)  # first: it checks that there is a model
        mean, scale = self.target_
        return outputs[:, 0].double().numpy() * scale + mean

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float | None]]]:
        """The tokens of a text that are read, and its number."""
        return self.read(text), [(f"{self.predict([text])[0]:.6g}", None)]

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        mean, scale = self.target_
        return {"numbers": f"about {mean:.4g}, by {scale:.4g} on average", **super().about()}

    def chain(self) -> Chain:
        """The network as modules one after another, and what their numbers mean."""
        return self._chained("a number", lambda last: [scaled(last, *self.target_)])

    def _learned(self) -> dict[str, Any]:
        return {"target": [*self.target_], **super()._learned()}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.target_ = read_target(field("target", list))
        super()._recall(field)

    def _outputs_a_text(self) -> int:
        return 1
