"""Weights that pruning left blocks of zeros in: fewer bytes, and the bits of all of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import prune

import elman
from elman.artefact import lists
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES
from tests.artefact.linked import Linked, needs_compiler
from tests.artefact.machines import run_test
from tests.cells import CELLS
from tests.streaming.modules import dtype_of, same

T = 9


def columns(module: Any, share: float, only: str = "weight") -> Any:
    """The module without a share of the columns of some matrices."""
    for name, weight in [*module.named_parameters()]:
        if weight.ndim == 2 and only in name:
            prune.ln_structured(module, name, share, n=2, dim=1)
            prune.remove(module, name)
    return module


def blocks(module: Any, share: float, rows: int = 16) -> Any:
    """The module without a share of the blocks of so many rows and one column each."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim == 2:
                kept = torch.rand(-(-len(weight) // rows), weight.shape[1]) >= share
                weight.mul_(kept.repeat_interleave(rows, 0)[: len(weight)])
    return module


def nothing(module: Any) -> Any:
    """The module without a recurrent matrix."""
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    return module


def whole_rows(module: Any) -> Any:
    """The module without the first 48 rows of each matrix."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim == 2:
                weight[:48] = 0
    return module


class Masked(elman.cells.LSTM):
    masks = {"weight_hh": torch.eye(4)}  # noqa: RUF012


MODULES: dict[str, Any] = {
    "columns": lambda: columns(elman.GRU(10, 37, 2), 0.5),
    "most columns": lambda: columns(elman.LSTM(21, 40), 0.9),
    "sums in four parts": lambda: columns(elman.RNN(20, 16), 0.4),
    "sums in two parts": lambda: columns(elman.GRU(20, 16), 0.4),
    "in pieces": lambda: columns(elman.GRU(40, 128), 0.6),
    "long lists": lambda: columns(elman.GRU(300, 270), 0.7),
    "inputs alone": lambda: columns(elman.LSTM(48, 48), 0.5, "ih"),
    "states alone": lambda: columns(elman.LSTM(48, 48), 0.5, "hh"),
    "one layer": lambda: columns(elman.GRU(48, 48, 3), 0.5, "hh_l1"),
    "layers of two lengths": lambda: columns(columns(elman.GRU(48, 48, 2), 0.4), 0.7, "l1"),
    "blocks": lambda: blocks(elman.LSTM(70, 150), 0.7),
    "rows": lambda: whole_rows(elman.LSTM(20, 48)),
    "projected": lambda: columns(elman.LSTM(20, 40, 2, proj_size=9), 0.5),
    "double": lambda: columns(elman.GRU(20, 40, dtype=torch.float64), 0.5),
    "one unit": lambda: nothing(elman.RNN(1, 1)),
    "no states": lambda: nothing(elman.GRU(20, 40)),
    "stages": lambda: columns(elman.Recurrent(elman.cells.GRU(reset_after=False), 20, 40), 0.5),
    "masks": lambda: elman.Recurrent(Masked, 6, 256),
    "masks across vectors": lambda: elman.Recurrent(Masked, 6, 20),
    "heads in vectors": lambda: columns(elman.Recurrent(elman.cells.SLSTM(heads=2), 6, 64), 0.5),
    "heads across vectors": lambda: elman.Recurrent(elman.cells.SLSTM(heads=4), 6, 20),
    "transposed": lambda: columns(elman.Recurrent(CELLS["Tied"], 4, 40, 2), 0.5),
}


DTYPES = [None, *WEIGHT_DTYPES]
#: Those whose code on some machine has no list: it would save too little.
FEW = {"one unit", "blocks", "rows", "heads across vectors", "masks across vectors"}


def _some() -> Iterator[tuple[str, Any]]:
    """Each module with one of the dtypes, the first ones with all that it can have."""
    for i, which in enumerate(MODULES):
        own = None if which in ("double", "transposed") else DTYPES[i % 3]
        yield from ((which, dtype) for dtype in (DTYPES if i < 4 else [own]))


@needs_compiler
@pytest.mark.parametrize(("which", "dtype"), [*_some()])
def test_the_bits_are_those_of_all_weights(
    which: str, dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module, found = MODULES[which](), []
    choose = lists.listed
    monkeypatch.setattr(lists, "listed", lambda *a: found.append(choose(*a)) or found[-1])
    artefact = Linked(module, tmp_path, weight_dtype=dtype)
    assert which in FEW or any(panel.listed for panel in found)
    session = elman.Stream(module, weight_dtype=dtype)
    x = torch.randn(T, module.input_size, dtype=dtype_of(module))
    artefact.begin()
    assert same(artefact.chunk(x), session.chunk(x))
    assert same(artefact.step(x[0]), session.step(x[0]))


@pytest.mark.parametrize("target", ["x86-64-v4", "cortex-m4f"])
@pytest.mark.parametrize("dtype", [None, *WEIGHT_DTYPES], ids=str)
def test_they_take_fewer_bytes_where_that_is_worth_a_list(
    target: str, dtype: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)

    def taken(share: float, only: str = "weight") -> int:
        module = columns(elman.LSTM(128, 128), share, only)
        facts = elman.export(module, tmp_path, target, weight_dtype=dtype)
        return int(facts["constant_bytes"])

    whole = taken(0.0)
    assert taken(0.2) == whole
    assert taken(0.5) < 0.67 * whole
    assert taken(0.8) < 0.35 * whole
    assert taken(0.8, "ih") < 0.7 * whole
    assert taken(0.8, "hh") < 0.7 * whole


def test_single_weights_of_zero_are_stored(tmp_path: Path) -> None:
    whole, pruned = elman.GRU(64, 64), elman.GRU(64, 64)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prune.l1_unstructured(pruned, name, 0.5)
    first, second = (elman.export(m, tmp_path) for m in (whole, pruned))
    assert first["constant_bytes"] == second["constant_bytes"]


@needs_compiler
def test_a_number_that_is_not_multiplied_may_be_none(tmp_path: Path) -> None:
    module = elman.RNN(64, 64)
    with torch.no_grad():
        module.weight_ih_l0[:, :40] = 0
    artefact, x = Linked(module, tmp_path), torch.rand(1, 64)
    x[0, 3] = torch.inf
    artefact.begin()
    assert artefact.chunk(x).isfinite().all()
    assert elman.Stream(module).chunk(x).isnan().all()


@pytest.mark.parametrize("dtype", [None, *WEIGHT_DTYPES], ids=str)
@pytest.mark.parametrize("machine", ["aarch64", "cortex-m4f", "cortex-m55", "riscv32", "wasm32"])
def test_other_machines_read_lists(machine: str, dtype: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    modules = columns(elman.GRU(9, 37), 0.6), blocks(elman.LSTM(300, 21), 0.7)
    for name, module in zip(("columns", "blocks"), modules, strict=True):
        elman.export(module, tmp_path, machine, name, weight_dtype=dtype)
        run_test(machine, tmp_path, name)
