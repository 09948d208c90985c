"""How a formula is cut into stages, what is kept of it, and what its mistakes are called."""

import copy
import pickle

import pytest
import torch

import elman
from elman.compiler import plan as plan_module
from elman.compiler.outer import JOB
from elman.compiler.plan import plan_of, product_groups_of
from elman.compiler.weights import Sums, sums_of_weights
from elman.errors import FormulaError
from elman.expr import constant, node
from elman.functions import tanh
from elman.spaces import HIDDEN
from tests.cells import STEPS
from tests.sizes import layer_sizes


def stages(cell: str) -> tuple[int, int]:
    plan = plan_of(STEPS[cell])
    return len(plan.train.stages), len(plan.backward.stages)


@pytest.mark.parametrize("cell", ["tanh", "relu", "LSTM", "GRU", "LightGRU"])
def test_gates_on_the_previous_output_need_one_stage(cell):
    assert stages(cell) == (1, 2)


@pytest.mark.parametrize("cell", ["GRUBefore", "Reset"])
def test_an_operand_made_within_the_step_needs_a_second_stage(cell):
    assert stages(cell)[0] == 2


def test_an_elman_layer_keeps_its_output_and_nothing_else():
    plan = plan_of(STEPS["tanh"])
    assert plan.saved == ()
    assert plan.saved_states == ()
    assert plan.reads_output
    assert len(plan.gate_gradients) == 1  # of the gate, both biases and the product


def test_an_lstm_keeps_its_gates_and_cells():
    plan = plan_of(STEPS["LSTM"])
    assert sorted(n.op for n in plan.saved) == ["sigmoid", "sigmoid", "sigmoid", "tanh"]
    assert plan.saved_states == ("c",)
    assert plan.reads_output  # h


def test_biases_and_projected_inputs_are_folded_into_products():
    (stage,) = plan_of(STEPS["tanh"]).infer.stages
    (product,) = stage.products
    assert [a.op for a in product.args] == ["state", "xb"]
    assert {s.value.op for s in stage.stores} == {"tanh"}
    assert all(s.value.args == (product,) for s in stage.stores)


def test_the_products_of_all_gates_of_a_gradient_are_one_sum():
    *_, last = plan_of(STEPS["LSTM"]).backward.stages
    begun = [p.args[1].op for p in last.products if len(p.args) == 2]
    assert begun == ["product_t"] * 3


@pytest.mark.parametrize(
    ("cell", "counts"), [("tanh", [1]), ("LSTM", [4]), ("GRU", [3]), ("GRUBefore", [2, 1])]
)
def test_gates_that_read_the_same_row_run_together(cell, counts):
    assert [len(group) for group in product_groups_of(plan_of(STEPS[cell]).train)] == counts


@pytest.mark.parametrize("cell", STEPS)
def test_what_runs_together_in_training_does_so_in_inference(cell):
    """Into how many sums a product is cut hangs on it, and with it the bits."""
    plan = plan_of(STEPS[cell])
    assert product_groups_of(plan.infer) == product_groups_of(plan.train)


def test_equal_expressions_are_one_node():
    a, b = (node("x", attr=name, space=HIDDEN) for name in "ab")
    assert tanh(a + b) is tanh(a + b)
    assert tanh(a + b) is not tanh(b + a)
    assert constant(0.0) is not constant(-0.0)


def test_the_key_of_a_plan_tells_formulas_apart_and_nothing_else():
    keys = {plan_of(step).key for step in STEPS.values()}
    assert len(keys) == len(STEPS)
    assert plan_of(elman.cells.Elman("tanh").trace()).key == plan_of(STEPS["tanh"]).key


def test_the_key_of_a_plan_covers_the_order_of_gates_and_inputs():
    def step(self, x, u, s):
        return tanh(x.a + self.input("p") * (u.b + x.b)) + self.input("q")

    def key(**names):
        return plan_of(type("Ordered", (elman.Cell,), {"step": step, **names})().trace()).key

    first = key(gates=("a", "b"), inputs=("p", "q"))
    assert key(gates=("a", "b"), inputs=("p", "q")) == first
    assert key(gates=("b", "a"), inputs=("p", "q")) != first
    assert key(gates=("a", "b"), inputs=("q", "p")) != first


class _Cell(elman.Cell):
    gates = ("a",)


def _broken(step):
    return type("Broken", (_Cell,), {"step": step})()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda self, x, u, s: tanh(x.b + u.a), r"Broken has no gate 'b', only \('a',\)"),
        (lambda self, x, u, s: tanh(x.a + s.c), r"Broken has no state 'c', only \('h',\)"),
        (lambda self, x, u, s: tanh(x.a + self.input("m")), r"Broken has no input 'm', only \(\)"),
        (lambda self, x, u, s: x.a if x.a > 0 else u.a, r"use elman.where\(condition, a, b\)"),
        (lambda self, x, u, s: (x.a, u.a), r"must return one value for each of the states"),
        (lambda self, x, u, s: 1.0, r"must return one value for each of the states"),
        (lambda self, x, u, s: (x.a > 0) * u.a, r"mul\(\) takes values, not a comparison, as arg"),
        (lambda self, x, u, s: elman.where(x.a, u.a, 0.0), r"where\(\) takes a comparison as arg"),
        (lambda self, x, u, s: x.a + elman.mean(u.a > 0), r"mean\(\) takes values, not a comp"),
        (lambda self, x, u, s: x.a + self.product("a", s.h > 0), r"product\(\) takes values, not"),
        (lambda self, x, u, s: x.a > u.a, r"one value for each .*, got gt\(x.a, "),
        (lambda self, x, u, s: x.a + "1", r"add\(\) .* takes symbolic values and plain numbers"),
    ],
    ids=[
        "gate",
        "state",
        "input",
        "if",
        "too-many",
        "no-value",
        "mask-as-value",
        "value-as-mask",
        "mean-of-mask",
        "product-of-mask",
        "mask-as-state",
        "text",
    ],
)
def test_a_mistake_in_a_formula_is_named_with_its_remedy(step, message):
    with pytest.raises(FormulaError, match=message):
        _broken(step).trace()


