"""torch.compile and torch.export see a layer as one operator, for any number of steps and rows."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import elman


class Model(torch.nn.Module):
    """A recurrent layer between others, as in most models."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.before = torch.nn.Linear(3, 5)
        self.rnn = elman.RNN(5, 7, **options)
        self.cell = elman.RNNCell(14 if options.get("bidirectional") else 7, 4)

    def forward(self, x: torch.Tensor, hx: torch.Tensor | None = None) -> torch.Tensor:
        output, h_n = self.rnn(self.before(x), hx)
        return self.cell(output.mean(0 if not self.rnn.batch_first else 1)).sum() + h_n.sum()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"nonlinearity": "relu", "bias": False, "batch_first": True},
    ],
    ids=["plain", "stacked-bidirectional", "relu-no-bias-batch-first"],
)
def test_compiled_models_give_the_results_and_gradients_of_eager_ones(
    backend: str, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    model = Model(**options)
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
    for T, B in ((4, 2), (6, 3), (9, 5)):
        x = torch.randn(T, B, 3, requires_grad=True)
        results = []
        for run in (model, compiled):
            value = run(x)
            results.append([value, *torch.autograd.grad(value, [x, *model.parameters()])])
        for eager, traced in zip(*results, strict=True):
            torch.testing.assert_close(traced, eager)


def test_an_initial_state_gets_its_gradient() -> None:
    model = Model()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x, hx = torch.randn(4, 2, 3), torch.randn(1, 2, 7, requires_grad=True)
    (eager,) = torch.autograd.grad(model(x, hx), hx)
    (traced,) = torch.autograd.grad(compiled(x, hx), hx)
    torch.testing.assert_close(traced, eager)


def test_outputs_of_compiled_models_may_change_in_place() -> None:
    rnn, x = elman.RNN(3, 5, bidirectional=True), torch.randn(4, 2, 3)
    compiled = torch.compile(rnn, fullgraph=True, backend="aot_eager")
    found = []
    for run in (rnn, compiled):
        output = run(x)[0]
        output.relu_()
        found.append(torch.autograd.grad(output.pow(2).sum(), list(rnn.parameters())))
    for eager, traced in zip(*found, strict=True):
        torch.testing.assert_close(traced, eager)


def test_other_lengths_and_batches_compile_nothing_again() -> None:
    counter = CompileCounter()
    compiled = torch.compile(Model(), fullgraph=True, backend=counter, dynamic=True)
    for T, B in ((4, 2), (6, 3), (9, 5), (50, 7)):
        compiled(torch.randn(T, B, 3))
    assert counter.frame_count == 1
    assert counter.op_count < 20  # one call a layer, whatever the number of steps


def test_exported_programs_take_any_length_and_batch() -> None:
    model = Model(num_layers=2).eval()
    sizes = {0: torch.export.Dim("T", min=2, max=500), 1: torch.export.Dim("B", min=2, max=500)}
    program = torch.export.export(model, (torch.randn(5, 4, 3),), dynamic_shapes={"x": sizes})
    for T, B in ((5, 4), (17, 6), (300, 2)):
        x = torch.randn(T, B, 3)
        torch.testing.assert_close(program.module()(x), model(x))
    assert "elman.recur" in str(program.graph)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's
@pytest.mark.parametrize("keep", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("bias", [False, True], ids=["no-bias", "bias"])
def test_the_operator_passes_opcheck(keep: bool, bias: bool) -> None:
    weights = [torch.randn(4, 3), torch.randn(4, 4), torch.randn(4), torch.randn(4)]
    weights = [w.requires_grad_(keep) for w in (weights if bias else weights[:2])]
    x, h0 = torch.randn(5, 3, 3, requires_grad=keep), torch.randn(1, 3, 4, requires_grad=keep)
    formula, present = elman.cells.Elman().trace().text, "1111" + "01"[bias] * 2
    torch.library.opcheck(
        torch.ops.elman.recur.default, (formula, "", [x, h0, *weights], present, None, keep)
    )


def test_a_compiled_program_that_may_not_run_the_kernel_says_so() -> None:
    compiled = torch.compile(Model(), fullgraph=True, backend="aot_eager")
    with (
        elman.set_path("reference"),
        pytest.raises(elman.PathError, match=r"runs the kernel, .* set_path\('reference'\)"),
    ):
        compiled(torch.randn(4, 2, 3))


def test_no_rows_at_all_have_empty_results_and_zero_gradients() -> None:
    model = Model()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 0, 3)
    gradients = torch.autograd.grad(compiled(x), list(model.parameters()))
    assert all(not g.any() for g in gradients)


@pytest.mark.filterwarnings("ignore:Complex modules:UserWarning")
def test_dtypes_without_kernels_are_traced_through_the_reference() -> None:
    model = copy.deepcopy(Model()).to(torch.complex64)
    x = torch.randn(3, 2, 3, dtype=torch.complex64)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))
    lstm = elman.LSTM(3, 4, dtype=torch.complex64)
    states = torch.compile(
        lambda x: lstm(x, return_states=True)[2], fullgraph=True, backend="eager"
    )
    torch.testing.assert_close(states(x), lstm(x, return_states=True)[2])


def test_a_formula_that_is_gone_is_named() -> None:
    with pytest.raises(elman.FormulaError, match="expected the text of a formula"):
        torch.ops.elman.recur("nobody", "", [torch.randn(2, 1, 3)], "1", None, False)
