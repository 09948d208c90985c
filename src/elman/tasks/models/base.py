"""What every trained model shares: its parameters, its network, and the folder it is read from.

A task is a subclass. It says what its parameters mean, what was learned beside weights, and how
answers are read off the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from ..checks import Rule, check_parameters
from ..errors import TaskError
from ..networks.ensemble import Ensemble
from ..networks.layers import Backend, CellLike
from . import folder as model_folder
from .chain import Chain
from .config import read_parameters

#: The parameters that make the network of every task; of those that read texts; in both directions.
LAYERS = ("cell", "hidden_size", "num_layers", "recurrent", "dropout", "backend")
SHARED = (*LAYERS, "embedding_size")
BOTH_WAYS = (*SHARED, "bidirectional", "token_dropout")
Self = TypeVar("Self", bound="TrainedModel")


class _Unfilled(TorchFunctionMode):
    """Parameters get no values: filling those on "meta" loads torch._dynamo, for over a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class TrainedModel:
    """A trained recurrent network; see `SequenceClassifier` for the parameters.

    The lower-case annotations of a class and its bases that don't end in "_" are its parameters.
    Those with a value here may be missing in a folder.
    """

    FORMAT: ClassVar[str]  # of `config.json`, which names the task
    VERSION: ClassVar[int] = 1
    #: Older versions that can be read, and the values of parameters that they didn't have.
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {}
    NEEDED: ClassVar[frozenset[str]]  # parameters that say what the model is, beside `saved.NEEDED`
    NETWORK: ClassVar[tuple[str, ...]]  # parameters that make the network
    RULES: ClassVar[Mapping[str, Rule]] = {}  # for parameters, beside or instead of `checks.RULES`
    MODULE: ClassVar[type[torch.nn.Module]]
    UNCHAINED: ClassVar[str] = ""  # why it can't be exported, in words

    cell: CellLike
    hidden_size: int | Sequence[int]
    num_layers: int
    recurrent: Mapping[str, Any] | None
    dropout: float = 0.0
    epochs: int | None
    batch_size: int
    lr: float
    patience: int | None
    random_state: Any = 0
    backend: Backend = "elman"
    verbose: int = 1
    warm_start: bool = False

    network_: torch.nn.Module
    seed_: int
    training_: dict[str, Any]

    def __init__(self, **parameters: Any) -> None:
        vars(self).update(parameters)

    @classmethod
    def kind(cls) -> str:
        """What such a model is, in words."""
        return f"a {cls.FORMAT.removeprefix('elman ')}"

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

    def _beside(self) -> dict[str, torch.nn.Module]:
        """What was learned beside the network, by name, to be saved with it."""
        return {}

    def look(self, text: str) -> tuple[Sequence[Any], Any]:
        """The tokens of a text that are read, and what the model says of it."""
        raise NotImplementedError

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        raise NotImplementedError

    def chain(self) -> Chain:
        """The network as modules one after another, and what their numbers mean.

        Raises:
            TaskError: it isn't made of such modules.
        """
        raise TaskError(
            f"{self.kind()} can't be exported, since {self.UNCHAINED}; expected a language model, "
            "or a classifier or regressor of texts or series."
        )

    # -- the network

    def _check_fitted(self) -> None:
        """Refuses to answer before there is a network; an opened model has one."""

    @property
    def network(self) -> Any:
        """The network, ready to answer."""
        return self.network_.eval()

    def _new_network(self) -> torch.nn.Module:
        """Give the model a network, whose weights are still to come."""
        self.network_ = self._module()
        return self.network_

    def _module(self, smallest: bool = False) -> torch.nn.Module:
        kind, options = self._made_of(smallest)
        return kind(**options)

    def _made_of(self, smallest: bool = False) -> tuple[type[torch.nn.Module], dict[str, Any]]:
        """The network's class and its arguments."""
        given = {name: getattr(self, name) for name in self.NETWORK}
        options = {**self._sizes(smallest), **given}
        size = getattr(self, "n_estimators", 1)
        if size == 1:
            return self.MODULE, options
        return Ensemble, {"kind": self.MODULE, "size": int(size), **options}

    def _tensors(self, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        """All that `model.safetensors` holds."""
        tensors = dict(network.state_dict())
        for name, module in self._beside().items():
            tensors.update(module.state_dict(prefix=f"{name}."))
        return tensors

    # -- parameters

    @classmethod
    def _parameter_names(cls) -> list[str]:
        annotated = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())}
        return sorted(name for name in annotated if name.islower() and name[-1] != "_")

    def _check_parameters(self) -> None:
        """Each for itself, and whether they go together: as sizes alone, nothing is allocated."""
        names = self._parameter_names()
        check_parameters({n: getattr(self, n) for n in names if hasattr(self, n)}, self.RULES)
        with torch.device("meta"), _Unfilled():
            self._module(smallest=True)

    # -- the folder

    @classmethod
    def load(
        cls: type[Self],
        folder: str | Path,
        *,
        backend: Backend | None = None,
        cell: CellLike | None = None,
    ) -> Self:
        """The model that an estimator's `save` wrote.

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
            self = cls(**read_parameters(given, cls._parameter_names(), cls.NEEDED, cell))
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
            expected = self._tensors(self._module())
        tensors = model_folder.read_weights(folder, sha256, expected)
        with torch.random.fork_rng(devices=[]):
            network = self._new_network()
        for name, module in {"": network, **self._beside()}.items():
            own = {key: tensors[f"{name}.{key}" if name else key] for key in module.state_dict()}
            module.load_state_dict(own, assign=bool(name))
        return self
