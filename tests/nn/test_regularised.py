"""Options that regularise: against a plain loop that is given the same random numbers."""

import copy
import io
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent
from elman.nn.masks import LayerMasks
from elman.nn.regularise import Regularisation, training
from elman.randoms import Draw
from tests.nn import regularised_loop
from tests.nn.kinds import assert_same_bits, tensors
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(3)

I, H, T, B = 3, 5, 7, 4  # noqa: E741
LENGTHS = [4, 7, 1, 5]

OPTIONS: Mapping[str, Any] = {
    "input_dropout": 0.3,
    "state_dropout": 0.4,
    "output_dropout": 0.3,
    "recurrent_dropout": 0.2,
    "weight_dropout": 0.4,
    "zoneout": 0.3,
    "state_noise": 0.2,
    "state_clip": 0.15,
    "grad_clip": 0.05,
}
RANDOM = {name: value for name, value in OPTIONS.items() if not name.endswith("clip")}
PAIRS = [*({n: v} for n, v in OPTIONS.items())]
PAIRS += [dict(pair) for pair in itertools.combinations(OPTIONS.items(), 2)]


class Spy:
    """Keeps what modules draw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.masks: list[LayerMasks] = []
        self.weights: list[Tensor] = []
        draw = Recurrent._draw

        def spying(module: Any, *given: Any) -> Any:
            weights, masks = draw(module, *given)
            self.weights, self.masks = [*weights], [*masks]
            return weights, masks

        monkeypatch.setattr(Recurrent, "_draw", spying)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def net_of(cell: str, options: Mapping[str, Any], **others: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(getattr(elman.cells, cell), I, H, dtype=torch.float64, **options, **others)


def run(net: Recurrent, x: Tensor, seed: int = 5, **call: Any) -> dict[str, Tensor]:
    """Results and gradients of a call in which everything counts."""
    torch.manual_seed(seed)
    net.zero_grad()
    x = x.detach().requires_grad_()
    output, final = net(x, **call)
    found = {"output": output, **{f"final {i}": f for i, f in enumerate(tensors(final))}}
    return found | gradients(found, {"x": x, **dict(net.named_parameters())})


def gradients(found: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    loss = torch.stack([(v * (v + 1 + i)).sum() for i, v in enumerate(found.values())]).sum()
    grads = torch.autograd.grad(loss, [*leaves.values()], allow_unused=True)
    every = zip(leaves.items(), grads, strict=True)
    return {f"gradient of {n}": torch.zeros_like(v) if g is None else g for (n, v), g in every}


def solve(cell: str, net: Recurrent, spy: Spy, x: Tensor, lengths: Any) -> dict[str, Tensor]:
    """The same by the plain loop, for the numbers that the last call drew."""
    x = x.detach().requires_grad_()
    leaves = {"x": x, **dict(net.named_parameters())}
    sets = [[*leaves.values()][1 + i : 5 + i] for i in range(0, len(leaves) - 1, 4)]
    if net.weight_dropout:
        factors = [
            t.detach() / p for t, p in zip(spy.weights[1::4], (s[1] for s in sets), strict=True)
        ]
        sets = [[w, u * f.detach(), a, b] for (w, u, a, b), f in zip(sets, factors, strict=True)]
    drawn = net._drawn
    names = drawn.step.randoms if drawn else ()
    given = spy.masks or [LayerMasks(None, [], None)] * net.num_layers
    masks = [(m.input, dict(zip(names, m.inner, strict=True)), m.output) for m in given]
    options = {name: getattr(net, name) for name in OPTIONS}
    output, final = regularised_loop.layers(cell, x, sets, options, masks, lengths)
    found = {"output": output, **{f"final {i}": f for i, f in enumerate(final)}}
    return found | gradients(found, leaves)


def check(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        kind = "gradient" if name.startswith("gradient") else "state"
        assert_close(value, expected[name], kind, name, floor=1e-3)


def cells() -> Iterator[str]:
    return itertools.cycle(["LSTM", "GRU", "Elman"])


def cases() -> list[Any]:
    """Every pair of options, each for one of three cells in turn."""
    found = []
    for options, cell in zip(PAIRS, cells(), strict=False):
        fits = "LSTM" if cell == "Elman" and "recurrent_dropout" in options else cell
        found.append(pytest.param(fits, options, id=f"{fits}-{'-'.join(options)}"))
    return found


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize(("cell", "options"), cases())
def test_every_pair_of_options_agrees_with_a_plain_loop(
    cell: str, options: Mapping[str, Any], spy: Spy
) -> None:
    net = net_of(cell, options, num_layers=2, bidirectional=True)
    for rows, call in ((B, {"lengths": LENGTHS}), (1, {}), (3, {})):
        x = torch.randn(T, rows, I, dtype=torch.float64)
        for _ in range(2 if rows > 1 else 1):  # known the second time
            found = run(net, x, **call)
            check(found, solve(cell, net, spy, x, call.get("lengths", [T] * rows)))
    with elman.set_path("reference"):
        check(run(net, x), found)


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "Elman"])
def test_all_options_together_agree_with_a_plain_loop(cell: str, spy: Spy) -> None:
    options = {n: v for n, v in OPTIONS.items() if cell != "Elman" or n != "recurrent_dropout"}
    for sizes in ({}, {"num_layers": 2}, {"num_layers": 3, "bidirectional": True}):
        net = net_of(cell, options, **sizes)
        x = torch.randn(T, 1, I, dtype=torch.float64)
        for _ in range(2):
            check(run(net, x), solve(cell, net, spy, x, [T]))


@pytest.mark.usefixtures("kernel_path")
def test_states_have_options_of_their_own(spy: Spy) -> None:
    options = {"zoneout": (0.5, 0.05), "state_noise": (0, 0.3), "grad_clip": [None, 0.01]}
    net = net_of("LSTM", options, state_clip=(0.1, None))
    assert net.zoneout == (0.5, 0.05)
    assert net.grad_clip == (None, 0.01)
    x = torch.randn(T, B, I, dtype=torch.float64)
    check(run(net, x), solve("LSTM", net, spy, x, [T] * B))
    assert {*net._drawn.step.randoms} == {"zoneout_h", "zoneout_c", "state_noise_c"}


STACK = {"num_layers": 2, "bidirectional": True}


@pytest.mark.usefixtures("kernel_path")
def test_packed_rows_have_the_masks_of_their_sequences(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    order = sorted(range(B), key=lambda b: -LENGTHS[b])
    for _ in range(2):
        torch.manual_seed(3)
        packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        output = pad_packed_sequence(net(packed)[0], total_length=T)[0]
        alone = []
        counts = packed.batch_sizes
        for i, b in enumerate(order):
            places = [int(counts[:t].sum()) + i for t in range(LENGTHS[b])]
            for masks in spy.masks:
                named = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
                for mask in (masks.input, named["state_dropout_h"], masks.output):
                    assert mask is not None
                    assert_same_bits([mask[places]], [mask[places[:1]].expand(len(places), -1)])
            alone.append([m.map(lambda v, places=places: v[places, None]) for m in spy.masks])
        for masks, b in zip(alone, order, strict=True):
            spy.masks = masks
            one = x[: LENGTHS[b], b : b + 1]
            expected = solve("LSTM", net, spy, one, [LENGTHS[b]])["output"]
            assert_close(output[: LENGTHS[b], b : b + 1], expected, "same")


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize("form", ["batch_first", "unbatched", "lengths first"])
def test_other_forms_of_a_call(form: str, spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, batch_first="first" in form, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    lengths = LENGTHS if form == "lengths first" else [T] * B
    call = {"lengths": lengths} if form == "lengths first" else {}
    given = x.transpose(0, 1) if "first" in form else x
    if form == "unbatched":
        given = x = x[:, 0]
        lengths, x = [T], x[:, None]
    for _ in range(2):
        output, _ = net(given, **call)
        expected = solve("LSTM", net, spy, x, lengths)["output"]
        expected = expected.transpose(0, 1) if "first" in form else expected
        assert_close(output, expected[:, 0] if form == "unbatched" else expected, "same")


def test_layers_of_several_sizes_residuals_and_merges() -> None:
    torch.manual_seed(0)
    kwargs = {"dtype": torch.float64, "bidirectional": True, "merge": "sum"}
    net = Recurrent(elman.cells.LSTM, I, [4, 4, 4], residual=True, **kwargs, **RANDOM)
    uneven = Recurrent(elman.cells.LSTM, I, [4, 7, 2], **kwargs, **RANDOM)
    x = torch.randn(T, B, I, dtype=torch.float64)
    for each in (net, uneven):
        kernel = run(each, x)
        again = run(each, x)
        assert_same_bits([*kernel.values()], [*again.values()])
        with elman.set_path("reference"):
            check(kernel, run(each, x))


# -- what is drawn


def drawn(net: Recurrent, spy: Spy, rows: int = 50, steps: int = 40) -> list[LayerMasks]:
    net(torch.randn(steps, rows, net.input_size))
    return spy.masks


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_masks_have_their_frequencies_and_a_mean_of_one(p: float, spy: Spy) -> None:
    torch.manual_seed(0)
    net = Recurrent(elman.cells.LSTM, 20, 30, recurrent_dropout=p, state_dropout=p, input_dropout=p)
    (masks,) = drawn(net, spy, 200)
    every = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
    assert masks.input is not None
    for mask in (masks.input[0], every["candidate_1"], every["state_dropout_h"][0]):
        bound = 5 * (p * (1 - p) / mask.numel()) ** 0.5
        assert abs((mask == 0).double().mean().item() - p) < bound
        scale = mask.max().item()
        assert scale == pytest.approx(1 / (1 - p), rel=2e-4)
        assert set(mask.unique().tolist()) == {0.0, scale}
    zone = Recurrent(elman.cells.GRU, 20, 30, zoneout=p)
    ((_, (mask,), _),) = drawn(zone, spy, 200)
    assert abs(mask.double().mean().item() - p) < 5 * (p * (1 - p) / mask.numel()) ** 0.5
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_noise_is_normal(spy: Spy) -> None:
    torch.manual_seed(0)
    ((_, (noise,), _),) = drawn(Recurrent(elman.cells.GRU, 20, 30, state_noise=0.3), spy, 200)
    assert noise.shape == (40, 200, 30)
    values = noise.double().flatten() / 0.3
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values.abs() < 1).double().mean() - 0.6827) < 0.005


@pytest.mark.parametrize("p", [1.0, 1e-9])
def test_probabilities_at_the_ends(p: float, spy: Spy) -> None:
    options = dict.fromkeys([*RANDOM][:6], p)
    net = Recurrent(elman.cells.LSTM, I, H, **options)
    x = torch.randn(T, B, I)
    output, final = net(x)
    values = [output, *final]
    assert all(not v.any() for v in values) if p == 1 else all(v.any() for v in values)
    (masks,) = spy.masks
    for name, mask in zip(net._drawn.step.randoms, masks.inner, strict=True):
        likely = float(p == 1) if "zoneout" in name else float(p != 1)
        assert (mask.round() == likely).all()


def test_one_mask_a_sequence_and_one_a_step(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    net(torch.randn(T, B, I, dtype=torch.float64))
    once = {"state_dropout_h"}
    for masks in spy.masks:
        named = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
        for name, mask in {**named, "input": masks.input, "output": masks.output}.items():
            assert mask is not None
            alike = all(torch.equal(mask[0], mask[t]) for t in range(T))
            assert alike == (name in {*once, "input", "output"}), name
            ways = mask.chunk(2, -1)
            assert name == "input" or not torch.equal(*ways), name  # each direction has its own
    lower, upper = (list(masks.inner) for masks in spy.masks)
    assert not any(torch.equal(a, b) for a, b in zip(lower, upper, strict=True))


def test_the_mean_over_masks_is_the_value_without(spy: Spy) -> None:
    """Of a step from given states: what is masked is linear there."""
    torch.manual_seed(0)
    net = Recurrent(
        elman.cells.MinGRU, I, H, zoneout=0.3, recurrent_dropout=0.4, dtype=torch.double
    )
    x, h = torch.randn(1, 1, I, dtype=torch.double), torch.randn(1, 1, H, dtype=torch.double)
    many = net(x.expand(1, 20000, I).contiguous(), h.expand(1, 20000, H).contiguous())[0]
    expected = net.eval()(x, h)[0]
    deviation = many.std(1) / 20000**0.5
    assert ((many.mean(1) - expected[0]).abs() < 5 * deviation + 1e-12).all()


# -- seeds, modes, surroundings


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


@pytest.mark.usefixtures("kernel_path")
def test_states_of_every_step_are_given_out(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    expected = run(net, x)
    for _ in range(2):
        torch.manual_seed(5)
        output, (h_n, c_n), (h, c) = net(x, return_states=True)
        assert_same_bits(
            [output, h_n, c_n], [expected[n] for n in ("output", "final 0", "final 1")]
        )
        for every, final in ((h, h_n), (c, c_n)):
            ends = [every[i][-1 if i % 2 == 0 else 0] for i in range(4)]
            assert_same_bits(ends, [*final])
        last = spy.masks[-1].output
        assert last is not None
        assert_same_bits([output], [torch.cat([h[2], h[3]], -1) * last])


@pytest.mark.usefixtures("kernel_path")
def test_rows_that_begin_anew_keep_their_masks(spy: Spy) -> None:
    """A reset after every step but the first: each step begins from zeros, with its own masks."""
    net = net_of("LSTM", {n: v for n, v in RANDOM.items() if n != "weight_dropout"})
    x = torch.randn(T, B, I, dtype=torch.float64)
    found = run(net, x, reset=torch.ones(T, B, dtype=torch.bool))
    given, alone = spy.masks, []
    for t in range(T):
        spy.masks = [mine.map(lambda v, t=t: v[t : t + 1]) for mine in given]
        alone.append(solve("LSTM", net, spy, x[t : t + 1], [1] * B)["output"])
    assert_close(found["output"], torch.cat(alone), "same")
    with elman.set_path("reference"):
        check(run(net, x, reset=torch.ones(T, B, dtype=torch.bool)), found)


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


# -- in a formula


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


# -- errors


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
