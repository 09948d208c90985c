"""Masked matrices: their blocks that count as zero, in products and in all gradients, beside the
same formula without masks whose weights are zero there."""

import contextlib
import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import elman
from elman import Cell, FormulaError
from elman.compiler import masked, sizes
from elman.compiler.isa import by_name
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES
from elman.launch import calls, kernel
from elman.launch.kernel_cache import kernel_for, scheduled
from elman.step import _read, unmasked
from elman.streaming.lookup import looked_up
from tests.cells import CELLS
from tests.compiler.targets import each_isa, force, needs_pairs
from tests.systems import needs_threads
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(8)

I = 5  # noqa: E741
GRID = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
TALL = [[1, 0], [0, 1], [0, 0], [1, 1], [0, 1]]

#: A cell, its masks, and by which number its units can be divided.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "one product": ("tanh", {"weight_hh": GRID}, 4),
    "gates": ("LSTM", {"weight_hh": GRID}, 4),
    "tall": ("GRU", {"weight_hh": TALL}, 10),
    "two stages": ("GRUBefore", {"weight_hh": [[0, 1], [1, 0]]}, 2),
    "projected": ("Projected", {"weight_hh": [[1, 0], [1, 1]], "weight_hr": [[0, 1], [1, 1]]}, 2),
    "one of two": ("Multiplicative", {"weight_mh": [[1, 0, 1], [0, 0, 1], [1, 1, 0]]}, 3),
    "several": ("Multiplicative", {"weight_mh": TALL, "weight_mn": GRID, "weight_hh": GRID}, 20),
    "transposed": ("Tied", {"weight_w": TALL, "weight_low": [[0, 1]], "weight_hh": GRID}, 20),
    "low rank": ("Sized", {"weight_down": [[1, 0], [0, 1]], "weight_write": [[0, 1]]}, 4),
    "input in products": ("RawOnly", {"weight_w": [[1, 0, 1, 1, 0]], "weight_hh": GRID}, 4),
    "nothing is kept": ("LSTM", {"weight_hh": [[0]]}, 1),
}
SIZES: dict[str, dict[str, Any]] = {  # about so many units
    "whole vectors": {"H": 160},
    "vectors of two parts": {"H": 50},
    "small": {"H": 1},
    "one row": {"H": 160, "B": 1},
    "one odd row": {"H": 40, "B": 1},
    "one step": {"H": 80, "T": 1},
    "both directions, ragged": {"H": 40, "bidirectional": True, "ragged": True},
    "stacked": {"H": 24, "num_layers": 2},
    "recomputed": {"H": 24, "recompute": True, "T": 40},
}


def with_masks(cell: Cell, masks: Any) -> Cell:
    found = copy.copy(cell)
    found.masks = masks
    return found


