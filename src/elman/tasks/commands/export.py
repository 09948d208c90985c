"""`elman export`: a model as object code for C programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import TaskError
from .options import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.chain import Chain


def export(
    model: Annotated[Path, typer.Argument(help="The folder of a model.")],
    folder: Annotated[Path, typer.Argument(help="Where the files go: a new or empty folder.")],
    target: Annotated[
        str, typer.Option(help="The machine: host for this one, cortex-m4f, aarch64, wasm32, ...")
    ] = "host",
    name: Annotated[
        str, typer.Option(help="What names of functions and files begin with.")
    ] = "model",
    weights: Annotated[Weights, typer.Option(help="How weight matrices are stored.")] = "float32",
    max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of the longest sequence, for a model that reads to its end; of texts as in "
            "training.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Texts, one a line: say by how much --weights changes the outputs."),
    ] = None,
) -> None:
    """Write a model as object code with its weights, to be called from C and C++."""
    import torch

    from elman.artefact.files import export_with

    from ..models.ctables import tables
    from ..models.opening import load_model

    opened = load_model(model)
    try:
        chain = opened.chain()
    except TaskError as error:
        raise TaskError(f"{model}: {error}") from None
    _check_folder(folder)
    if chain.whole and max_steps is None:
        max_steps = chain.about.get("max_length")
    text = tables(chain, name)
    about = {"output": chain.outputs, "labels": [*chain.labels], **chain.about}
    if chain.tokens:
        about |= {"kind_of_tokens": chain.tokens, "vocabulary": [*chain.vocabulary]}
    ids = [] if data is None else _ids(chain, data)
    if ids and weights == "float32":
        raise TaskError("--data says what --weights bfloat16 or int8 changes; choose one of them.")
    narrow = None if weights == "float32" else getattr(torch, weights)
    module = torch.nn.Sequential(*chain.modules)
    try:
        made = export_with(
            {"_tables.h": text} if text else {},
            about,
            module,
            folder,
            target,
            name,
            narrow,
            max_steps,
            ids,
        )
    except (TypeError, ValueError) as error:
        said = str(error)
        raise TaskError(said if said.endswith("?") else f"{said}.") from None
    _tell(folder, made, target == "host")


def _ids(chain: Chain, path: Path) -> list[Tensor]:
    """The ids of the texts of a file, one a line, without empty lines."""
    import torch

    from ..data.lines import Lines

    if chain.ids is None:
        raise TaskError("--data is for models that read texts; leave it out.")
    with Lines(path) as lines:
        found = [chain.ids(text) for line in lines if (text := line.rstrip("\r\n")).strip()]
    if not found:
        raise TaskError(f"{path}: holds no text; expected one a line.")
    return [torch.from_numpy(ids.copy()) for ids in found]


def _check_folder(folder: Path) -> None:
    """Refuses a folder with files of somebody else."""
    if folder.exists() and not folder.is_dir():
        raise TaskError(f"{folder}: is a file; choose another folder.")
    if folder.is_dir() and any(folder.iterdir()) and not any(map(_is_ours, folder.glob("*.json"))):
        raise TaskError(f"{folder}: holds files but no export; choose an empty or a new folder.")


def _is_ours(path: Path) -> bool:
    """Whether a file says what an export wrote beside it."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and {"functions", "state_bytes", "sha256"} <= facts.keys()


def _tell(folder: Path, made: dict[str, Any], host: bool) -> None:
    """Prints what was written, and what may be done next."""
    files = [*made["sha256"], f"{made['name']}.json"]
    print(f"Saved in {folder}: {', '.join(sorted(files))}.")
    reads = f"{made['inputs']:,} numbers"
    if "tokens" in made:
        reads = f"one of {made['tokens']:,} tokens"
    writes = f"writes {made['outputs']:,} numbers: {made['output']}"
    if "max_steps" in made:
        print(f"A sequence has at most {made['max_steps']:,} steps. Each reads {reads}.")
        print(f"After the last, it {writes}.")
    else:
        print(f"A step reads {reads}, and {writes}.")
    for what, size in (
        ("code", made["code_bytes"]),
        ("weights", made["constant_bytes"]),
        ("state of a stream", made["state_bytes"]),
    ):
        print(f"{what:<17} {size:>12,} bytes")
    if error := made.get("error"):
        print(
            f"For the data, narrow weights change an output by {error['largest']:.2g} at most, and "
            f"by {error['relative']:.2g} of its size (root mean square)."
        )
    print(f"Test it with: make -C {folder} test")
    if not host:
        print("That takes a compiler and an emulator of the machine, which the Makefile names.")
