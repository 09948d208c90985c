"""The tasks there are, by the format that `config.json` names: what answers, and what is done."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .jobs.job import Job
    from .models.base import TrainedModel


class Task(NamedTuple):
    """The classes of a task, each as "module:class": only what is needed is imported."""

    model: str
    job: str


TASKS = {
    "elman sequence classifier": Task(
        "models.classifier:TrainedClassifier",
        "jobs.classify:Classify",
    ),
    "elman sequence regressor": Task(
        "models.regressor:TrainedRegressor",
        "jobs.classify:Regress",
    ),
    "elman sequence tagger": Task(
        "models.tagger:TrainedTagger",
        "jobs.tag:Tag",
    ),
    "elman sequence language model": Task(
        "models.language:TrainedLanguageModel",
        "jobs.lm:Foretell",
    ),
    "elman sequence series classifier": Task(
        "models.series:TrainedSeriesClassifier",
        "jobs.series:Recognise",
    ),
    "elman sequence series regressor": Task(
        "models.series:TrainedSeriesRegressor",
        "jobs.series:Recognise",
    ),
    "elman sequence forecaster": Task(
        "models.forecaster:TrainedForecaster",
        "jobs.forecast:Forecast",
    ),
}


def model_class(format: str) -> type[TrainedModel]:
    """What opens a folder of a format and answers."""
    return _found(TASKS[format].model)


def job_class(model: TrainedModel) -> type[Job[Any, Any]]:
    """What judges a model."""
    return _found(TASKS[model.FORMAT].job)


def _found(name: str) -> Any:
    module, _, kind = name.partition(":")
    return getattr(import_module(f".{module}", __package__), kind)
