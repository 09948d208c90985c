"""Sequence models that are trained and used: the estimators behind elman's command line.

Needs the extra `tasks`, which brings skorch, scikit-learn, safetensors, typer and rich.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

INSTALL = 'pip install "elman[tasks]"'
NEEDED = ("rich", "safetensors", "sklearn", "skorch", "typer")


def _missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except (ImportError, ValueError):  # refused by an import hook; half imported
        return True


if any(_missing(name) for name in NEEDED):
    raise ImportError(
        f"elman.tasks needs {', '.join(name for name in NEEDED if _missing(name))}: {INSTALL}"
    )

from .errors import TaskError  # noqa: E402

if TYPE_CHECKING:
    from .classifier import SequenceClassifier
    from .data.history import History
    from .forecaster import SequenceForecaster
    from .language_model import LanguageModel
    from .models.opening import load_model
    from .regressor import SequenceRegressor
    from .series import SeriesClassifier, SeriesRegressor
    from .tagger import SequenceTagger

__all__ = [
    "History",
    "LanguageModel",
    "SequenceClassifier",
    "SequenceForecaster",
    "SequenceRegressor",
    "SequenceTagger",
    "SeriesClassifier",
    "SeriesRegressor",
    "TaskError",
    "load_model",
]


# Not before they are asked for: scikit-learn takes a second, `elman --help` needs none.
_LATER = {
    "History": ".data.history",
    "LanguageModel": ".language_model",
    "SequenceClassifier": ".classifier",
    "SequenceForecaster": ".forecaster",
    "SequenceRegressor": ".regressor",
    "SequenceTagger": ".tagger",
    "SeriesClassifier": ".series",
    "SeriesRegressor": ".series",
    "load_model": ".models.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
