"""A model of any task, by its folder."""

from __future__ import annotations

from pathlib import Path

from .classifier import SequenceClassifier
from .errors import TaskError
from .estimator import SequenceEstimator
from .folder import CONFIG, read_config
from .forecaster import SequenceForecaster
from .language_model import LanguageModel
from .series_estimator import SeriesClassifier, SeriesRegressor
from .tagger import SequenceTagger

TASKS: dict[str, type[SequenceEstimator]] = {
    task.FORMAT: task
    for task in (
        *(SequenceClassifier, SequenceTagger, LanguageModel),
        *(SeriesClassifier, SeriesRegressor, SequenceForecaster),
    )
}


def load_model(folder: Path) -> SequenceEstimator:
    """The estimator of a folder, of the class that its format names."""
    found = str(read_config(folder)["format"])
    if found not in TASKS:
        raise TaskError(
            f"{folder / CONFIG}: the format is {found!r}, this elman reads {', '.join(TASKS)}; use "
            "the elman that wrote it."
        )
    return TASKS[found].load(folder)
