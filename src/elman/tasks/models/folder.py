"""The two files of a model folder, `config.json` and `model.safetensors`; no pickle.

`docs/format.md` specifies them. What is read is checked before it is used, sizes before memory.
"""

import hashlib
import json
import os
import platform
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

import elman

from ..errors import TaskError

FORMATS = "elman sequence "  # what a format begins with; the task follows
CONFIG, WEIGHTS, CHECKPOINT = "config.json", "model.safetensors", "checkpoint.safetensors"
DRAFT = ".draft"  # of a file that is being written
CONFIG_BYTES = 64 << 20  # of config.json, at most
HEADER_BYTES = 1 << 20  # of model.safetensors beside its numbers, at most


def write_folder(
    folder: str | Path, tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> None:
    """Write both files, each complete or not at all; other files in the folder stay.

    An existing folder must be empty or hold a model: anything else is somebody else's.
    """
    folder = check_target(folder)
    weights = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    stated = {
        **config,
        "written_by": {
            "elman": elman.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    # NumPy's numbers as Python's; half of a surrogate pair as JSON's escape.
    text = json.dumps(stated, ensure_ascii=False, indent=1, default=lambda number: number.item())
    content = (text + "\n").encode(errors="backslashreplace")
    make_folder(folder)
    try:
        replace_file(folder / WEIGHTS, weights)
        replace_file(folder / CONFIG, content)
    except OSError as error:
        raise _unwritten(folder, error) from None


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(folder, error) from None


def _unwritten(folder: Path, error: OSError) -> TaskError:
    return TaskError(f"{folder}: can't be written ({error.strerror}); choose another folder.")


def check_target(folder: str | Path) -> Path:
    """The folder, if a model may be written there; ask before training, not after."""
    folder = Path(folder)
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not nearest.is_dir():
        raise TaskError(f"{nearest}: is a file; choose another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TaskError(f"{nearest}: can't be written to; change that, or choose another folder.")
    if nearest != folder:
        return folder
    if (folder / CONFIG).is_file():
        read_config(folder)
    elif any(not _is_ours(path) for path in folder.iterdir()):
        raise TaskError(
            f"{folder}: holds files but no model ({CONFIG}); choose an empty or a new folder."
        )
    return folder


def _is_ours(path: Path) -> bool:
    return path.name.removeprefix(".").removesuffix(DRAFT) in (CONFIG, WEIGHTS, CHECKPOINT)


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the path, flush to the disk, then take its place in one step."""
    draft = path.with_name(f".{path.name}{DRAFT}")
    try:
        draft.unlink(missing_ok=True)  # of a process that was killed
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_config(
    folder: str | Path, expected: str | None = None, versions: Sequence[int] | None = None
) -> dict[str, Any]:
    """The config of a model folder, once its format is known to be ours, or the one expected."""
    folder = Path(folder)
    path = folder / CONFIG
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such folder"
        raise TaskError(f"{folder}: {what}; name one that `save` or `--output` wrote.")
    config = _parse(path)
    found = config.get("format")
    if not isinstance(found, str) or not found.startswith(FORMATS):
        raise TaskError(
            f"{path}: the format is {found!r}, expected {expected or FORMATS + '...'!r}; "
            "this is not one of elman's model folders."
        )
    if expected is not None and found != expected:
        raise TaskError(
            f"{path}: the format is {found!r}, expected {expected!r}; this model is of another "
            "task."
        )
    version = config.get("version")
    if versions is not None and (type(version) is not int or version not in versions):
        raise TaskError(
            f"{path}: format version {version!r}, this elman reads "
            f"{' and '.join(map(str, versions))}; use the elman that wrote it, or train anew."
        )
    return config


def _parse(path: Path) -> dict[str, Any]:
    content = _read(path, 0, CONFIG_BYTES)
    try:
        config = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise TaskError(f"{path}: is not JSON ({error}); save the model again.") from None
    if not isinstance(config, dict):
        raise TaskError(f"{path}: holds {type(config).__name__} instead of an object.")
    return config


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{max(names, key=names.count)!r} stands twice in an object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _read(path: Path, least: int, most: int) -> bytes:
    """A plain file of so many bytes; nothing of any other is read."""
    try:
        # Neither another place nor a device, which could send bytes, or keep us waiting, for ever.
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise TaskError(f"{path}: is not a plain file; save the model again.")
            if not least <= status.st_size <= most:
                raise TaskError(
                    f"{path}: has {status.st_size:,} bytes, expected {least:,} to {most:,}; "
                    "save the model again."
                )
            return file.read(most)
    except FileNotFoundError:
        raise TaskError(f"{path.parent}: not a model folder, {path.name} is missing.") from None
    except OSError as error:
        if path.is_symlink():
            raise TaskError(
                f"{path}: is a symbolic link; put the file itself into the folder."
            ) from None
        raise TaskError(f"{path}: can't be read ({error.strerror}).") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def field(config: Mapping[str, Any], name: str, kind: type[Any], default: Any = None) -> Any:
    """A field of the config, of the type it must have; it may be missing if there is a default."""
    value = config.get(name, default)
    if not isinstance(value, kind):
        found = "is missing" if name not in config else f"is {str(value)[:40]!r}"
        words: dict[type[Any], str] = {
            dict: "an object",
            list: "a list",
            str: "a string",
            int: "a whole number",
            bool: "true or false",
        }
        raise TaskError(f"{name!r} {found}; expected {words[kind]}.")
    return value


def read_weights(
    folder: str | Path, sha256: str, expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors of the folder, with exactly the names, shapes and types of `expected`.

    Those may have no memory (the device "meta"): the file is not read if its size doesn't fit them.
    """
    path = Path(folder) / WEIGHTS
    numbers = sum(tensor.nbytes for tensor in expected.values())
    content = _read(path, numbers, numbers + HEADER_BYTES)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TaskError(
            f"{path}: is not the file that {CONFIG} was written with (SHA-256 differs); "
            "save the model again, or restore both files from one copy."
        )
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except SafetensorError as error:
        raise TaskError(f"{path}: is not a safetensors file ({str(error)!r}).") from None
    missing, extra = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or extra:
        raise TaskError(
            f"{path}: the tensors are not those of the model in {CONFIG}: "
            f"missing {', '.join(missing) or 'none'}; unexpected {', '.join(extra) or 'none'}."
        )
    for name, tensor in expected.items():
        found = tensors[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise TaskError(
                f"{path}: {name} is {found.dtype} {tuple(found.shape)}, expected "
                f"{tensor.dtype} {tuple(tensor.shape)} as {CONFIG} describes the model."
            )
        if not found.isfinite().all():
            raise TaskError(f"{path}: {name} holds a number that isn't finite; train anew.")
    return tensors
