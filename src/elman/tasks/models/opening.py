"""A saved model of any task, by its folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ..errors import TaskError
from ..folder import CONFIG, read_config
from .base import TrainedModel

#: The class of each format, in this package: only what a model needs is imported.
CLASSES = {
    "elman sequence classifier": "classifier:TrainedClassifier",
    "elman sequence tagger": "tagger:TrainedTagger",
    "elman sequence language model": "language:TrainedLanguageModel",
    "elman sequence series classifier": "series:TrainedSeriesClassifier",
    "elman sequence series regressor": "series:TrainedSeriesRegressor",
    "elman sequence forecaster": "forecaster:TrainedForecaster",
}


def load_model(folder: str | Path) -> TrainedModel:
    """The model of a folder, of the class that its format names.

    It answers as the estimator does that was saved, and opens in half of the time, without
    scikit-learn and skorch. For more training use the estimator's own `load`.

    Raises:
        TaskError: the folder holds no model, or one that doesn't hold together.
    """
    found = str(read_config(folder)["format"])
    if found not in CLASSES:
        raise TaskError(
            f"{Path(folder) / CONFIG}: the format is {found!r}, this elman reads "
            f"{', '.join(CLASSES)}; use the elman that wrote it."
        )
    module, _, name = CLASSES[found].partition(":")
    kind: type[TrainedModel] = getattr(import_module(f".{module}", __package__), name)
    return kind.load(folder)
