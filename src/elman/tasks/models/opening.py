"""A saved model of any task, by its folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import TaskError
from ..registry import TASKS, model_class
from .base import TrainedModel
from .folder import CONFIG, read_config


def load_model(folder: str | Path) -> TrainedModel:
    """The model of a folder, of the class that its format names.

    It answers as the estimator does that was saved, and opens in half of the time, without
    scikit-learn and skorch. For more training use the estimator's own `load`.

    Args:
        folder: where the estimator's `save`, or the command line, has written it.

    Returns:
        The model: it has the methods of its estimator that answer, such as `predict`.

    Raises:
        TaskError: the folder holds no model, or one that doesn't hold together.

    >>> import tempfile
    >>> from elman.tasks import SequenceRegressor, load_model
    >>> texts, stars = ["good", "bad"] * 6, [5.0, 1.0] * 6
    >>> small = SequenceRegressor(embedding_size=4, hidden_size=4, ngrams=0, epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small.fit(texts, stars).save(f"{folder}/model")
    ...     load_model(f"{folder}/model").predict(["good", "bad"]).shape
    (2,)
    """
    found = str(read_config(folder)["format"])
    if found not in TASKS:
        raise TaskError(
            f"{Path(folder) / CONFIG}: the format is {found!r}, this elman reads "
            f"{', '.join(TASKS)}; use the elman that wrote it."
        )
    return model_class(found).load(folder)
