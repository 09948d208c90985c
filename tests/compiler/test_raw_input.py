"""The input itself in a formula, ``self.input()``, and values of as many numbers as it has."""

from typing import Any

import pytest
import torch

import elman
from elman import Cell, FormulaError, tanh
from elman.batch import Weights
from elman.dispatch.layer import recur
from elman.rows import Rows
from elman.step import read
from tests.cells import CELLS
from tests.compiler.problem import RAGGED, Problem, check
from tests.compiler.targets import each_isa, exact, force
from tests.sizes import layer_sizes

pytestmark = pytest.mark.sampled(5)

NAMES = ("Raw", "RawOnly", "Highway")
SIZES: dict[str, dict[str, Any]] = {
    "fewer features than units": {"I": 3, "H": 19},
    "more": {"I": 41, "H": 10},
    "whole vectors": {"I": 64, "H": 32, "B": 9},
    "one of each": {"I": 1, "H": 1},
    "one row": {"I": 5, "H": 34, "B": 1},
    "one row of many features": {"I": 70, "H": 6, "B": 1},
    "one row, one step": {"I": 33, "H": 16, "B": 1, "T": 1},
    "ragged, both directions": {"I": 13, "H": 6, "D": 2, "lengths": RAGGED},
    "recomputed": {"I": 9, "H": 6, "recompute": True, "T": 300, "B": 2},
}


@each_isa
@pytest.mark.parametrize("cell", NAMES)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_all_gradients_are_the_references(row, cell, sizes):
    with force(row):
        check(Problem(cell, **sizes))


