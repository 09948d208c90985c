"""What every task's estimator shares: its network, its training, and the folder it is saved in.

A task is a subclass. It says what its parameters mean, how data becomes rows of ids, and how
predictions are read off the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch.overrides import TorchFunctionMode

from . import folder as model_folder
from .checks import Rule, check_parameters
from .errors import TaskError
from .model import Backend, CellLike, layer_name
from .saved import read_parameters, write_parameters
from .training.checkpoint import Checkpoint, check_folder
from .training.net import SequenceNet, make_net
from .training.ranks import rank
from .training.run import run_training, surroundings

#: The parameters that make the network of every task; of those that read texts; in both directions.
LAYERS = ("cell", "hidden_size", "num_layers", "recurrent", "dropout", "backend")
SHARED = (*LAYERS, "embedding_size")
BOTH_WAYS = (*SHARED, "bidirectional", "token_dropout")
#: Parameters that say nothing of the result.
OF_PYTHON = ("verbose", "warm_start")
Self = TypeVar("Self", bound="SequenceEstimator")


class _Unfilled(TorchFunctionMode):
    """Parameters get no values: filling those on "meta" loads torch._dynamo, for over a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class _Before(NamedTuple):
    """A training that another goes on from, and what that one's record says of it."""

    net: SequenceNet
    training: dict[str, Any]
    told: dict[str, Any]


