"""A training under way as one file, from which it goes on as if nothing had happened.

`checkpoint.safetensors` in the model's folder holds tensors: the weights, those of the best epoch,
what the net keeps from step to step, and the optimizer's state. As JSON in bytes it holds what
training it is, and its history. A new file replaces the one before in a single step: whenever the
process is killed, there is a whole one.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from skorch.callbacks import Callback
from skorch.history import History

from ..errors import TaskError
from ..models.folder import CHECKPOINT, CONFIG, check_target, make_folder, replace_file
from .net import SequenceNet
from .ranks import rank

VERSION = 1
MOST = 0.05  # the share of the time that writing may take


def check_folder(folder: str | Path | None, resume: bool) -> None:
    """Whether a training may begin in the folder, or go on; asked before the data is read."""
    if folder is None:
        if resume:
            raise TaskError("resume needs the folder where the training was begun.")
        return
    folder = check_target(folder)
    begun, ended = (folder / CHECKPOINT).exists(), (folder / CONFIG).exists()
    if begun and not resume:
        raise TaskError(
            f"{folder}: holds a training that has not ended; resume it, or choose another folder. "
            f"To begin anew, remove {CHECKPOINT} there."
        )
    if resume and ended and not begun:
        raise TaskError(f"{folder}: there is nothing to resume; the training has ended.")


class Checkpoint(Callback):
    """Writes the training's state every so many seconds, after each epoch, and when interrupted.

    `run` names all that the result depends on; a training goes on only where that is the same.
    """

    def __init__(self, folder: str | Path, run: Mapping[str, Any], seconds: float) -> None:
        self.path, self.seconds = Path(folder) / CHECKPOINT, seconds
        # As it will be read again: tuples are lists, NumPy's numbers Python's.
        self.run = json.loads(json.dumps(run, default=lambda number: number.item()))

    def on_train_begin(self, net: SequenceNet, **_: Any) -> None:
        """Start the clock, once it is known that the folder can be there."""
        if not rank():
            make_folder(self.path.parent)
        self.due = time.monotonic() + self.seconds

    def on_batch_end(self, net: SequenceNet, training: bool, **_: Any) -> None:
        """Write, if it is time to, or the training is about to be interrupted."""
        if net.interrupt_.asked or (training and time.monotonic() >= self.due):
            self.write(net)

    def on_epoch_end(self, net: SequenceNet, **_: Any) -> None:
        """Write."""
        self.write(net)

    def write(self, net: SequenceNet) -> None:
        """Write the state that the net is in; of several ranks one does."""
        if rank():
            return
        began = time.monotonic()
        state = {"version": VERSION, "run": self.run, "history": net.history.to_list()}
        groups = net.lasting()
        for index, moments in net.optimizer_.state_dict()["state"].items():
            groups[f"optimizer.{index}"] = moments
        tensors = {f"{group}.{n}": t for group, named in groups.items() for n, t in named.items()}
        text = bytearray(json.dumps(state), "ascii")
        tensors["state"] = torch.frombuffer(text, dtype=torch.uint8)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, save(tensors))
        except OSError as error:
            raise TaskError(
                f"{self.path}: can't be written ({error.strerror}). What was there is unharmed: "
                "mend that, and resume the training."
            ) from None
        now = time.monotonic()
        self.due = now + max(self.seconds, (now - began) / MOST)

    def remove(self) -> None:
        """The training has ended; its model is saved."""
        if not rank():
            self.path.unlink(missing_ok=True)

    def resume(self, net: SequenceNet) -> None:
        """Put an initialised net into the state that was written, if one was."""
        if not self.path.exists():
            return
        try:
            tensors = load(self.path.read_bytes())
            state = json.loads(tensors.pop("state").numpy().tobytes())
            version, run, history = state["version"], dict(state["run"]), History(state["history"])
        except OSError as error:
            raise TaskError(f"{self.path}: can't be read ({error.strerror}).") from None
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise TaskError(
                f"{self.path}: is no checkpoint of elman's ({error!r}); remove it to begin anew."
            ) from None
        if version != VERSION:
            raise TaskError(
                f"{self.path}: version {version}, this elman reads {VERSION}; resume with the "
                "elman that wrote it, or remove it to begin anew."
            )
        differ = [name for name in {**run, **self.run} if run.get(name) != self.run.get(name)]
        if differ:
            was = "; ".join(
                f"{name} was {run.get(name)!r}, now {self.run.get(name)!r}" for name in differ
            )
            raise TaskError(
                f"{self.path}: belongs to another training ({was}); resume with the data and the "
                "options it was begun with, or begin anew in another folder."
            )

        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        net.resume_from({group: under(f"{group}.") for group in net.lasting()})
        optimizer = net.optimizer_.state_dict()
        for index in range(len(list(net.module_.parameters()))):
            optimizer["state"][index] = under(f"optimizer.{index}.")
        net.optimizer_.load_state_dict(optimizer)
        net.history = history
