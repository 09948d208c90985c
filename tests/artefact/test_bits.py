"""An artefact for this machine gives the bits of a session, step by step and in chunks."""

from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.artefact import code
from elman.compiler import isa
from elman.dispatch import select
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES
from tests.artefact.linked import Linked, needs_compiler
from tests.cells import CELLS
from tests.streaming.modules import MODULES, Gap, dtype_of, same

pytestmark = [needs_compiler, pytest.mark.sampled(2)]
T = 9

MORE = {
    "cell": lambda: elman.LSTMCell(5, 9),
    "any cell": lambda: elman.RecurrentCell(elman.cells.MGU, 5, 9),
    "one unit": lambda: elman.RNN(1, 1),
    "whole vectors": lambda: elman.LSTM(16, 64),
    "many blocks": lambda: elman.GRU(3, 200),
    "layers alike": lambda: elman.GRU(24, 24, 3),
    "heads in vectors": lambda: elman.Recurrent(elman.cells.SLSTM(heads=2), 6, 64),
    "heads across vectors": lambda: elman.Recurrent(elman.cells.SLSTM(heads=4), 6, 20),
    "vectors": lambda: elman.Recurrent(elman.cells.PeepholeLSTM, 3, 19, 2),
    "stages": lambda: elman.Recurrent(elman.cells.GRU(reset_after=False), 4, 21),
    "sums over units": lambda: elman.Recurrent(elman.cells.LayerNormLSTM, 4, 21, 2),
    "sums over heads": lambda: elman.Recurrent(CELLS["PerHead"], 4, 22),
    "transposed": lambda: elman.Recurrent(CELLS["Tied"], 4, 21, 2),
    "transposed heads": lambda: elman.Recurrent(CELLS["TiedHeads"], 6, 64, proj_size=32),
    "transposed small heads": lambda: elman.Recurrent(CELLS["TiedHeads"], 6, 10, proj_size=4),
    "the input itself": lambda: elman.Recurrent(CELLS["RawOnly"], 70, 10),
    "the input as units": lambda: elman.Recurrent(CELLS["Highway"], 9, 9, 2),
    "several spaces": lambda: elman.LSTM(4, 21, 2, proj_size=7),
    "dropout in the recurrence": lambda: elman.Recurrent(elman.cells.GRU, 4, 6, zoneout=0.3),
}


