"""Trainings for processes of their own, where they can be interrupted and killed."""

import math
import os
import signal
import time

import numpy as np
import torch
from skorch.callbacks import Callback

from elman.tasks import (
    LanguageModel,
    SequenceClassifier,
    SequenceForecaster,
    SequenceTagger,
    SeriesClassifier,
    SeriesRegressor,
)
from tests.tasks import plain_rows, series_rows, tagged_rows, wave_rows
from tests.tasks.rows import make_rows

EACH = None

SETTINGS = {
    "embedding_size": 8,
    "hidden_size": 8,
    "num_layers": 2,
    "dropout": 0.2,
    "epochs": 4,
    "batch_size": 16,
    "lr": 0.02,
    "class_weight": "balanced",
}


class At(Callback):
    """Does something at the end of one of the steps, or of each."""

    def __init__(self, step, act):
        self.step, self.act, self.done = step, act, 0

    def on_batch_end(self, net, **_):
        self.done += 1
        if self.step in (self.done, EACH):
            self.act()


class PoisonAt(Callback):
    """Weights that are no numbers, after so many steps of training."""

    def __init__(self, step):
        self.left = step

    def on_batch_end(self, net, training=False, **kwargs):
        self.left -= training
        if not self.left:
            net.module_.output.bias.data.fill_(math.nan)


def interrupt():
    """What Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def train(settings, folder=None, *, resume=False, callbacks=()):
    """A model of the same texts each time, with checkpoints as often as possible."""
    torch.set_num_threads(1)
    model = SequenceClassifier(**{**SETTINGS, **settings})
    return model.fit(
        *make_rows(120),
        valid=make_rows(40, seed=1),
        callbacks=callbacks,
        folder=folder,
        resume=resume,
        checkpoint_seconds=0,
    )


def train_on(settings, folder, steps):
    """Resume, and be killed after so many steps."""
    kill = At(steps, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(settings, folder, resume=True, callbacks=[("kill", kill)])


def train_slowly(settings, folder):
    """Resume, and take at least a fiftieth of a second for every step."""
    train(settings, folder, resume=True, callbacks=[("sleep", At(EACH, lambda: time.sleep(0.02)))])


def train_on_until_a_write_is_cut(settings, folder, writes):
    """Resume, and be killed when half of a file is written, of so many files."""
    left = iter(range(writes))

    def fsync(file, real=os.fsync):
        if next(left, None) is None:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        real(file)

    os.fsync = fsync
    train(settings, folder, resume=True)


TASKS = {
    "tag": (
        SequenceTagger,
        {**tagged_rows.SETTINGS, "epochs": 3, "batch_size": 16, "dropout": 0.2},
        lambda: tagged_rows.make_tagged(80),
        lambda: tagged_rows.make_tagged(20, seed=1),
    ),
    "auxiliary": (
        SequenceTagger,
        {**tagged_rows.SETTINGS, "epochs": 3, "batch_size": 16, "repeats": True},
        lambda: with_auxiliary(tagged_rows.make_tagged(80)),
        lambda: tagged_rows.make_tagged(20, seed=1),
    ),
    "lm": (
        LanguageModel,
        plain_rows.SETTINGS,
        lambda: ([plain_rows.make_text(40)],),
        lambda: [plain_rows.make_text(10, seed=1)],
    ),
    "series": (
        SeriesClassifier,
        {**series_rows.SETTINGS, "epochs": 3, "dropout": 0.2},
        lambda: series_rows.make_series(40),
        lambda: series_rows.make_series(15, seed=1),
    ),
    "regression": (
        SeriesRegressor,
        {**series_rows.SETTINGS, "epochs": 3, "dropout": 0.2},
        lambda: numbered(series_rows.make_series(40)),
        lambda: numbered(series_rows.make_series(15, seed=1)),
    ),
    "forecast": (
        SequenceForecaster,
        {"horizon": 4, "season": 4, "hidden_size": 8, "epochs": 3, "lr": 0.02},
        lambda: ([one[:60] for one in wave_rows.make_waves(3)],),
        lambda: wave_rows.make_waves(3),
    ),
    "counts": (
        SequenceForecaster,
        {
            "horizon": 4,
            "season": 4,
            "hidden_size": 8,
            "epochs": 3,
            "lr": 0.02,
            "distribution": "negative-binomial",
        },
        lambda: ([one[:60] for one in wave_rows.make_counts(3)],),
        lambda: wave_rows.make_counts(3),
    ),
}


def with_auxiliary(rows):
    """Texts, spans and auxiliary tags."""
    return *rows, tagged_rows.make_auxiliary(rows[0])


def numbered(rows):
    """Series, and a number of each in place of its label."""
    series, _ = rows
    return series, [float(np.nanmean(one[0])) for one in series]


def train_task(task, settings, folder=None, *, resume=False, callbacks=()):
    """A model of a task, of the same data each time, with checkpoints as often as possible."""
    torch.set_num_threads(1)
    kind, small, learn, held_out = TASKS[task]
    return kind(**{**small, **settings}).fit(
        *learn(),
        valid=held_out(),
        callbacks=callbacks,
        folder=folder,
        resume=resume,
        checkpoint_seconds=0,
    )


def train_task_on(task, settings, folder, steps):
    """Resume, and be killed after so many steps."""
    kill = At(steps, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train_task(task, settings, folder, resume=True, callbacks=[("kill", kill)])
