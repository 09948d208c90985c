"""What every task's estimator shares: how it is trained, and the folder it is saved in.

A task is a subclass, of this and of the trained model in `models/` that answers. It says how data
becomes rows of numbers, and what its net needs to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from .errors import TaskError
from .models import folder as model_folder
from .models.base import TrainedModel
from .models.config import write_parameters
from .networks.layers import layer_name
from .training.checkpoint import Checkpoint, check_folder
from .training.net import SequenceNet, make_net
from .training.ranks import rank
from .training.run import run_training, surroundings

#: Parameters that say nothing of the result.
OF_PYTHON = ("verbose", "warm_start")


class _Before(NamedTuple):
    """A training that another goes on from, and what that one's record says of it."""

    net: SequenceNet
    training: dict[str, Any]
    told: dict[str, Any]


class SequenceEstimator(BaseEstimator, TrainedModel):
    """A model that can be trained; see `SequenceClassifier` for the parameters."""

    NET: ClassVar[type[SequenceNet]]
    READS: ClassVar[tuple[str, ...]] = ("string", "one_d_array")  # scikit-learn's tags of the input
    STEPS: ClassVar[int]  # of a training, about, if `epochs` is None
    EPOCHS: ClassVar[tuple[int, int]]  # the fewest and the most that this may be
    MOST: ClassVar[int] = 2**31  # texts, or what else there is, that an epoch has

    net_: SequenceNet

    # -- what a task says

    def _net_options(self, *options: Any) -> dict[str, Any]:
        """The net's arguments of its own kind."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        for name in ("string", "one_d_array", "two_d_array", "three_d_array", "allow_nan"):
            setattr(tags.input_tags, name, name in self.READS)
        return tags

    # -- parameters

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Keep what `__init__` was given, by name: its `locals()`."""
        for name in self._parameter_names():
            setattr(self, name, given[name])

    # -- training

    def _may_begin(self, valid: Any, folder: str | Path | None, resume: bool) -> None:
        """Refuses a training that can't be, before its data are read."""
        self._check_parameters()
        if self.patience is not None and valid is None:
            raise TaskError("patience needs held-out data to be measured on; give fit valid=.")
        check_folder(folder, resume)

    def _train(
        self,
        train: Any,
        data: Mapping[str, Any],
        held_out: Any,
        callbacks: Iterable[tuple[str, Callback]],
        folder: str | Path | None,
        checkpoint_seconds: float,
        *options: Any,
    ) -> None:
        """Train a new net, or resume it; `options` are those of `_net_options`."""
        with self._shown(callbacks) as every:
            before = self._trained_before()
            self.net_ = self._net(held_out, every, *options)
            self.net_.batch_size = self._texts_a_step(len(train))
            self.net_.max_epochs = self._passes(len(train))
            begun = {} if before is None else {"began_from": before.told}
            self.training_ = {**surroundings(), "data": data, **begun}
            checkpoint = None
            if folder is not None:
                self._learned()  # can it be saved?
                run = {**self._as_json(), **data, **begun}
                checkpoint = Checkpoint(folder, run, checkpoint_seconds)
            try:
                weights = None if before is None else before.net.module_.state_dict()
                interrupted = run_training(self.net_, train, checkpoint, weights)
            except TaskError:
                if before is not None:
                    self.net_, self.training_ = before.net, before.training
                raise
            self.training_["epochs"] = self.net_.summary()
            if folder is not None and rank() == 0:
                self.save(folder)
            if interrupted:
                raise KeyboardInterrupt("the training was interrupted")
            if checkpoint is not None:
                checkpoint.remove()

    @contextmanager
    def _shown(self, callbacks: Iterable[tuple[str, Callback]]) -> Iterator[list[Any]]:
        """The callbacks, and a progress bar, unless there is one or none is wanted."""
        from rich.console import Console

        from .training.progress import ProgressBar

        every = list(callbacks)
        given = any(isinstance(callback, ProgressBar) for _, callback in every)
        if given or not self.verbose or rank():
            yield every
            return
        bar = ProgressBar(Console(stderr=True), layer_name(self.cell, self.backend))
        try:
            yield [*every, ("progress", bar)]
        finally:
            bar.stop()
            for name in ("callbacks", "callbacks_"):  # it belongs to this training alone
                if kept := getattr(getattr(self, "net_", None), name, None):
                    setattr(self.net_, name, [one for one in kept if one[1] is not bar])

    def _goes_on(self) -> bool:
        """Whether `fit` begins with what was learned before."""
        return self.warm_start and hasattr(self, "net_")

    def _trained_before(self) -> _Before | None:
        """What a warm start begins from, if this is one."""
        if not self._goes_on():
            return None
        kept = ("command", "data")
        told = {name: value for name, value in self.training_.items() if name in kept}
        return _Before(self.net_, self.training_, told)

    def _texts_a_step(self, texts: int) -> int:
        """The size of a batch, where there are so many texts."""
        return self.batch_size

    def _passes(self, texts: int) -> int:
        """How many epochs there are, over so many texts; if not given, for about `STEPS` steps."""
        if self.epochs is not None:
            return self.epochs
        fewest, most = self.EPOCHS
        steps = -(-min(texts, self.MOST) // self.batch_size)
        return max(fewest, min(most, round(self.STEPS / steps)))

    def _draw_seed(self) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        if isinstance(self.random_state, (int, np.integer)):
            self.seed_ = int(self.random_state)

    def _net(
        self,
        valid: Any = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        *options: Any,
        **named: Any,
    ) -> SequenceNet:
        return make_net(
            self.NET,
            *self._made_of(),
            epochs=self.epochs or 1,
            batch_size=self.batch_size,
            lr=self.lr,
            patience=self.patience,
            seed=self.seed_,
            valid=valid,
            callbacks=callbacks,
            **self._net_options(*options, **named),
        )

    # -- the network

    def _check_fitted(self) -> None:
        check_is_fitted(self, "net_")

    @property
    def network(self) -> Any:
        self._check_fitted()
        return self.net_.module_.eval()

    def _new_network(self) -> torch.nn.Module:
        self.net_ = self._net()
        self.net_.learns = False  # until `partial_fit` is called
        self.net_.initialize()
        module: torch.nn.Module = self.net_.module_
        return module

    # -- the folder

    def _as_json(self) -> dict[str, Any]:
        """The parameters that decide the result, with the seed that was used."""
        given = {name: v for name, v in self.get_params().items() if name not in OF_PYTHON}
        return write_parameters({**given, "random_state": self.seed_})

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `config.json` into the folder.

        A model that is there already is replaced. `docs/format.md` specifies both files.
        """
        self._check_fitted()
        config = {
            "format": self.FORMAT,
            "version": self.VERSION,
            "parameters": self._as_json(),
            **self._learned(),
            "training": self.training_,
        }
        model_folder.write_folder(folder, self._tensors(self.net_.module_), config)