class SequenceEstimator(BaseEstimator):
    """An estimator over a recurrent network; see `SequenceClassifier` for the parameters."""

    FORMAT: ClassVar[str]  # of `config.json`, which names the task
    VERSION: ClassVar[int]
    #: Older versions that can be read, and the values of parameters that they didn't have.
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {}
    NEEDED: ClassVar[frozenset[str]]  # parameters that say what the model is, beside `saved.NEEDED`
    NETWORK: ClassVar[tuple[str, ...]]  # parameters that make the network
    RULES: ClassVar[Mapping[str, Rule]] = {}  # for parameters, beside or instead of `checks.RULES`
    NET: ClassVar[type[SequenceNet]]
    MODULE: ClassVar[type[torch.nn.Module]]

    cell: CellLike
    backend: Backend
    random_state: Any
    epochs: int | None
    batch_size: int
    lr: float
    patience: int | None
    verbose: int = 1
    warm_start: bool = False
    net_: SequenceNet
    seed_: int
    training_: dict[str, Any]

    # -- what a task says

    def _learned(self) -> dict[str, Any]:
        """What was learned beside weights, as JSON."""
        raise NotImplementedError

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        """Take up what `_learned` wrote, from the fields of a config."""
        raise NotImplementedError

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        """The network's arguments that data decides, or the smallest that they may be."""
        raise NotImplementedError

    def _net_options(self, *options: Any) -> dict[str, Any]:
        """The net's arguments of its own kind."""
        raise NotImplementedError

    def _beside(self) -> dict[str, torch.nn.Module]:
        """What was learned beside the network, by name, to be saved with it."""
        return {}

    def look(self, text: str) -> tuple[Sequence[Any], Any]:
        """The tokens of a text that are read, and what the model says of it."""
        raise NotImplementedError

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        raise NotImplementedError

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
            self._run(train, data, held_out, every, folder, checkpoint_seconds, *options)

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

    def _run(
        self,
        train: Any,
        data: Mapping[str, Any],
        held_out: Any,
        callbacks: Iterable[tuple[str, Callback]],
        folder: str | Path | None,
        checkpoint_seconds: float,
        *options: Any,
    ) -> None:
        before = self._trained_before()
        self.net_ = self._net(held_out, callbacks, *options)
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

    def _trained_before(self) -> _Before | None:
        """What a warm start begins from, if this is one."""
        if not (self.warm_start and hasattr(self, "net_")):
            return None
        told = {name: self.training_[name] for name in ("command", "data") if name in self.training_}
        return _Before(self.net_, self.training_, told)

    def _texts_a_step(self, texts: int) -> int:
        """The size of a batch, where there are so many texts."""
        return self.batch_size

    def _passes(self, texts: int) -> int:
        """How many epochs there are, over so many texts."""
        assert self.epochs is not None
        return self.epochs

    def _draw_seed(self) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        if isinstance(self.random_state, (int, np.integer)):
            self.seed_ = int(self.random_state)

    def _check_parameters(self) -> None:
        """Each for itself, and whether they go together: as sizes alone, nothing is allocated."""
        check_parameters(self.get_params(), self.RULES)
        with torch.device("meta"), _Unfilled():
            self.MODULE(**self._sizes(smallest=True), **self._network())

    def _network(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.NETWORK}

    def _net(
        self,
        valid: Any = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        *options: Any,
        **named: Any,
    ) -> SequenceNet:
        return make_net(
            self.NET,
            self.MODULE,
            {**self._sizes(), **self._network()},
            epochs=self.epochs or 1,
            batch_size=self.batch_size,
            lr=self.lr,
            patience=self.patience,
            seed=self.seed_,
            valid=valid,
            callbacks=callbacks,
            **self._net_options(*options, **named),
        )

    # -- the folder

    def _as_json(self) -> dict[str, Any]:
        """The parameters that decide the result, with the seed that was used."""
        given = {name: v for name, v in self.get_params().items() if name not in OF_PYTHON}
        return write_parameters({**given, "random_state": self.seed_})

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `config.json` into the folder.

        A model that is there already is replaced. `docs/format.md` specifies both files.
        """
        check_is_fitted(self, "net_")
        config = {
            "format": self.FORMAT,
            "version": self.VERSION,
            "parameters": self._as_json(),
            **self._learned(),
            "training": self.training_,
        }
        model_folder.write_folder(folder, self._tensors(self.net_.module_), config)

    def _tensors(self, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        """All that `model.safetensors` holds."""
        tensors = dict(network.state_dict())
        for name, module in self._beside().items():
            tensors.update(module.state_dict(prefix=f"{name}."))
        return tensors

    @classmethod
    def load(
        cls: type[Self],
        folder: str | Path,
        *,
        backend: Backend | None = None,
        cell: CellLike | None = None,
    ) -> Self:
        """The estimator that `save` wrote.

        Args:
            folder: its folder.
            backend: in place of the one it was trained with.
            cell: the cell it was trained with, if that is not from `elman.cells`: a folder holds
                no code.

        Raises:
            TaskError: the folder holds no model, one of another task or version, or one that
                doesn't hold together; whatever its files contain, nothing of it is run.
        """
        config = model_folder.read_config(folder, cls.FORMAT, [*cls.OLDER, cls.VERSION])
        try:
            field = partial(model_folder.field, config)
            given = {**cls.OLDER.get(config["version"], {}), **field("parameters", dict)}
            written = read_parameters(given, cls._get_param_names(), cls.NEEDED, cell)
            self = cls(**written)
            if backend is not None:
                self.backend = backend
            self._check_parameters()
            self._recall(field)
            self.seed_ = self.random_state
            self.training_ = field("training", dict) if "training" in config else {}
            sha256 = field("sha256", str)
        except TaskError as error:
            raise TaskError(f"{Path(folder) / model_folder.CONFIG}: {error}") from None
        with torch.device("meta"), _Unfilled():  # sizes alone: a wrong config allocates nothing
            expected = self._tensors(cls.MODULE(**self._sizes(), **self._network()))
        tensors = model_folder.read_weights(folder, sha256, expected)
        self.net_ = self._net()
        self.net_.learns = False  # until `partial_fit` is called
        with torch.random.fork_rng(devices=[]):
            self.net_.initialize()
        for name, module in {"": self.net_.module_, **self._beside()}.items():
            own = {key: tensors[f"{name}.{key}" if name else key] for key in module.state_dict()}
            module.load_state_dict(own, assign=bool(name))
        return self
