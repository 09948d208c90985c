"""Random values in a formula of one's own, and what options and formulas refuse."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import elman
from elman import Recurrent
from elman.nn.regularise import Regularisation, training
from elman.randoms import Draw
from tests.nn.regularising import OPTIONS, B, H, I, Spy, T, net_of
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(3)


class Noisy(elman.Cell):
    gates = ("z", "h")
    inputs = ("gap",)
    rate = 0.4

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = elman.sigmoid(x.z + u.z + self.noise(0.1))
        new = self.dropout(elman.tanh(x.h + u.h), self.rate, per="step")
        return z * self.dropout(s.h, 0.2) + (1 - z) * new * self.input("gap")


@pytest.mark.usefixtures("kernel_path")
def test_a_formula_has_random_values(spy: Spy) -> None:
    torch.manual_seed(0)
    net = Recurrent(Noisy, I, H, dtype=torch.float64, bidirectional=True, state_noise=0.1)
    x, gap = torch.randn(T, B, I).double(), torch.rand(T, B, 1).double()
    output, _ = net(x, inputs={"gap": gap})
    (masks,) = spy.masks
    named = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
    assert len(named) == 4
    results = []
    for d, way in enumerate(("", "_reverse")):
        w, u, a, b = (
            net.get_parameter(f"{n}_l0{way}")
            for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, found = torch.zeros(B, H).double(), [torch.empty(0)] * T
        for t in reversed(range(T)) if d else range(T):
            m = {n: v[t].chunk(2, -1)[d] for n, v in named.items()}
            (xz, xh), (uz, uh) = (x[t] @ w.T + a).chunk(2, -1), (h @ u.T + b).chunk(2, -1)
            z = torch.sigmoid(xz + uz + m["drawn_0"])
            new = torch.tanh(xh + uh) * m["drawn_1"]
            h = z * (h * m["drawn_2"]) + (1 - z) * new * gap[t] + m["state_noise_h"]
            found[t] = h
        results.append(torch.stack(found))
    assert_close(output, torch.cat(results, -1), "same")
    assert named["drawn_1"].max() == pytest.approx(1 / 0.6, rel=1e-4)
    assert torch.equal(named["drawn_2"][0], named["drawn_2"][1])
    for rate, count in ((0.5, 4), (0.0, 3), (0.2, 4)):  # without this mask, and with it again
        net.cell.rate = rate
        net(x, inputs={"gap": gap})
        assert len(spy.masks[0].inner) == count
    assert spy.masks[0].inner[1].max() == pytest.approx(1 / 0.8, rel=1e-4)
    plain = net.eval()(x, inputs={"gap": gap})[0]
    assert torch.equal(plain, net(x, inputs={"gap": gap})[0])


def test_a_cell_module_draws_at_every_call() -> None:
    torch.manual_seed(0)
    cell = elman.RecurrentCell(Noisy, I, H)
    x, h, gap = torch.randn(B, I), torch.randn(B, H), {"gap": torch.rand(B, 1)}
    first, second = cell(x, h, gap), cell(x, h, gap)
    assert not torch.equal(first, second)
    cell.eval()
    assert torch.equal(cell(x, h, gap), cell(x, h, gap))


def test_gated_cells_of_the_catalogue_name_their_candidates() -> None:
    without = set()
    for name in elman.cells.CATALOGUE:
        cell = elman.cells.by_name(name)
        try:
            drawn = training("Recurrent", cell, Regularisation(recurrent_dropout=0.1))
        except ValueError:
            without.add(name)
        else:
            assert {draw for draw, _ in drawn.draws} == {Draw("keep", 0.1)}
    plain = {"antisymmetricrnn", "cornn", "ctrnn", "elman", "fastrnn", "indrnn", "irnn", "leaky"}
    odd = {"cfc", "gatedantisymmetricrnn", "lru", "ltc", "mirnn", "nascell", "odernn", "scrn"}
    odd.add("deltanet")
    assert without == plain | odd | {"unicornn"}


@pytest.mark.parametrize("name", [*OPTIONS])
@pytest.mark.parametrize("value", [-0.1, "a", True, float("nan")])
def test_numbers_that_options_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Recurrent: expected {name} "):
        Recurrent(elman.cells.LSTM, I, H, **{name: value})


@pytest.mark.parametrize(
    ("cell", "options", "text"),
    [
        (
            "LSTM",
            {"state_dropout": 1.5},
            r"dropout probability has to be between 0 and 1, but got 1.5; Recurrent: expected "
            "state_dropout between 0 and 1, got 1.5",
        ),
        ("LSTM", {"zoneout": (0.1,)}, r"one for each of the states \('h', 'c'\), got 1"),
        ("LSTM", {"input_dropout": (0.1, 0.2)}, "expected input_dropout between 0 and 1"),
        ("Elman", {"recurrent_dropout": 0.1}, r"names none: mark it with self.candidate\(value\)"),
        ("MinGRU", {"state_dropout": 0.1}, "where weights meet a state, and the formula of MinGRU"),
    ],
)
def test_options_that_a_cell_cannot_have_are_refused(
    cell: str, options: Mapping[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        net_of(cell, options)


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        ("h", {"p": 2}, "dropout\\(\\) takes a probability between 0 and 1, got 2"),
        ("h", {"p": 0.1, "per": "row"}, "takes per='sequence' or per='step', got 'row'"),
        ("number", {"p": 0.1}, "takes a value with units, got 1.0"),
    ],
)
def test_a_formula_says_what_is_wrong_with_its_dropout(value: str, options: Any, text: str) -> None:
    class Wrong(elman.Cell):
        gates = ("h",)

        def step(self, x: Any, u: Any, s: Any) -> Any:
            given = s.h if value == "h" else 1.0
            return elman.tanh(x.h + u.h) + self.dropout(given, **options)

    with pytest.raises(elman.FormulaError, match=text):
        Wrong().trace()