@pytest.mark.parametrize("which", [*MODULES, *MORE])
def test_the_bits_are_those_of_a_session(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = {**MODULES, **MORE}[which]()
    artefact, session = Linked(module, tmp_path), elman.Stream(module)
    x = torch.randn(T, module.input_size, dtype=dtype_of(module))
    artefact.begin()
    assert same(artefact.chunk(x), session.chunk(x))
    assert same(artefact.step(x[0]), session.step(x[0]))
    artefact.begin("reset")
    session.reset()
    assert same([artefact.step(row) for row in x], [session.step(row).clone() for row in x])


def test_a_chunk_of_no_steps_changes_nothing(tmp_path: Path) -> None:
    artefact = Linked(elman.GRU(3, 5), tmp_path)
    artefact.begin()
    artefact.step(torch.rand(3))
    before = artefact.state.copy()
    assert artefact.chunk(torch.zeros(0, 3)).shape == (0, 5)
    assert (artefact.state == before).all()


def test_a_copy_of_a_state_goes_on_where_it_is(tmp_path: Path) -> None:
    artefact = Linked(elman.LSTM(3, 5, 2), tmp_path)
    x = torch.rand(T, 3)
    artefact.begin()
    artefact.chunk(x)
    kept = artefact.state.copy()
    first = artefact.chunk(x)
    assert not same(artefact.chunk(x), first)
    artefact.state = kept  # at another address
    assert same(artefact.chunk(x), first)


class Two(elman.Cell):
    """Further inputs of which one has a size of its own."""

    gates, states, inputs, matrices = ("n",), ("h",), ("wide", "small"), ("m",)
    sizes = {"small": 2, "m": 2}  # noqa: RUF012

    def step(self, x, u, s):
        small = self.input("small") * self.product("m", s.h)
        return elman.tanh(x.n + u.n + self.input("wide")) + elman.sum(small)


@pytest.mark.parametrize(
    ("cell", "units", "further"),
    [
        (Gap, [7], {"gap": 7}),
        (Gap, [7, 7, 7], {"gap": 7}),
        (Gap, [7, 3, 21], {"gap": 1}),
        (Two, [9], {"wide": 9, "small": 2}),
        (Two, [9, 20], {"wide": 1, "small": 2}),
    ],
)
def test_further_inputs(cell: Any, units: Any, further: dict[str, int], tmp_path: Path) -> None:
    module = elman.Recurrent(cell, 3, units)
    artefact, session = Linked(module, tmp_path), elman.Stream(module)
    x, inputs = torch.randn(T, 3), {n: torch.rand(T, count) for n, count in further.items()}
    artefact.begin()
    assert same(artefact.chunk(x, *inputs.values()), session.chunk(x, inputs))
    assert artefact.facts["further_inputs"] == further


@pytest.mark.parametrize("dtype", [None, *WEIGHT_DTYPES], ids=str)
def test_a_chunk_in_pieces_has_the_bits_of_steps(dtype: Any, tmp_path: Path) -> None:
    module = elman.Recurrent(elman.cells.GRU, 30, 70, 3, residual=True)
    artefact = Linked(module, tmp_path, weight_dtype=dtype)
    session = elman.Stream(module, weight_dtype=dtype)
    assert artefact.facts["constant_bytes"] > code.MANY_BYTES
    artefact.begin()
    for length in (1, 5, 6, 7, 18):
        x = torch.randn(length, 30)
        assert same(artefact.chunk(x), session.chunk(x))
        assert same(artefact.step(x[0]), session.step(x[0]))


@pytest.mark.parametrize(
    "which", ["further inputs", "stages", "heads in vectors", "several spaces"]
)
def test_small_modules_have_the_same_bits_in_pieces(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MANY_BYTES", 0)
    further = {"further inputs": lambda: elman.Recurrent(Gap, 3, [7, 21])}
    module = {**MORE, **further}[which]()
    artefact, session = Linked(module, tmp_path), elman.Stream(module)
    x = torch.randn(2 * T - 1, module.input_size)
    gaps = [torch.rand(len(x), 1)] if which in further else []
    artefact.begin()
    expected = session.chunk(x, *({"gap": gap} for gap in gaps))
    assert same(artefact.chunk(x, *gaps), expected)


@pytest.mark.parametrize("units", [67])
@pytest.mark.parametrize("dtype", WEIGHT_DTYPES, ids=str)
def test_weights_in_fewer_bytes(units: int, dtype: torch.dtype, tmp_path: Path) -> None:
    module = elman.GRU(7, units, 2)
    with torch.no_grad():
        module.weight_hh_l0[3] = 0
        module.weight_hh_l1[4] = 1e-40
    artefact = Linked(module, tmp_path, weight_dtype=dtype)
    session = elman.Stream(module, weight_dtype=dtype)
    x = torch.randn(T, 7)
    artefact.begin()
    assert same(artefact.chunk(x), session.chunk(x))


@pytest.mark.parametrize(("target", "row"), [("x86-64", "sse2"), ("x86-64-v3", "avx2")])
def test_other_instruction_sets_of_this_processor(target: str, row: str, tmp_path: Path) -> None:
    if isa.by_name(row) not in isa.available():
        pytest.skip(f"this processor has no {row}")
    module, x = elman.LSTM(5, 27), torch.randn(T, 5)
    with select.set_isa(row):
        expected = elman.Stream(module).chunk(x)
    artefact = Linked(module, tmp_path, target)
    artefact.begin()
    assert same(artefact.chunk(x), expected)
