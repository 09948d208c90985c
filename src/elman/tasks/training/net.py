"""What trains: skorch's net over packed sequences, with a loop that goes on where its history ends.

The random numbers of a step follow from the seed and the step's number, and so does the order of
the texts. The learning rate and the end follow from the history. So four things are all there is to
know about a training under way: weights, the optimizer's state, the history, and what a kind of net
keeps from step to step (`lasting`).
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from skorch.helper import predefined_split

from ..data.batches import Batch, Batches
from ..data.text import Ragged
from ..errors import DivergedError, TaskError
from ..networks.ensemble import Ensemble, mean
from .interrupt import Interrupt
from .ranks import add_up, rank, ranks
from .schedule import by_progress, one_cycle, out_of_patience


class _NoOptimizer(torch.optim.Optimizer):
    """An optimizer of nothing: torch's load torch._dynamo when they are made, for over a second."""

    def __init__(self) -> None:
        self.defaults, self.state, self.param_groups = {}, defaultdict(dict), []


class SequenceNet(NeuralNet):
    """A NeuralNet whose input is a `Batch` of packed sequences.

    With `patience` it stops after so many epochs without a lower loss on the held-out data;
    `best_weights_` are then those of the best epoch so far. A subclass says what is summed up in
    a step beside the loss (`count`): `right` answers of all `tokens`, if these aren't the units;
    what is `named`, what is `there`, and what is both, a `hit`.
    """

    batches: ClassVar[type[Any]] = Batches
    steepest: ClassVar[float] = 1.0  # the norm that gradients are clipped to
    warm_up: ClassVar[float] = 0.2  # the share of the steps in which the learning rate rises
    unit: Any = "texts"  # what is counted in a second

    def __init__(
        self, *args: Any, seed: int = 0, patience: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.seed, self.patience = seed, patience
        self.steady = False  # whether the learning rate stays at its highest
        self.learns = True  # False: it only predicts, and has no optimizer
        self.interrupt_ = Interrupt()
        self.best_weights_: dict[str, torch.Tensor] = {}
        self.kept_: dict[str, torch.Tensor] = {}  # from one step for the next
        self.exchanged_: list[torch.Tensor] = []  # of those what is added up over all ranks

    def get_default_callbacks(self) -> list[tuple[str, Callback]]:
        """None of skorch's: some know things that the history doesn't."""
        return []

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make the optimizer, or what takes its place where the net only predicts."""
        if self.learns:
            return super().initialize_optimizer(*args, **kwargs)
        self.optimizer_ = _NoOptimizer()
        return self

    def begin_to_learn(self) -> None:
        """Make the optimizer that a net hasn't which only predicted so far."""
        if not self.learns:
            self.learns = True
            self.initialize_optimizer()

    # -- a step

    def infer(self, x: Any, **_: Any) -> Any:
        """What the module says of this rank's part of the batch."""
        return self.module_(x.packed)

    def whole(self, batch: Batch) -> Any:
        """What the criterion's sum over a batch is divided by."""
        return batch.whole

    def count(self, y_pred: Any, y_true: torch.Tensor, training: bool) -> dict[str, torch.Tensor]:
        """Numbers that are added up over an epoch, and over all ranks, beside the loss."""
        return {}

    def scores(self, sums: Mapping[str, int], size: int) -> dict[str, float]:
        """What an epoch's counts say, of so many units: accuracy and F1 score, where counted."""
        found = {}
        if "right" in sums:
            found["acc"] = sums["right"] / max(1, sums.get("tokens", size))
        if "hit" in sums:
            found["f1"] = 2 * sums["hit"] / max(1, sums["named"] + sums["there"])
        return found

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """The score of an epoch's held-out data, in words."""
        return f"F1 {epoch['valid_f1']:.1%}" if "valid_f1" in epoch else f"{epoch['valid_acc']:.1%}"

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """What this rank's part adds to the mean over the batch."""
        return super().get_loss(y_pred, y_true, X=X, training=training) / self.whole(X)

    def train_step_single(self, batch: Any, **_: Any) -> dict[str, Any]:
        """The batch's loss and counts; its gradients are in the parameters."""
        return self._step(batch, training=True)

    def validation_step(self, batch: Any, **_: Any) -> dict[str, Any]:
        """The batch's loss and counts."""
        return self._step(batch, training=False)

    def _step(self, batch: Any, training: bool) -> dict[str, Any]:
        given, targets = batch
        self._set_training(training)
        with torch.set_grad_enabled(training):
            found = self.infer(given)
            said = found if isinstance(found, list) else [found]  # of an ensemble in training
            loss = mean([self.get_loss(one, targets, X=given, training=training) for one in said])
        gradients = []
        if training:
            loss.backward()
            gradients = [p.grad for p in self.module_.parameters() if p.grad is not None]
        with torch.no_grad():
            counts = self.count(mean(said), targets, training)
        asked = torch.tensor(float(self.interrupt_.asked))
        figures = torch.stack([loss.detach(), asked, *counts.values()])
        add_up([figures, *gradients, *(self.exchanged_ if training else ())])
        self.interrupt_.asked = bool(figures[1])  # all ranks end after the same step
        sums = dict(zip(counts, map(int, figures[2:].tolist()), strict=True))
        return {"loss": figures[0], "y_pred": found, "counts": sums}

    def _diverged(self, what: str) -> DivergedError:
        """The error of a training that can't go on; the same steps would end the same way."""
        epoch = self.history[-1]
        losses = [step["train_loss"] for step in epoch["batches"] if "train_loss" in step]
        last = next((loss for loss in reversed(losses) if math.isfinite(loss)), None)
        before = "" if last is None else f", after {last:.4g}"
        return DivergedError(
            f"{what} in epoch {len(self.history)} at step {len(losses)}{before}. Nothing of this "
            f"training is saved; lower the learning rate (now {self.lr}) and train anew."
        )

    # -- weights

    def begin_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Begin a training with weights that another has learned."""
        own = self.module_.state_dict()
        shapes = {name: tensor.shape for name, tensor in weights.items()}
        if shapes != {name: tensor.shape for name, tensor in own.items()}:
            differ = [n for n in own if n not in shapes or own[n].shape != shapes[n]] or [*shapes]
            raise TaskError(
                f"warm_start: the network would have another {differ[0]} than the one that was "
                "trained; set its parameters as they were, or train anew with warm_start=False."
            )
        self.module_.load_state_dict(weights)

    def judged_weights(self) -> dict[str, torch.Tensor]:
        """The weights that held-out data are judged with."""
        found: dict[str, torch.Tensor] = self.module_.state_dict()
        return found

    def settle(self) -> None:
        """The training has ended: take the weights that remain, of the best epoch or the last."""
        weights = self.best_weights_ or self.judged_weights()
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise self._diverged("The weights became infinite or no numbers")
        self.module_.load_state_dict(weights)

    def lasting(self) -> dict[str, dict[str, torch.Tensor]]:
        """What a checkpoint holds beside the optimizer's state, by group and name."""
        weights = self.module_.state_dict()
        return {"module": weights, "best": self.best_weights_, "kept": self.kept_}

    def resume_from(self, lasting: Mapping[str, dict[str, torch.Tensor]]) -> None:
        """Take up what `lasting` gave."""
        self.module_.load_state_dict(lasting["module"])
        self.best_weights_, self.kept_ = lasting["best"], lasting["kept"]

    # -- the loop

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The complete epochs of the history."""
        return [epoch for epoch in self.history if "train_loss" in epoch]

    def summary(self) -> list[dict[str, Any]]:
        """The complete epochs, without their single steps: what is a finite number."""

        def is_number(value: Any) -> bool:
            return isinstance(value, (int, float)) and math.isfinite(value)

        return [{k: v for k, v in epoch.items() if is_number(v)} for epoch in self.epochs]

    def fit_loop(
        self, X: Ragged, y: Any = None, epochs: int | None = None, **_: Any
    ) -> "SequenceNet":
        """Train until there are `max_epochs` epochs, or `epochs` more, or patience runs out."""
        train = self.get_iterator(X, training=True)
        held_out = self.get_split_datasets(X)[1]
        valid = None if held_out is None else self.get_iterator(held_out, training=False)
        datasets = {"dataset_train": X, "dataset_valid": held_out}
        last = self.max_epochs if epochs is None else len(self.epochs) + epochs
        self.steps_ = len(train)  # an epoch
        while len(self.epochs) < last and (
            self.steady or not out_of_patience(self.epochs, self.patience)
        ):
            self.notify("on_epoch_begin", **datasets)
            done = len(self.history[-1]["batches"])
            self._run(train.epoch(len(self.history), done, rank(), ranks()), training=True)
            if valid is not None:
                self._run(valid.epoch(rank=rank(), ranks=ranks()), training=False)
            self._sum_up()
            self.notify("on_epoch_end", **datasets)
        return self

    def on_epoch_begin(self, net: Any, **datasets: Any) -> None:
        """Begin an epoch, or go on with one that was interrupted; its held-out texts come anew."""
        if len(self.epochs) == len(self.history):
            super().on_epoch_begin(net, **datasets)
        epoch = self.history[-1]
        epoch["batches"] = [step for step in epoch["batches"] if "train_loss" in step]

    def on_batch_begin(self, net: Any, batch: Any = None, training: bool = False, **_: Any) -> None:
        """Set what a step's number decides: the learning rate, and all that will be random."""
        super().on_batch_begin(net, batch=batch, training=training)
        if not training:
            return
        epoch, step = len(self.history), len(self.history[-1]["batches"]) - 1
        lr = self.lr * self._share((epoch - 1) * self.steps_ + step)
        self.history.record_batch("train_lr", lr)
        for group in self.optimizer_.param_groups:
            group["lr"] = lr
        # Not `torch.manual_seed`: it keeps the seeds for devices that are not in use, each time.
        seed = np.random.SeedSequence([self.seed, epoch, step, rank()]).generate_state(1)
        torch.default_generator.manual_seed(int(seed[0]))

    def _share(self, step: int) -> float:
        """The share of the highest learning rate that a step takes."""
        if self.steady:
            return 1.0
        if self.patience is None:
            return one_cycle(step, self.max_epochs * self.steps_, self.warm_up)
        return by_progress(step, self.steps_, self.epochs)

    def _run(self, batches: Iterator[Any], training: bool) -> None:
        name, take = ("train", self.train_step) if training else ("valid", self.validation_step)
        record, since = self.history.record_batch, time.perf_counter()
        for batch in batches:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = take(batch)
            loss = step["loss"].item()
            record(f"{name}_loss", loss)
            for what, number in step["counts"].items():
                record(f"{name}_{what}", number)
            record(f"{name}_batch_size", len(batch[0]))
            record(f"{name}_seconds", time.perf_counter() - since)
            if not math.isfinite(loss):
                which = "loss" if training else "held-out loss"
                raise self._diverged(f"The {which} became {loss}")
            self.notify("on_batch_end", batch=batch, training=training, **step)
            if self.interrupt_.asked:
                raise KeyboardInterrupt
            since = time.perf_counter()

    def _sum_up(self) -> None:
        """The epoch's figures, from those of its steps."""
        epoch, before = self.history[-1], self.epochs
        epoch["lr"] = epoch["batches"][self.steps_ - 1]["train_lr"]
        for name in ("train", "valid"):
            steps = [step for step in epoch["batches"] if f"{name}_loss" in step]
            size = sum(step[f"{name}_batch_size"] for step in steps)
            if not size:
                continue
            losses = (step[f"{name}_loss"] * step[f"{name}_batch_size"] for step in steps)
            epoch[f"{name}_loss"] = sum(losses) / size
            given = [key for key in steps[0] if key.startswith(f"{name}_")]
            sums = {key.removeprefix(f"{name}_"): sum(step[key] for step in steps) for key in given}
            epoch.update({f"{name}_{k}": v for k, v in self.scores(sums, size).items()})
            epoch[f"{name}_seconds"] = sum(step[f"{name}_seconds"] for step in steps)
        if "valid_loss" in epoch:
            lowest = min((e["valid_loss"] for e in before), default=math.inf)
            epoch["valid_loss_best"] = epoch["valid_loss"] < lowest
            if self.patience is not None and epoch["valid_loss_best"]:
                weights = self.judged_weights()
                self.best_weights_ = {name: weights[name].clone() for name in weights}


def make_net(
    net: type[SequenceNet],
    module: type[torch.nn.Module],
    model: Mapping[str, Any],
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
    patience: int | None = None,
    valid: Any = None,
    callbacks: Iterable[tuple[str, Callback]] = (),
    **further: Any,
) -> SequenceNet:
    """A net for `module(**model)`, trained by Adam; `further` is the kind of net's own."""
    # Recurrent gradients have rare, huge peaks. Those of several networks are of the mean loss.
    steepest = net.steepest / math.sqrt(model["size"] if issubclass(module, Ensemble) else 1)
    return net(
        module,
        **{f"module__{name}": value for name, value in model.items()},
        **{"optimizer": torch.optim.Adam, **further},
        optimizer__fused=True,
        lr=lr,
        max_epochs=epochs,
        patience=patience,
        seed=seed,
        batch_size=batch_size,
        verbose=0,  # what is seen of a training, a callback shows
        iterator_train=net.batches,
        iterator_train__shuffle=True,
        iterator_train__seed=seed,
        iterator_valid=net.batches,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[("clipping", GradientNormClipping(steepest)), *callbacks],
    )
