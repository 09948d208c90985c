"""A session of a Sequential gives what its parts give one after another, in one call a step."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.errors import PathError
from elman.nn.parts import parts_of
from elman.streaming import lookup
from elman.streaming.lookup import LookedUp
from tests.streaming.modules import B, Gap, H, I, T, dtype_of, learned, same
from tests.streaming.narrow import rounded_to

V = 11


def on_tokens(*layers: Any, features: int = I, dtype: Any = None) -> nn.Sequential:
    return nn.Sequential(nn.Embedding(V, features, dtype=dtype), *layers)


#: Each with whether the layer on the embedding is given products that are looked up.
MODELS: dict[str, tuple[Any, bool]] = {
    "LSTM": (lambda: on_tokens(elman.LSTM(I, H), nn.Linear(H, V)), True),
    "two modules": (lambda: on_tokens(elman.GRU(I, H), elman.LSTM(H, 67), nn.Linear(67, V)), True),
    "no bias, double": (
        lambda: on_tokens(
            elman.GRU(I, H, bias=False, dtype=torch.float64),
            nn.Linear(H, V, bias=False, dtype=torch.float64),
            dtype=torch.float64,
        ),
        True,
    ),
    "projected": (
        lambda: on_tokens(elman.LSTM(I, H, proj_size=2), nn.Linear(2, H), nn.Linear(H, V)),
        True,
    ),
    "further layers": (
        lambda: on_tokens(
            nn.Dropout(0.5), elman.RNN(I, H), nn.Linear(H, 9), nn.ReLU(), nn.Linear(9, V)
        ),
        True,
    ),
    "another cell, learned states": (
        lambda: on_tokens(
            learned(elman.Recurrent(elman.cells.PeepholeLSTM, I, 67, learn_initial=True)),
            nn.Linear(67, V),
        ),
        True,
    ),
    "nothing on top": (lambda: on_tokens(elman.GRU(I, H)), True),
    "stack": (lambda: on_tokens(elman.LSTM(I, H, 3), nn.Linear(H, V)), False),
    "residual": (
        lambda: on_tokens(
            elman.GRU(I, H),
            elman.Recurrent(elman.cells.LightGRU, H, H, 3, residual=True),
            nn.Linear(H, V),
        ),
        True,
    ),
    "reads the input itself": (
        lambda: on_tokens(elman.Recurrent(Bare, H, H), nn.Linear(H, V), features=H),
        False,
    ),
    "linear first": (lambda: on_tokens(nn.Linear(I, 4), elman.GRU(4, H)), False),
    "numbers": (lambda: nn.Sequential(elman.GRU(I, H), nn.Linear(H, V)), False),
}


class Bare(elman.Cell):
    """Reads a gate and the input itself."""

    gates = ("z",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = elman.sigmoid(x.z + u.z)
        return z * s.h + (1 - z) * self.input(units="hidden_size")


each_model = pytest.mark.parametrize(("make", "looks_up"), MODELS.values(), ids=MODELS.keys())
each_lead = pytest.mark.parametrize("rows", [None, 1, B])


def example(model: nn.Sequential, rows: int | None) -> Tensor:
    lead = (T,) if rows is None else (T, rows)
    if isinstance(model[0], nn.Embedding):
        return torch.randint(V, lead)
    return torch.randn(*lead, I)


@torch.no_grad()
def by_parts(model: nn.Sequential, x: Tensor) -> tuple[Tensor, list[Any]]:
    """The output, and the recurrent layers' states."""
    states = []
    for part in model.eval():
        x = part(x)
        if isinstance(x, tuple):
            x, state = x
            states.append(state)
    return x, states


def close(found: Any, expected: Any, dtype: torch.dtype) -> None:
    atol = 2e-6 if dtype is torch.float32 else 1e-13
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@each_lead
@each_model
def test_the_results_are_those_of_the_parts(make, looks_up, rows):
    model = make()
    x = example(model, rows)
    expected, states = by_parts(model, x)
    stream = elman.Stream(model, rows)
    assert isinstance(stream, elman.Stream)
    assert isinstance(stream._streams[0], LookedUp) is looks_up
    found = torch.stack([stream.step(row).clone() for row in x])
    close(found, expected, dtype_of(model))
    close(stream.snapshot(), tuple(states), dtype_of(model))
    stream.reset()
    cut = [stream.step(x[0]).clone()[None], stream.chunk(x[1:4]), stream.chunk(x[4:])]
    assert torch.equal(torch.cat(cut), found)


