"""The tasks there are: the job of each estimator."""

from typing import Any

from .classify import Classify
from .errors import TaskError
from .forecast import Forecast
from .job import Job
from .lm import Foretell
from .models.base import TrainedModel
from .recognise import Recognise
from .tag import Tag

JOBS: tuple[type[Job[Any, Any]], ...] = (Classify, Tag, Foretell, Recognise, Forecast)


def job_of(model: TrainedModel) -> type[Job[Any, Any]]:
    """The job of a model's task."""
    for job in JOBS:
        if isinstance(model, job.MODEL):
            return job
    raise TaskError(f"There is no task for a {type(model).__name__}.")
