"""What runs in the pages: networks in WebAssembly, and the numbers that they must show.

A function of `networks.py` trains the networks of a figure, such as `order`. They are exported to
a folder that lasts until something changes; the hooks of the build put its files in `live/models`
of the site. `order.js` shows them in the place of the page that has `data-live="order"`.
"""

import copy
import functools
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import elman

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / "build" / "live"
MARK = re.compile(r'data-live="(\w+)"')  # of a figure's place in a page


class Live(NamedTuple):
    """The networks of a figure, what else its script reads, and all numbers that it shows at first,
    in the order of the page."""

    networks: dict[str, torch.nn.Module]
    data: dict[str, Any]
    shown: list[Tensor]


def exactly(network: torch.nn.Module, inputs: Tensor) -> Tensor:
    """What a network gives for ``(T, I)``, by PyTorch's operations in float64."""
    with torch.no_grad(), elman.set_path("reference"):
        found = copy.deepcopy(network).double()(inputs.double())
    return found[0] if isinstance(found, tuple) else found


def built() -> Path:
    """The folder with the files of all figures, which are made if a source has changed.

    Raises:
        RuntimeError: there is no linker for WebAssembly.
    """
    from . import networks

    folder = CACHE / _digest()
    if not folder.exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as beside:
            for name, make in networks.FIGURES.items():
                _write(name, make(), Path(beside, "files"))
            Path(beside, "files").rename(folder)
    return folder


@functools.cache  # a process that serves the site keeps the sources that it has loaded
def _digest() -> str:
    """What the files depend on."""
    sources = [*HERE.glob("*.py"), *Path(elman.__file__).parent.rglob("*.[pj][ys]")]
    texts = [torch.__version__.encode(), *(path.read_bytes() for path in sorted(sources))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def _write(name: str, figure: Live, folder: Path) -> None:
    """The modules of a figure, and what its script reads."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as build:
        for network, module in figure.networks.items():
            about = elman.export(module, build, target="wasm32", name=f"{name}_{network}")
            if "missing" in about["web"]:
                raise RuntimeError(f"not written: {about['web']['missing']}")
            for kind in ("js", "wasm"):
                shutil.copy(Path(build, f"{name}_{network}.{kind}"), folder)
    shown = torch.cat([value.double().flatten() for value in figure.shown]).tolist()
    data = {"networks": [*figure.networks], "shown": shown, **figure.data}
    (folder / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")


def scripts(content: str, root: str) -> Iterator[str]:
    """The scripts of the figures that a page has, as HTML; ``root`` leads to the site's.

    Raises:
        ValueError: a figure that is not there.
    """
    from . import networks

    for name in MARK.findall(content):
        if name not in networks.FIGURES:
            raise ValueError(f"expected one of {[*networks.FIGURES]} in data-live, got {name!r}")
        yield f'<script type="module" src="{root}live/{name}.js"></script>'