@each_model
def test_without_a_table_the_bits_are_those_of_sessions_of_the_parts(make, looks_up, monkeypatch):
    monkeypatch.setattr(lookup, "LARGEST", 0)
    model = make()
    x = example(model, B)
    stream = elman.Stream(model, B)
    assert not isinstance(stream._streams[0], LookedUp)
    embedding, layers = parts_of("", model)
    expected = x if embedding is None else embedding(x).detach()
    for layer in layers:
        expected = elman.Stream(layer.module, B).chunk(expected)
    assert torch.equal(torch.stack([stream.step(row).clone() for row in x]), expected)


def test_a_step_is_one_native_call():
    stream = elman.Stream(on_tokens(elman.GRU(I, H), elman.LSTM(H, H, 2), nn.Linear(H, V)))
    assert len(stream._runs) == 1
    residual = elman.Recurrent(elman.cells.LightGRU, H, H, 3, residual=True)
    assert len(elman.Stream(on_tokens(elman.GRU(I, H), residual))._runs) == 2


def test_numbers_of_python_and_narrow_ids():
    model = on_tokens(elman.GRU(I, H), nn.Linear(H, V))
    tokens = torch.randint(V, (T,))
    streams = [elman.Stream(model) for _ in range(3)]
    for token in tokens:
        first = streams[0].step(int(token))
        assert torch.equal(streams[1].step(token), first)
        assert torch.equal(streams[2].step(token.int()), first)


def test_batch_first():
    first = elman.GRU(I, H, batch_first=True)
    for second in (elman.GRU(H, H, batch_first=True), elman.GRU(H, H)):
        model, tokens = on_tokens(first, second, nn.Linear(H, V)), torch.randint(V, (T, B))
        second.batch_first = first.batch_first = False
        expected, _ = by_parts(model, tokens)
        second.batch_first, first.batch_first = second is not model[2], True
        stream = elman.Stream(model, B)
        found = [stream.chunk(tokens[:4].T), stream.step(tokens[4]).clone()[:, None]]
        found.append(stream.chunk(tokens[5:].T))
        close(torch.cat(found, 1).transpose(0, 1), expected, torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8], ids=str)
def test_weights_in_fewer_bytes_count_for_the_head_too(dtype):
    model = on_tokens(elman.LSTM(I, 20), nn.Linear(20, V))
    tokens = torch.randint(V, (T,))
    found = elman.Stream(model, weight_dtype=dtype).chunk(tokens)
    twin = nn.Sequential(model[0], *(rounded_to(dtype, part) for part in model[1:]))
    close(found, by_parts(twin, tokens)[0], torch.float32)
    half = nn.Sequential(model[0], rounded_to(dtype, model[1]), model[2])
    assert (found - by_parts(half, tokens)[0]).abs().max() > 1e-4


@each_lead
def test_resets(rows):
    model = on_tokens(elman.LSTM(I, H), nn.Linear(H, V))
    x = example(model, rows)
    anew = torch.rand(x.shape) < 0.4
    one, other = elman.Stream(model, rows), elman.Stream(model, rows)
    expected = []
    for row, reset in zip(x, anew, strict=True):
        if rows is None and reset:
            other.reset()
        elif rows is not None:
            other.reset(reset)
        expected.append(other.step(row).clone())
    assert torch.equal(one.chunk(x, reset=anew), torch.stack(expected))
    one.reset()
    found = [one.step(row, reset=reset).clone() for row, reset in zip(x, anew, strict=True)]
    other.reset()
    assert torch.equal(found[0], expected[0])
    assert torch.equal(torch.stack(found), torch.stack(expected))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
@pytest.mark.parametrize("name", ["LSTM", "stack", "numbers"])
def test_snapshots_and_copies(again, name):
    model = MODELS[name][0]()
    x = example(model, B)
    stream = elman.Stream(model, B)
    stream.chunk(x[:3])
    kept, other = stream.snapshot(), again(stream)
    expected = stream.chunk(x[3:])
    assert torch.equal(other.chunk(x[3:]), expected)
    stream.restore(kept)
    assert same(stream.snapshot(), kept)
    assert torch.equal(torch.stack([stream.step(row).clone() for row in x[3:]]), expected)
    for wrong in (kept[0], [*kept], (*kept, kept[0])):
        with pytest.raises(TypeError, match=r"Stream: expected states in the form of snapshot\(\)"):
            stream.restore(wrong)