def pair(case: str, H: int, dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Any, Any]:
    """A masked layer, and one without masks whose weights are zero instead, in float64."""
    name, masks, least = CASES[case]
    H = -(-H // least) * least
    if name in ("Projected",):
        options["proj_size"] = -(-max(H // 2, 1) // least) * least
    torch.manual_seed(0)
    net = elman.Recurrent(with_masks(CELLS[name], masks), I, H, dtype=dtype, **options)
    plain = elman.Recurrent(CELLS[name], I, H, dtype=torch.float64, **options)
    for (key, weight), other in zip(net.named_parameters(), plain.parameters(), strict=True):
        with torch.no_grad():
            other.copy_(weight)
            other[~kept(key, weight, masks, CELLS[name])] = 0.0
    return net, plain


def kept(key: str, weight: Tensor, masks: Any, cell: Cell) -> Tensor:
    """Which elements of a parameter count."""
    name = key[: key.index("_l")] if "_l" in key and "_low" not in key else key[:10]
    if name not in masks:
        return torch.ones(weight.shape, dtype=torch.bool)
    grid = np.array(masks[name], bool)
    gates = len(cell.trace().u_gates) if name == "weight_hh" else 1
    rows, columns = len(weight) // gates // len(grid), weight.shape[1] // grid.shape[1]
    return torch.from_numpy(np.tile(np.kron(grid, np.ones((rows, columns), bool)), (gates, 1)))


def solve(net: Any, x: Tensor, path: str, lengths: Any = None) -> dict[str, Tensor]:
    """The outputs, final states and gradients."""
    x = x.to(next(net.parameters()).dtype).requires_grad_()
    inputs = {name: x[..., :1].detach().cos() for name in net.cell.trace().given_inputs} or None
    with elman.set_path(path):
        output, final = net(x, lengths=lengths, inputs=inputs)
        states = final if isinstance(final, tuple) else (final,)
        loss = (output * output.detach().cos()).sum() + sum(s.sin().sum() for s in states)
        grads = torch.autograd.grad(loss, [x, *net.parameters()])
    names = "x", *(name for name, _ in net.named_parameters())
    found = {"output": output} | {f"final {i}": s for i, s in enumerate(states)}
    return found | {f"gradient of {n}": g for n, g in zip(names, grads, strict=True)}


def check(case: str, dtype: torch.dtype, T: int = 5, B: int = 5, **options: Any) -> None:
    ragged, H = options.pop("ragged", False), options.pop("H")
    if case in ("input in products",) and options.get("num_layers"):
        return  # whose layers have inputs of one size
    net, plain = pair(case, H, dtype, **options)
    x, (_, masks, _) = torch.randn(T, B, I, dtype=torch.float64), CASES[case]
    lengths = torch.arange(B) % T + 1 if ragged else None
    found, expected = solve(net, x, "kernel", lengths), solve(plain, x, "reference", lengths)
    for name, value in found.items():
        wanted = expected[name]
        if name.startswith("gradient of weight"):
            counts = kept(name[12:], wanted, masks, net.cell)
            wanted = wanted * counts
            assert not value[~counts].any(), name
        kind = "gradient" if name.startswith("gradient") else "state"
        floor = 1.0 if value.shape[-1] == 1 else 1e-12  # of sums most may cancel
        assert_close(value, wanted, kind, f"{case}, {name}", floor)


@each_isa
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("given", SIZES.values(), ids=SIZES)
def test_all_gradients_are_those_of_zeros(row, case, given):
    with force(row):
        for dtype in (torch.float64, torch.float32):
            check(case, dtype, **given)


@each_isa
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_pairs)])
def test_the_bits_are_those_of_zeros(row, case, dtype):
    """However a sum is cut, and whether parts of a mask are whole vectors or not."""
    pairs = dtype is torch.bfloat16
    with contextlib.nullcontext() if pairs else force(row):
        for H, B in ((1, 3), (50, 2), (100, 1), (160, 9)):
            net, plain = (each.to(dtype) for each in pair(case, H, torch.float32))
            x = torch.randn(6, B, I)
            found, expected = (solve(each, x, "kernel") for each in (net, plain))
            for name, value in found.items():
                wanted = expected[name]
                if name.startswith("gradient of weight"):
                    wanted = wanted * kept(name[12:], wanted, CASES[case][1], net.cell)
                assert torch.equal(value, wanted), (H, B, name)


@pytest.mark.parametrize("case", CASES)
def test_the_reference_has_masks_too(case):
    net, _ = pair(case, 20)
    x = torch.randn(4, 3, I)
    found, expected = (solve(net, x, path) for path in ("reference", "kernel"))
    for name, value in found.items():
        assert_close(value, expected[name], "gradient", f"{case}, {name}", floor=1e-12)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_what_is_masked_counts_as_zero_whatever_it_is(path):
    net, _ = pair("gates", 32)
    x = torch.randn(4, 3, I)
    expected = solve(net, x, path)
    with torch.no_grad():
        out = ~kept("weight_hh_l0", net.weight_hh_l0, CASES["gates"][1], net.cell)
        net.weight_hh_l0[out] = float("nan")
    for name, value in solve(net, x, path).items():
        assert torch.equal(value, expected[name]), name


@each_isa
@pytest.mark.parametrize("case", ["one product", "gates", "tall", "projected", "transposed"])
@pytest.mark.parametrize("H", [20, 50, 160])
def test_a_row_has_the_same_bits_in_any_batch_and_step_by_step(row, case, H):
    net, _ = pair(case, H, torch.float32)
    cell = elman.RecurrentCell(net.cell, I, net.hidden_size, proj_size=net.proj_size)
    cell.load_state_dict({k.replace("_l0", ""): v for k, v in net.state_dict().items()})
    x = torch.randn(6, 7, I)
    with force(row), elman.set_path("kernel"), torch.no_grad():
        output, state = net(x)[0], None
        for b in (slice(0, 1), slice(2, 5), slice(6, 7)):
            assert torch.equal(net(x[:, b])[0], output[:, b])
        for now, expected in zip(x, output, strict=True):
            state = cell(now, state)
            assert torch.equal(state[0] if isinstance(state, tuple) else state, expected)
        with scheduled(piece_bytes=1):
            assert torch.equal(net(x)[0], output)


@needs_threads
@pytest.mark.parametrize("case", ["one product", "gates", "tall", "two stages", "projected"])
@pytest.mark.parametrize("B", [1, 3, 40])
def test_bits_do_not_depend_on_threads(case, B, monkeypatch):
    """Rows are cut among them, or the units of each step."""
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    prepare, teams = sizes.forward, []

    def watched(*given: Any) -> Any:
        numbers = prepare(*given)
        teams.append(numbers["team"])
        return numbers

    monkeypatch.setattr(sizes, "forward", watched)
    net, _ = pair(case, 160)
    x, found = torch.randn(3, B, I), []
    with scheduled(flop_per_thread=1, steps_of_part=1, meeting_bytes=1, patience=1 << 40):
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(solve(net, x, "kernel"))
    assert max(teams) == (B < 40)
    for other in found[1:]:
        assert all(torch.equal(value, other[name]) for name, value in found[0].items())