@pytest.mark.parametrize("cell", NAMES)
@pytest.mark.parametrize(
    "sizes", [{"I": 13, "lengths": RAGGED}, {"I": 40, "H": 9, "B": 1}], ids=str
)
def test_other_dtypes(cell, sizes):
    check(Problem(cell, dtype=torch.float32, **sizes))
    with exact():
        check(Problem(cell, dtype=torch.bfloat16, **sizes))


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_gradients_are_those_of_finite_differences(path):
    torch.manual_seed(0)
    net = elman.Recurrent(CELLS["Raw"], 3, 2, dtype=torch.float64, bidirectional=True)
    names = [n for n, _ in net.named_parameters()]
    x, mask = (torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gap = torch.rand(3, 2, 1, dtype=torch.float64, requires_grad=True)

    def run(x, mask, gap, *given):
        named, more = dict(zip(names, given, strict=True)), {"mask": mask, "gap": gap}
        output, final = torch.func.functional_call(net, named, (x,), {"inputs": more})
        return output, *final

    with elman.set_path(path):
        assert torch.autograd.gradcheck(run, (x, mask, gap, *net.parameters()))


def made(name: str, features: int, units: int, **options: Any) -> tuple[Any, torch.Tensor, Any]:
    """A layer, an input and the further inputs."""
    torch.manual_seed(0)
    cell, T, B = CELLS[name], 6, 4
    features = units if cell.trace().alike else features
    net = elman.Recurrent(cell, features, units, **options)
    widths = {"mask": features, "gap": 1}
    more = {n: torch.rand(T, B, widths[n]) for n in cell.inputs} or None
    return net, torch.randn(T, B, features), more


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("features", "units"), [(3, 8), (21, 8)])
def test_steps_sessions_and_programs_have_it_too(name, features, units, tmp_path):
    net, x, more = made(name, features, units)
    expected, _ = net(x, inputs=more)
    stream = elman.Stream(net, batch_size=4)
    now = more and {k: v[0] for k, v in more.items()}
    first = stream.step(x[0], now).clone()
    rest = stream.chunk(x[1:], more and {k: v[1:] for k, v in more.items()})
    assert torch.equal(torch.cat([first[None], rest]), expected)
    single = elman.RecurrentCell(net.cell, net.input_size, units)
    single.load_state_dict({k.removesuffix("_l0"): v for k, v in net.state_dict().items()})
    hx = single(x[0], inputs=now)
    assert torch.equal(hx[0] if isinstance(hx, tuple) else hx, expected[0])
    for row in range(4):
        mine = more and {k: v[:, row : row + 1] for k, v in more.items()}
        assert torch.equal(net(x[:, row : row + 1], inputs=mine)[0], expected[:, row : row + 1])
    assert torch.equal(torch.compile(net, backend="eager")(x, inputs=more)[0], expected)
    program = torch.export.export(net, (x,), {"inputs": more})
    torch.export.save(program, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    assert torch.equal(loaded(x, inputs=more)[0], expected)
    step = net.cell.trace()
    assert read.__wrapped__(step.text).text == step.text


def test_explain_knows_its_kernels():
    net, x, more = made("Raw", 9, 6)
    net(x, inputs=more)
    assert "train" in elman.explain(net).layers[0].kernels


@pytest.mark.parametrize("options", [{"num_layers": 2}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_layers_directions_and_lengths_agree_with_the_reference(name, options):
    if name == "Highway" and "bidirectional" not in options:
        options = {**options, "residual": True}
    features = 6 if name == "Raw" and "num_layers" in options else 11
    net, x, more = made(name, features, 6, **options, dtype=torch.float64)
    x, width = x.double(), None if "bidirectional" in options else 1
    more = more and {k: v[..., :width].double() for k, v in more.items()}
    reset = torch.zeros(6, 4, dtype=torch.bool)
    reset[2, 1] = reset[4, 3] = True
    results = []
    for path in ("kernel", "kernel", "reference"):
        leaves = [x.clone().requires_grad_(), *net.parameters()]
        with elman.set_path(path):
            named = {"inputs": more, "lengths": [6, 2, 0, 5], "reset": reset}
            output, final, states = net(leaves[0], **named, return_states=True)
            parts = [output, *(final if isinstance(final, tuple) else (final,))]
            parts += states if isinstance(states, tuple) else (states,)
            loss = torch.stack([p.sin().sum() for p in parts]).sum()
            results.append([*parts, *torch.autograd.grad(loss, leaves)])
    for a, b, e in zip(*results, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


def test_what_regularises_masks_it():
    options = {"input_dropout": 0.4, "zoneout": 0.2, "state_dropout": 0.2}
    net, x, more = made("Raw", 5, 6, **options, dtype=torch.float64)
    more = {k: v.double() for k, v in more.items()}
    results = []
    for path in ("kernel", "reference"):
        torch.manual_seed(1)
        with elman.set_path(path):
            output = net(x.double(), inputs=more)[0]
            results.append([output, *torch.autograd.grad(output.sum(), [*net.parameters()])])
    for a, e in zip(*results, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


def test_gradients_of_each_row():
    net, x, more = made("RawOnly", 9, 5, dtype=torch.float64)
    assert more is None
    weights = {n: p.detach() for n, p in net.named_parameters()}

    def loss(weights, row):
        return torch.func.functional_call(net, weights, (row[:, None],))[0].sin().sum()

    x = x.double()
    found = torch.func.vmap(torch.func.grad(loss, (0, 1)), (None, 1))(weights, x)
    for i in range(4):
        expected = torch.func.grad(loss, (0, 1))(weights, x[:, i])
        torch.testing.assert_close(found[1][i], expected[1], rtol=1e-10, atol=1e-11)
        for name, value in expected[0].items():
            torch.testing.assert_close(found[0][name][i], value, rtol=1e-10, atol=1e-11)


class Mixed(Cell):
    gates = ("a",)
    inputs = ("control",)
    matrices = ("w",)
    sizes = {"control": 2}  # noqa: RUF012

    def __init__(self, formula=None):
        self.formula = formula

    def step(self, x, u, s):
        if self.formula is not None:
            return self.formula(self, x, u, s)
        return tanh(x.a + u.a + self.product("w", self.input("control")))


def test_further_inputs_have_sizes():
    net = elman.Recurrent(Mixed, 3, 5)
    assert net.weight_w_l0.shape == (5, 2)
    x, control = torch.randn(4, 2, 3), torch.randn(4, 2, 2)
    expected = x.new_zeros(2, 5)
    output = net(x, inputs={"control": control})[0]
    for now, more, found in zip(x, control, output, strict=True):
        gate = now @ net.weight_ih_l0.T + net.bias_ih_l0 + net.bias_hh_l0
        expected = torch.tanh(gate + expected @ net.weight_hh_l0.T + more @ net.weight_w_l0.T)
        torch.testing.assert_close(found, expected)
    with pytest.raises(RuntimeError, match=r"last dimension of inputs\['control'\] to be 1 or 2"):
        net(x, inputs={"control": torch.randn(4, 2, 5)})
    net, x, _ = made("Raw", 3, 5)
    with pytest.raises(RuntimeError, match=r"inputs\['mask'\] to be 1 or input_size=3, got 5"):
        net(x, inputs={"mask": torch.rand(6, 4, 5), "gap": torch.rand(6, 4, 1)})


def test_values_of_the_input_and_of_hidden_units_do_not_meet():
    with pytest.raises(FormulaError, match="got features of the input and hidden units in"):
        Mixed(lambda cell, x, u, s: x.a + cell.input()).trace()
    with pytest.raises(FormulaError, match=r"input\(\) takes units 'input_size' or"):
        Mixed(lambda cell, x, u, s: x.a + cell.input(units="proj_size")).trace()


def test_the_input_has_as_many_features_as_units_where_it_is_read_so():
    for make in (elman.Recurrent, elman.RecurrentCell):
        with pytest.raises(ValueError, match="as many features of the input as hidden units"):
            make(CELLS["Highway"], 3, 5)
    with pytest.raises(ValueError, match="as many features of the input as hidden units"):
        elman.Recurrent(CELLS["Highway"], 4, 4, num_layers=2, bidirectional=True)
    with pytest.raises(ValueError, match="since a state has as many, got 3 and 5: give one layer"):
        elman.Recurrent(CELLS["Raw"], 3, 5, num_layers=2)
    step, x = CELLS["Highway"].trace(), torch.rand(2, 2, 3)
    shapes = step.shapes(layer_sizes(3, 8))
    weights = [torch.rand(shapes[name]) if name in shapes else None for name in step.parameters]
    with pytest.raises(RuntimeError, match="expected 8 features of the input, as many as hidden"):
        recur(step, Rows(2, 2, 4), x, [None], [Weights(*weights[:4], tuple(weights[4:]))])