def test_new_weights_count_after_refresh():
    model = on_tokens(elman.GRU(I, H), nn.Linear(H, V))
    tokens = torch.randint(V, (T,))
    stream = elman.Stream(model)
    old = stream.chunk(tokens)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    model[2] = nn.Linear(H, V)
    stream.reset()
    assert torch.equal(stream.chunk(tokens), old)
    kept = stream.snapshot()
    stream.refresh()
    assert same(stream.snapshot(), kept)
    stream.reset()
    close(stream.chunk(tokens), by_parts(model, tokens)[0], torch.float32)


@pytest.mark.parametrize("rows", [None, B])
@pytest.mark.parametrize("token", [-1, V])
def test_a_token_that_there_is_not(token, rows):
    model = on_tokens(elman.GRU(I, H), nn.Linear(H, V))
    stream, before = elman.Stream(model, rows), elman.Stream(model, rows).snapshot()
    tokens = torch.full((T,) if rows is None else (T, B), token)
    with pytest.raises(IndexError) as torchs:
        model[0](tokens)
    tries = [lambda: stream.step(tokens[0]), lambda: stream.chunk(tokens)]
    for run in [*tries, lambda: stream.step(token)][: 2 + (rows is None)]:
        with pytest.raises(IndexError) as error:
            run()
        own = f"; Stream: expected tokens from 0 to {V - 1}, got {token}"
        assert str(error.value) == f"{torchs.value}{own}"
    assert same(stream.snapshot(), before)


def test_what_are_no_tokens():
    stream = elman.Stream(on_tokens(elman.GRU(I, H)), B)
    for wrong in (3, [1] * B, None):
        for run in (stream.step, stream.chunk):
            with pytest.raises(TypeError, match=r"^embedding\(\): argument 'indices'.* must be"):
                run(wrong)
    for run in (stream.step, stream.chunk):
        with pytest.raises(RuntimeError, match="following scalar types: Long, Int; but got"):
            run(torch.rand(B))
        with pytest.raises(RuntimeError, match="Stream: expected tokens of shape"):
            run(torch.zeros(2, B, 1, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="at least one time step"):
        stream.chunk(torch.zeros(0, B, dtype=torch.int64))
    with pytest.raises(ValueError, match="has no inputs: leave it out"):
        stream.step(torch.zeros(B, dtype=torch.int64), {"gap": torch.rand(B, 1)})
    with pytest.raises(ValueError, match="has no return_states=True"):
        stream.chunk(torch.zeros(T, B, dtype=torch.int64), return_states=True)
    with pytest.raises(RuntimeError, match="Stream: expected input of shape"):
        elman.Stream(nn.Sequential(elman.GRU(I, H)), B).step(torch.rand(B, I + 1))


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "empty": (nn.Sequential, ValueError, "Stream: expected at least one layer"),
    "torch.nn's": (lambda: on_tokens(nn.GRU(I, H)), TypeError, "elman.accelerate turns torch.nn's"),
    "sizes": (
        lambda: on_tokens(elman.GRU(I, H), nn.Linear(H + 1, V)),
        ValueError,
        f"Stream: expected modules that go together, got {H} features",
    ),
    "two directions": (
        lambda: on_tokens(elman.GRU(I, H, bidirectional=True)),
        ValueError,
        "Stream: expected one direction",
    ),
    "further inputs": (
        lambda: on_tokens(elman.Recurrent(Gap, I, H)),
        ValueError,
        "got one whose cell has the inputs ['gap']: give it a session of its own",
    ),
    "dtypes": (
        lambda: on_tokens(elman.GRU(I, H), nn.Linear(H, V).double()),
        RuntimeError,
        "Stream: expected a module of one dtype, torch.float32 or torch.float64",
    ),
    "elsewhere": (
        lambda: on_tokens(elman.GRU(I, H)).to("meta"),
        PathError,
        "Stream: kernels are not possible here: a tensor is on meta, kernels run on the CPU",
    ),
    "half": (lambda: on_tokens(elman.GRU(I, H)).half(), PathError, "no kernels for torch.float16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_models(name):
    make, kind, message = REFUSED[name]
    with pytest.raises(kind) as error:
        elman.Stream(make())
    assert message in str(error.value)
