"""Artefacts that read whole sequences: layers of two directions, and poolings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.artefact.stack import stack_of
from elman.nn.parts import POOLS, Pool
from tests.artefact.browsing import needs_linker, needs_node, play
from tests.artefact.linked import Linked, needs_compiler
from tests.streaming.modules import Gap, dtype_of, learned, same

MOST = 9

#: Layers of two directions, which take numbers.
LAYERS: dict[str, Any] = {
    "GRU": lambda: elman.GRU(3, 5, bidirectional=True),
    "LSTM, projected": lambda: elman.LSTM(3, 7, 3, proj_size=2, bidirectional=True),
    "double": lambda: elman.RNN(3, 17, 2, bidirectional=True, dtype=torch.float64),
    "sum": lambda: elman.Recurrent(elman.cells.GRU, 3, 5, 2, bidirectional=True, merge="sum"),
    "mul": lambda: elman.Recurrent(elman.cells.MGU, 3, 5, 2, bidirectional=True, merge="mul"),
    "mean, residual": lambda: elman.Recurrent(
        elman.cells.LSTM, 3, 6, 3, bidirectional=True, merge="mean", residual=True
    ),
    "residual": lambda: elman.Recurrent(
        elman.cells.GRU, 3, 6, 3, bidirectional=True, residual=True
    ),
    "sizes": lambda: elman.Recurrent(elman.cells.PeepholeLSTM, 3, [5, 2, 9], bidirectional=True),
    "learned": lambda: learned(
        elman.Recurrent(elman.cells.GRU, 3, 5, 2, bidirectional=True, learn_initial=True)
    ),
    "further": lambda: elman.Recurrent(Gap, 3, 7, 2, bidirectional=True),
}
#: Models, of numbers and of tokens; those of tokens begin with an embedding.
MODELS: dict[str, Any] = {
    "tagger": lambda: nn.Sequential(
        nn.Embedding(11, 5), elman.LSTM(5, 7, 2, bidirectional=True), nn.Linear(14, 4)
    ),
    "both kinds": lambda: nn.Sequential(
        nn.Linear(3, 6),
        nn.ReLU(),
        elman.GRU(6, 7),
        elman.RNN(7, 5, bidirectional=True),
        nn.Linear(10, 2),
    ),
    **{
        f"pooled, {how}": lambda how=how: nn.Sequential(
            nn.Embedding(11, 5),
            elman.GRU(5, 6, bidirectional=True),
            Pool(how),
            nn.Linear(12 * len(POOLS[how]), 3),
            nn.Softmax(-1),
        )
        for how in POOLS
    },
    "pooled, one way": lambda: nn.Sequential(elman.GRU(3, 6), Pool("max_mean")),
}


def _expected(module: Any, x: Tensor, gap: Tensor) -> Tensor:
    """What PyTorch makes of ``(T, I)``, or of tokens ``(T,)``."""
    forward = 0
    for part in module.eval() if isinstance(module, nn.Sequential) else [module]:
        if isinstance(part, elman.Recurrent) and part._step().inputs:
            x = part(x[:, None], inputs={"gap": gap[:, None]})[0][:, 0]
        elif isinstance(part, (nn.RNNBase, elman.Recurrent)):
            x, forward = part(x[:, None])[0][:, 0], part.hidden_size
        elif isinstance(part, Pool):
            last = torch.cat([x[-1, :forward], x[0, forward:]])
            rows = {"max": x.max(0)[0], "mean": x.mean(0), "last": last}
            x = torch.cat([rows[each] for each in part.how.split("_")])[None]
        else:
            x = part(x)
    return x


def _given(module: Any, steps: int) -> tuple[Tensor, Tensor]:
    """Random steps, and gaps."""
    dtype = dtype_of(module)
    x = torch.randn(steps, 3, dtype=dtype)
    if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Embedding):
        x = torch.randint(11, (steps,), dtype=torch.int32)
    return x, torch.rand(steps, 7, dtype=dtype)


@needs_compiler
@pytest.mark.parametrize("which", [*LAYERS, *MODELS])
def test_a_chunk_is_what_pytorch_makes_of_a_sequence(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = {**LAYERS, **MODELS}[which]()
    linked = Linked(module, tmp_path, max_steps=MOST)
    assert [*linked.facts["functions"]] == ["own_chunk"]
    for steps in (MOST, 1, 4):
        x, gap = _given(module, steps)
        with torch.no_grad():
            expected = _expected(module, x, gap)
        further = [gap] if linked.facts["further_inputs"] else []
        found = linked.chunk(x, *further)[: len(expected)]
        if which in LAYERS:
            assert same(found, expected)  # the bits of the kernels
        torch.testing.assert_close(found, expected)


@needs_compiler
def test_nothing_behind_the_longest_sequence_is_touched(tmp_path: Path) -> None:
    linked = Linked(elman.GRU(3, 5, 3, bidirectional=True), tmp_path, max_steps=MOST)
    used = len(linked.state)
    linked.state.resize(used + 64)
    linked.state[used:] = 7
    y = torch.full((MOST + 2, linked.outputs), 7.0)
    linked.write_chunk(torch.randn(MOST, 3), [], y[1:])
    assert (linked.state[used:] == 7).all()
    assert (y[[0, -1]] == 7).all()
    assert (y[1:-1] != 7).all()


def test_memory_grows_with_the_steps(tmp_path: Path) -> None:
    module = elman.GRU(3, 5, 2, bidirectional=True)
    few, many = (elman.export(module, tmp_path, max_steps=n)["state_bytes"] for n in (100, 200))
    assert many - few == pytest.approx(100 * 10 * 4, abs=64)


@needs_linker
@needs_node
@pytest.mark.parametrize("which", ["mean, residual", "tagger", "pooled, max_mean", "further"])
def test_a_page_reads_a_whole_sequence(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = {**LAYERS, **MODELS}[which]()
    elman.export(module, tmp_path, "wasm32", "own", max_steps=MOST)
    x, gap = _given(module, 5)
    stack = stack_of(module, None, MOST)
    given = f"{{ gap: {gap.flatten().tolist()} }}" if stack.further else "{}"
    expected = stack.run(x[:, None] if stack.tokens else x, [gap] if stack.further else [])
    found = play(
        tmp_path,
        expressions=[
            f"[...stream.chunk({x.flatten().tolist()}, undefined, {given})]",
            "[layer.maxSteps, layer.tokens, layer.outputs]",
            "[typeof stream.step, typeof stream.reset]",
            f"stream.chunk(Array({(MOST + 1) * stack.width}).fill(0))",
            f"stream.chunk([], 0, {given})",
        ],
    )["values"]
    close = torch.tensor(found[0], dtype=torch.float64).reshape(expected.shape)
    torch.testing.assert_close(close, expected, rtol=0, atol=1e-5)
    assert found[1] == [MOST, stack.tokens, stack.units]
    assert found[2] == ["undefined"] * 2
    least = int(stack.pooled)
    assert found[3] == f"RangeError: own: expected {least} to {MOST} steps, got {MOST + 1}"
    if stack.pooled:
        assert found[4] == f"RangeError: own: expected 1 to {MOST} steps, got 0"


REFUSED: dict[str, Any] = {
    "missing": (LAYERS["GRU"], None, "for a module of two directions, .* got none"),
    "missing of a pooling": (MODELS["pooled, one way"], None, "that pools.* got none"),
    "none": (LAYERS["GRU"], 0, "got 0"),
    "no number": (LAYERS["GRU"], "9", "got '9'"),
    "no count": (LAYERS["GRU"], True, "got True"),
    "step by step": (lambda: elman.GRU(3, 5), 9, "got 9 for one that reads step by step"),
    "more than memory": (LAYERS["LSTM, projected"], 1 << 29, "can address"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_steps_that_cannot_be_are_refused(which: str, tmp_path: Path) -> None:
    make, most, match = REFUSED[which]
    with pytest.raises(ValueError, match=match):
        elman.export(make(), tmp_path / "folder", max_steps=most)
    assert [*tmp_path.iterdir()] == []
