"""What jobs share whose texts or series have labels, or a number each: scores and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..data.values import label_name
from ..models.answers import Numbered
from ..report.deviation import Deviation
from ..report.evaluation import Evaluation, evaluate
from ..report.pictures import save_losses, save_pictures
from ..report.several import SeveralLabels, evaluate_several
from ..report.tables import show_evaluation, show_several
from .job import Data, Job, Model

Found = Evaluation | SeveralLabels | Deviation


class OfRows(Job[Model, Data]):
    """Texts or series, and what is known of each."""

    def score(self, model: Any, rows: Any) -> Found:
        """What a model is worth on some rows."""
        given, known = rows
        if isinstance(model, Numbered):
            return Deviation(np.asarray(known, np.float64), model.predict(given), self.NOUN)
        chances, labels = model.predict_proba(given), labels_of(model)
        if model.several_:
            return evaluate_several(known, chances, labels, float(model.threshold))
        return evaluate(known, chances, labels, self.NOUN)

    def judge(self, rows: Any, folder: Path, console: Console, trained: bool = False) -> Found:
        found = self.score(self.model, rows)
        folder.mkdir(parents=True, exist_ok=True)
        epochs, pictures = self.model.training_["epochs"] if trained else (), ""
        if isinstance(found, Deviation):
            console.print(found.words())
            pictures = save_losses(folder, epochs, "mean square", predictions=found.draw)
        elif isinstance(found, Evaluation):
            show_evaluation(found, console)
            pictures = save_pictures(folder, found, epochs)
        else:
            show_several(found, console)
            if epochs:
                pictures = save_losses(folder, epochs, "binary cross entropies")
        if pictures:
            console.print(f"\n{pictures}")
        return found


def labels_of(model: Any) -> list[str]:
    """The labels of a model as a file has them."""
    return [label_name(one) for one in model.classes_.tolist()]