@pytest.mark.parametrize("dtype", [None, *WEIGHT_DTYPES], ids=str)
@pytest.mark.parametrize("rows", [None, 3])
@pytest.mark.parametrize("H", [20, 64])
def test_sessions_and_frozen_modules_keep_panels_of_what_counts(dtype, rows, H):
    net, plain = pair("gates", H, torch.float32)
    with torch.no_grad():  # which no scale of a row may see
        out = ~kept("weight_hh_l0", net.weight_hh_l0, CASES["gates"][1], net.cell)
        net.weight_hh_l0[out] = 50.0
    x = torch.randn(5, I) if rows is None else torch.randn(5, rows, I)
    stream = elman.Stream(net, rows, dtype)
    expected = plain.float()(x)[0].detach()
    found = torch.stack([stream.step(now).clone() for now in x])
    assert (found - expected).abs().max() < (1e-6 if dtype is None else 0.02)
    stream.reset()
    assert torch.equal(stream.chunk(x), found)
    frozen = elman.freeze(copy.deepcopy(net).eval(), weight_dtype=dtype)
    with torch.no_grad(), elman.set_path("kernel"):
        assert torch.equal(frozen(x)[0], found)


def test_captured_programs_have_masks(tmp_path):
    net, _ = pair("tall", 20, torch.float32, bidirectional=True)
    x = torch.randn(5, 2, I)
    program = torch.export.export(net, (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    found = torch.export.load(tmp_path / "program.pt2").module()(x)
    assert torch.equal(found[0], net(x)[0])
    step = net.cell.trace()
    assert "masks {'weight_hh': '10/01/00/11/01'}" in step.text
    assert _read(step.text) is step
    for other in ("{'weight_ih': '10'}", "{'weight_hh': '10/1'}", "{'weight_hh': 'x'}"):
        with pytest.raises((FormulaError, ValueError)):
            _read(step.text.replace("{'weight_hh': '10/01/00/11/01'}", other))


def test_gradients_of_each_row_have_masks_too(monkeypatch):
    add_up, asked = kernel.sums_of_weights, []
    monkeypatch.setattr(
        kernel, "sums_of_weights", lambda *given: asked.append(given[-1]) or add_up(*given)
    )
    net, _ = pair("gates", 20)
    x, names = torch.randn(4, 3, I, dtype=torch.float64), dict(net.named_parameters())

    def loss(weights: Any, row: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (row[:, None],))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 1))(names, x)
    assert any(map(any, asked))  # by one kernel for all rows
    for b in range(3):
        alone = torch.func.grad(loss)(names, x[:, b])
        for name, value in alone.items():
            assert_close(found[name][b], value, "gradient", name)


def test_derivatives_of_any_order_have_masks():
    net, _ = pair("gates", 4)
    x = torch.randn(3, 2, I, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: net(x)[0], (x,))


def test_options_that_regularise_keep_masks():
    net, plain = pair("gates", 20, zoneout=0.3, state_dropout=0.2)
    x = torch.randn(4, 3, I)
    torch.manual_seed(1)
    found = solve(net, x, "kernel")
    torch.manual_seed(1)
    assert_close(found["output"], solve(plain, x, "reference")["output"], "state")
    assert net._step().masks == {"weight_hh": "1001/0000/1100/1111"}


def test_masks_are_data():
    """Kernels of the same formula have the same code, whatever is masked."""
    found = []
    for mask in ([[1, 0], [0, 1]], [[0, 1], [1, 1]]):
        step = with_masks(CELLS["LSTM"], {"weight_hh": mask}).trace()
        made = kernel_for(step, torch.float32, by_name("avx2"), 64, False)
        found.append((made.spec.target, [run.slots.names for run in made.passes.values()]))
    assert found[0] == found[1]


def blocks_of(isa: str, dtype: str, units: int, panel: str = "") -> list[dict[str, Any]]:
    """Of three parts of units, one that reads the first half, one nothing, one all."""
    step = with_masks(CELLS["tanh"], {"weight_hh": [[1, 0], [0, 0], [1, 1]]}).trace()
    made = kernel_for(step, getattr(torch, dtype), by_name(isa), units, False, panel)
    size = step.sizes([(units, 2), (units, units), None, None])
    numbers = sizes.mask_table(made.spec, made.plan.infer, size)
    found = []
    for at in range(numbers[0], numbers[numbers[0] + 1], len(masked.BLOCK)):
        block = dict(zip(masked.BLOCK, numbers[at:], strict=False))
        ends = ("list", "runs"), ("runs", "runs.end"), ("holes", "holes.end")
        found.append(
            {a: list(numbers[block[a] : block[b]]) for a, b in ends} | {"n": block["count"]}
        )
    return found