@pytest.mark.parametrize("name", ["", "a b", "a.b", "1st"])
def test_a_name_is_one_that_can_be_read_as_an_attribute(name):
    cell = type("Broken", (_Cell,), {"vectors": (name,)})()
    with pytest.raises(FormulaError, match="vectors must be a tuple of names, got"):
        cell.trace()


def test_what_is_shared_again_and_again_is_shown_and_planned_once():
    """Written out, or computed, each time it is read, such a value would be 2**60 of them."""

    def step(self, x, u, s):
        value, shared = x.a, elman.mean(u.a)
        for _ in range(60):
            value, shared = value * value, shared * shared
        return value, self.product("a", tanh(x.a + shared)) * shared

    with pytest.raises(FormulaError, match=r"for each of the states \('h',\), got \(mul\(mul"):
        _broken(step).trace()
    plan = plan_of(type("Shared", (_Cell,), {"step": step, "states": ("h", "c")})().trace())
    assert len(plan.infer.stages) == 3


def test_a_formula_may_have_more_operations_behind_one_another_than_python_has_frames():
    class Deep(_Cell):
        def step(self, x, u, s):
            value = x.a + u.a
            for i in range(600):
                value = value * s.h + i / 600
            return tanh(value)

    net = elman.Recurrent(Deep, 2, 3, dtype=torch.float64)
    x, found = torch.rand(3, 2, 2, dtype=torch.float64), list[list[torch.Tensor]]()
    for path in ("reference", "kernel"):
        with elman.set_path(path):
            output, _ = net(x)
        found.append([output, *torch.autograd.grad(output.sum(), [*net.parameters()])])
    torch.testing.assert_close(*found)


def test_a_formula_is_traced_once_and_anew_when_a_number_has_changed():
    class Leaky(elman.Cell):
        gates = ("a",)

        def __init__(self, leak):
            self.leak = leak

        def step(self, x, u, s):
            return (1 - self.leak) * s.h + self.leak * tanh(x.a + u.a)

    cell, same = Leaky(0.5), Leaky(0.5)
    first = cell.trace()
    assert cell.trace() is first
    assert same.trace() is first  # so that they share their kernels
    cell.leak = 0.25
    assert cell.trace() is not first
    assert pickle.loads(pickle.dumps(first.name)) == copy.deepcopy(same).trace().name
    assert copy.deepcopy(same).trace() is first


def test_a_cell_without_a_step_says_so():
    with pytest.raises(NotImplementedError, match=r"_Cell must define step\(self, x, u, s\)"):
        _Cell().trace()


def sums(cell: str, width: int, units: int, direct: bool = False) -> Sums:
    plan = plan_of(STEPS[cell])
    asked = [True] * len(plan.step.parameters)
    padded, together = -(-units // 16) * 16, [0] * len(asked)
    return sums_of_weights(plan, asked, 1, layer_sizes(width, units), padded, 16, direct, together)


def jobs(found: Sums) -> list[tuple[int, int]]:
    """Of each product its first unit of the panel, and how many it has, padded."""
    at, padded = JOB.index("at"), JOB.index("padded")
    rows = [found.jobs[i : i + len(JOB)] for i in range(0, len(found.jobs), len(JOB))]
    return [(row[at], row[padded]) for row in rows]


@pytest.mark.parametrize(
    ("cell", "width", "expected"),
    [
        ("tanh", 3, [(0, 64)]),  # 50 + 3 + 1 units of the state, the input and a one
        ("tanh", 14, [(0, 64), (0, 64)]),  # no room for the one: the biases are a sum of their own
        ("LSTM", 31, [(0, 96)] * 4),  # 50 + 31 + 1
        ("GRU", 3, [(0, 64)] * 4 + [(48, 16)]),  # the new gate: the input; the state, and its bias
    ],
)
def test_one_product_gives_all_gradients_of_a_gate(cell, width, expected):
    assert sorted(jobs(sums(cell, width, 50))) == expected


def test_a_sum_that_may_be_a_gradient_is_one():
    found = sums("tanh", 32, 32, direct=True)
    assert jobs(found)[:2] == [(32, 32), (0, 32)]
    assert [place for _, *place in found.places_in_jobs] == [[0, 0], [1, 0]]


@pytest.mark.parametrize("cell", STEPS)
def test_what_is_saved_has_the_same_order_in_every_process(cell, monkeypatch):
    """Sets of nodes are in the order of their addresses. Two processes may share a cache on disk,
    which then has the forward pass of one and the backward pass of the other."""

    class Reversed(set):
        def __iter__(self):
            return reversed(list(super().__iter__()))

        def __ior__(self, other):
            return Reversed({*super().__iter__(), *other})

    step, choose = STEPS[cell], plan_module.choose_saved
    expected = plan_of.__wrapped__(step)
    monkeypatch.setattr(plan_module, "choose_saved", lambda *given: Reversed(choose(*given)))
    found = plan_of.__wrapped__(step)
    assert found.saved == expected.saved
    assert found.columns == expected.columns
