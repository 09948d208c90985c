"""Options that regularise in their surroundings: seeds, evaluation, captures, copies."""

import copy
import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import Recurrent
from tests.nn.kinds import assert_same_bits, tensors
from tests.nn.regularising import LENGTHS, RANDOM, STACK, B, H, I, Spy, T, check, net_of, run, solve
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(3)


@pytest.mark.usefixtures("kernel_path")
def test_the_seed_decides_on_every_path_and_with_any_number_of_threads() -> None:
    net = net_of("GRU", RANDOM, **STACK)
    again = net_of("GRU", RANDOM, **STACK, recompute=True)
    x = torch.randn(300, 9, I, dtype=torch.float64)
    expected = run(net, x)
    assert_same_bits([*run(again, x).values()], [*expected.values()])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert_same_bits([*run(net, x).values()], [*expected.values()])
    finally:
        torch.set_num_threads(before)
    assert not torch.equal(run(net, x, seed=6)["output"], expected["output"])


def test_a_compiled_module_has_the_masks_of_an_eager_one() -> None:
    for cell, call in (("LSTM", {}), ("GRU", {"lengths": torch.tensor(LENGTHS)})):
        net = net_of(cell, RANDOM, **STACK)
        x = torch.randn(T, B, I, dtype=torch.float64)
        expected = run(net, x, **call)
        compiled: Any = torch.compile(net, backend="aot_eager", fullgraph=True)
        torch.manual_seed(5)
        given = x.clone().requires_grad_()
        output, _ = compiled(given, **call)
        assert_close(output, expected["output"], "same")
        again, _ = compiled(given, **call)
        assert not torch.equal(again, output)
        net.eval()
        assert_close(compiled(x, **call)[0], net(x, **call)[0], "same")


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "Elman"])
def test_evaluation_has_the_bits_of_a_module_without_options(cell: str) -> None:
    options = {n: v for n, v in RANDOM.items() if n != "zoneout"}
    if cell == "Elman":
        del options["recurrent_dropout"]
    net, plain = net_of(cell, options, **STACK).eval(), net_of(cell, {}, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    state = torch.get_rng_state()
    found = net(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_bits(tensors(found), tensors(plain(x)))
    assert not torch.equal(net.train()(x)[0], plain(x)[0])
    assert_same_bits(tensors(net.eval()(x)), tensors(plain(x)))


@pytest.mark.usefixtures("kernel_path")
def test_zoneout_has_its_expectation_in_evaluation() -> None:
    net = net_of("LSTM", {"zoneout": (0.25, 0.5)}).eval()
    x, h, c = torch.randn(1, B, I).double(), *(torch.randn(1, B, H).double() for _ in "hc")
    new = net_of("LSTM", {})(x, (h, c))[1]
    found = net(x, (h, c))[1]
    for p, old, value, mean in zip((0.25, 0.5), (h, c), new, found, strict=True):
        assert_close(mean, p * old + (1 - p) * value, "same")
    stream = elman.Stream(net, batch_size=B)
    long = torch.randn(T, B, I).double()
    assert_same_bits([torch.stack([stream.step(row).clone() for row in long])], [net(long)[0]])


def test_samples_of_one_layer_while_the_rest_is_in_evaluation() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(I)
            self.rnn = Recurrent(elman.cells.GRU, I, H, state_dropout=0.5, output_dropout=0.5)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(self.norm(x.flatten(0, 1)).view_as(x))[0]
            return output

    model = Model().eval()
    x = torch.randn(T, B, I)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        model.rnn.train()
        samples = torch.stack([model(x) for _ in range(3)])
    assert samples.std(0).max() > 0
    assert not model.norm.running_mean.any()  # type: ignore[union-attr]


def test_options_are_changed_between_calls(spy: Spy) -> None:
    net = net_of("LSTM", {"state_dropout": 0.2})
    x = torch.randn(T, B, I, dtype=torch.float64)
    net(x)
    first = net._drawn.step
    net.state_dropout = 0.6
    check(run(net, x), solve("LSTM", net, spy, x, [T] * B))
    assert net._drawn.step is first  # the same kernels
    assert spy.masks[0].inner[0].max() == pytest.approx(2.5)
    net.state_dropout = 0.0
    assert_same_bits([net(x)[0]], [net_of("LSTM", {})(x)[0]])
    with pytest.raises(ValueError, match="zoneout between 0 and 1"):
        net.zoneout = 2
    assert net.zoneout == 0.0


@pytest.mark.parametrize("options", [RANDOM, {"zoneout": (0.1, 0.2), "grad_clip": 1.0}])
def test_a_module_is_copied_saved_and_shown_with_its_options(options: Mapping[str, Any]) -> None:
    net = net_of("LSTM", options, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    expected = run(net, x)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    safe = [Recurrent, elman.cells.LSTM]
    with torch.serialization.safe_globals(safe):
        loaded = torch.load(file, weights_only=True)
    for other in (copy.deepcopy(net), loaded):
        assert_same_bits([*run(other, x).values()], [*expected.values()])
        assert repr(other) == repr(net)
    for name, value in options.items():
        assert f"{name}={value}" in repr(net)
        assert f"{name}={value}" in str(elman.explain(net))
    assert "zoneout" not in repr(net_of("LSTM", {}))


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and warns of shapes
def test_captures_draw_anew_at_every_run() -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    step, row = torch.export.Dim("T", min=2), torch.export.Dim("B", min=2)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: step, 1: row},), strict=False)
    more = torch.randn(T + 2, B + 3, I, dtype=torch.float64)
    expected = run(net, more)["output"]
    torch.manual_seed(5)
    assert_close(program.module()(more)[0], expected, "same")
    traced = torch.jit.trace(net, (x,), check_trace=False)
    for captured in (program.module(), traced):
        assert not torch.equal(captured(x)[0], captured(x)[0])
    mode = torch.onnx.TrainingMode.PRESERVE
    with pytest.raises(RuntimeError, match="takes a module in evaluation, got one in training"):
        torch.onnx.export(net, (x,), io.BytesIO(), dynamo=False, training=mode)


def test_each_sample_has_masks_of_its_own_under_vmap() -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def loss(p: Mapping[str, Tensor], row: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(net, dict(p), (row[:, None],))[0]
        return output.square().sum()

    x = torch.randn(T, 1, I, dtype=torch.float64).expand(T, B, I)
    for how, alike in (("same", True), ("different", False)):
        each: Any = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1), randomness=how)
        found = each(parameters, x)["weight_hh_l0"]
        assert torch.allclose(found[0], found[1]) == alike


def test_a_call_without_gradients_draws_too() -> None:
    net = net_of("GRU", {"state_dropout": 0.5})
    x = torch.randn(T, B, I, dtype=torch.float64)
    expected = run(net, x)["output"]
    with torch.no_grad():
        torch.manual_seed(5)
        assert torch.equal(net(x)[0], expected)