def test_blocks_read_what_is_kept_and_no_more():
    half, nothing, every = blocks_of("sse2", "float64", 24)[::2]
    assert half == {"n": 12, "list": [*range(12)], "runs": [0, 0, 12], "holes": []}
    assert nothing == {"n": 0, "list": [], "runs": [], "holes": []}
    assert every == {"n": 24, "list": [*range(24)], "runs": [0, 0, 24], "holes": []}


def test_units_of_a_block_that_read_less_than_others_have_holes():
    """A vector lies across two parts, the second of which reads nothing."""
    found = blocks_of("sse2", "float32", 30)
    assert [block["holes"] for block in found] == [[], [], [2, 4, 0, 15], [], [], [], [], []]
    assert [block["n"] for block in found] == [15, 15, 15, 0, 0, 30, 30, 30]


def test_parts_of_a_sum_are_filled_up():
    """Of 12 numbers in two parts the first third of the units reads the first half."""
    first, *_ = blocks_of("sse2", "float64", 12)
    assert first["list"] == [0, 1, 2, 3, 4, 5, *[0] * 6]
    assert (first["n"], first["runs"], first["holes"][2:]) == (12, [0, 0, 6], [6, 12])


class Sparse(elman.cells.LSTM):
    masks = {"weight_hh": torch.eye(2)}  # noqa: RUF012


def test_masks_are_what_users_have():
    grid = [[True, False], [False, True]]
    for mask in (grid, tuple(map(tuple, grid)), np.array(grid), torch.tensor(grid), "10/01"):
        cell = elman.cells.LSTM()
        cell.masks = {"weight_hh": mask}
        assert cell.masks == Sparse.masks == (("weight_hh", "10/01"),)
        assert cell.trace() is Sparse().trace()
    assert pickle.loads(pickle.dumps(cell)).trace() is cell.trace()
    assert unmasked(cell.trace()) is elman.cells.LSTM().trace()
    cell.masks = {"weight_hh": np.ones((2, 2))}
    assert cell.trace() is elman.cells.LSTM().trace()  # which leaves nothing out
    assert elman.Recurrent(Sparse, 3, 8).weight_hh_l0.shape == (32, 8)
    assert looked_up(Sparse().trace()).masks == {"weight_hh": "10/01"}  # a session of tokens
    net, x = elman.Recurrent(cell, 3, 8), torch.randn(4, 2, 3)
    whole = net(x)[0]
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x)[0], whole)
    net.cell.masks = {"weight_hh": grid}
    found = net(x)[0]
    assert not torch.equal(found, whole)
    assert torch.equal(compiled(x)[0], found)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            {"weight_ih": [[1]]},
            r"masks are for the recurrent matrices \['weight_hh'\], got one for",
        ),
        ({"f": [[0]]}, "got one for 'f'"),
        ({"weight_hh": [1, 0]}, "expected a 2-D mask, .* got"),
        ({"weight_hh": []}, "expected a 2-D mask"),
        ({"weight_hh": [[1, 0], [1]]}, "expected a 2-D mask"),
        ({"weight_hh": "10/1"}, "expected a 2-D mask"),
        ({"weight_hh": "12"}, "expected a 2-D mask"),
        (3, "masks must be a dict of 2-D masks by the names of matrices"),
        ("weight_hh", "masks must be a dict of 2-D masks"),
    ],
)
def test_what_is_no_mask_is_named(masks, message):
    with pytest.raises(FormulaError, match=message):
        with_masks(elman.cells.LSTM(), masks).trace()


def test_units_are_a_multiple_of_a_masks_parts():
    with pytest.raises(ValueError, match=r"hidden_size to be a multiple of 2, .* parts of a mask"):
        elman.Recurrent(Sparse, 3, 7)
    cell = elman.cells.SLSTM(heads=2)
    with pytest.raises(FormulaError, match="masks are for whole matrices, got heads=2"):
        with_masks(cell, {"weight_hh": [[0, 1]]}).trace()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["one product", "gates", "projected"])
def test_tensors_of_16_bits_have_masks_too(case, dtype):
    masked_one, zeroed = pair(case, 40)
    nets = [net.to(dtype).eval() for net in (masked_one, zeroed)]
    x = torch.randn(6, 3, I).to(dtype)
    with torch.no_grad(), elman.set_path("kernel"):
        found, expected = (net(x) for net in nets)
    assert found[0].dtype == dtype
    assert torch.equal(found[0], expected[0])
