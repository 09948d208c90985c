"""A session gives the bits of one call of its module, however the steps are cut."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import elman
from elman.launch import calls
from elman.launch.kernel_cache import scheduled
from elman.launch.together import together
from elman.streaming import chunk
from tests.streaming.modules import MODULES, B, Gap, H, I, T, dtype_of, same
from tests.systems import needs_threads

each_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES.keys())


def example(module: Any, rows: int | None) -> tuple[Tensor, Tensor, Any]:
    """An input, and what the module makes of it in one call."""
    x = torch.randn((T, I) if rows is None else (T, rows, I), dtype=dtype_of(module))
    with torch.no_grad():
        return x, *module.eval()(x)


@pytest.mark.parametrize("cuts", [[1] * T, [3, 1, 2, 1], [T], [2, 2, 2, 1]], ids=str)
@pytest.mark.parametrize("rows", [None, 1, B])
@each_module
def test_the_bits_are_those_of_one_call(make, rows, cuts):
    module = make()
    x, output, final = example(module, rows)
    stream = elman.Stream(module, rows)
    found = [
        stream.step(p[0]).clone()[None] if len(p) == 1 else stream.chunk(p) for p in x.split(cuts)
    ]
    assert torch.equal(torch.cat(found), output)
    assert same(stream.snapshot(), final)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name):
    cell = getattr(elman, name)(I, H)
    stream, x, hx = elman.Stream(cell, B), torch.randn(T, B, I), None
    for row in x:
        with torch.no_grad():
            hx = cell(row, hx)
        expected = hx[0] if isinstance(hx, tuple) else hx
        assert torch.equal(stream.step(row), expected)
    assert same(stream.snapshot(), hx)


@pytest.mark.parametrize("rows", [None, B])
def test_further_inputs(rows):
    net = elman.Recurrent(Gap, I, H, 2)
    lead = () if rows is None else (rows,)
    x, gap = torch.randn(T, *lead, I), torch.rand(T, *lead, 1)
    with torch.no_grad():
        output, _ = net(x, inputs={"gap": gap})
    stream = elman.Stream(net, rows)
    first = [stream.step(x[t], {"gap": gap[t]}).clone() for t in range(3)]
    rest = stream.chunk(x[3:], {"gap": gap[3:]})
    assert torch.equal(torch.cat([torch.stack(first), rest]), output)
    with pytest.raises(ValueError, match="expected inputs of the names"):
        stream.step(x[0])


def test_batch_first_chunks_and_other_layouts():
    net = elman.GRU(I, H, batch_first=True)
    x = torch.randn(I, T, B).transpose(0, 2)  # (B, T, I), units far apart
    with torch.no_grad():
        output, _ = net(x)
    stream = elman.Stream(net, B)
    found = [stream.chunk(x[:, :3]), stream.step(x[:, 3]).clone()[:, None], stream.chunk(x[:, 4:])]
    assert torch.equal(torch.cat(found, 1), output)
    with pytest.raises(RuntimeError, match="at least one time step"):
        stream.chunk(x[0, 0])


@each_module
def test_after_a_reset_sequences_begin_anew(make):
    module = make()
    x, output, _ = example(module, B)
    stream = elman.Stream(module, B)
    for _ in range(3):
        stream.reset()
        assert torch.equal(stream.chunk(x), output)


@each_module
def test_rows_are_reset_alone(make):
    module = make()
    x, output, _ = example(module, B)
    stream = elman.Stream(module, B)
    for row in x[:4]:
        stream.step(row)
    stream.reset([1, 3])
    begun = elman.Stream(module, B)
    later, fresh = stream.step(x[4]).clone(), begun.step(x[4])
    assert torch.equal(later[[0, 2]], output[4][[0, 2]])
    assert torch.equal(later[[1, 3]], fresh[[1, 3]])
    stream.reset(torch.ones(B, dtype=torch.bool))
    assert torch.equal(stream.step(x[0]), output[0])


@each_module
def test_a_snapshot_is_gone_back_to_and_a_final_state_gone_on_from(make):
    module = make()
    x, output, _ = example(module, B)
    stream = elman.Stream(module, B)
    stream.chunk(x[:3])
    kept = stream.snapshot()
    stream.chunk(x[3:6])
    stream.restore(kept)
    assert torch.equal(stream.chunk(x[3:]), output[3:])
    with torch.no_grad():
        _, states = module(x[:5])
    stream.restore(states)
    assert torch.equal(stream.chunk(x[5:]), output[5:])


@each_module
def test_weights_count_from_refresh_on(make):
    module = make()
    x, output, _ = example(module, B)
    stream = elman.Stream(module, B)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(0.5)
    assert torch.equal(stream.chunk(x[:2]), output[:2])  # prepared after the change
    assert torch.equal(stream.step(x[2]), output[2])
    stream.refresh()
    stream.reset()
    with torch.no_grad():
        changed, _ = module(x)
    assert torch.equal(stream.step(x[0]), changed[0])
    assert torch.equal(stream.chunk(x[1:]), changed[1:])


def test_a_refresh_that_cannot_be_leaves_all_as_it_was():
    module = elman.GRU(I, H)
    stream, x = elman.Stream(module, B), torch.rand(2, B, I)
    with torch.no_grad():
        expected, _ = module(x)
    module.double()
    with pytest.raises(elman.PathError, match=r"both torch.float64 and torch.float32"):
        stream.refresh()
    with pytest.raises(RuntimeError, match=r"expected input to be a plain tensor of torch.float32"):
        stream.step(x[0].double())
    assert torch.equal(stream.step(x[0]), expected[0])
    assert torch.equal(stream.chunk(x[1:]), expected[1:])


def test_a_session_made_in_inference_mode_can_be_used_outside_of_it():
    with torch.inference_mode():
        stream = elman.Stream(elman.GRU(I, H), B)
    x = torch.rand(B, I)
    first = stream.step(x).clone()
    stream.reset(slice(None))
    assert torch.equal(stream.step(x), first)
    stream.restore(torch.zeros(1, B, H))
    assert torch.equal(stream.step(x), first)


def test_a_step_runs_no_operator_of_torch():
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    stream, x = elman.Stream(elman.LSTM(I, H, 2), B), torch.randn(B, I)
    with Watch():
        stream.step(x)
    assert not seen
    with Watch():
        stream.snapshot()
    assert seen  # the watch does watch


def test_one_session_is_not_for_two_threads_at_a_time():
    stream, x, faults = elman.Stream(elman.RNN(64, 256), 64), torch.randn(400, 64, 64), []

    def use() -> None:
        try:
            for _ in range(20):
                stream.chunk(x)
        except RuntimeError as error:
            faults.append(str(error))

    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(faults) == 1
    assert "give each thread one of its own" in faults[0]


def bad_calls(stream: Any) -> dict[str, tuple[type[Exception], str, Callable[[], Any]]]:
    x = torch.randn(T, B, I)
    return {
        "a list": (
            TypeError,
            "expected input to be a Tensor, got list",
            lambda: stream.step([1.0]),
        ),
        "one row": (
            RuntimeError,
            r"input of shape \(4, 3\), got \(3,\)",
            lambda: stream.step(x[0, 0]),
        ),
        "a list of steps": (TypeError, "got list", lambda: stream.chunk([[1.0]])),
        "a double chunk": (RuntimeError, "float32 on the CPU", lambda: stream.chunk(x.double())),
        "a chunk for a step": (RuntimeError, "got \\(7, 4, 3\\)", lambda: stream.step(x)),
        "no steps": (RuntimeError, "at least one time step", lambda: stream.chunk(x[:0])),
        "a step for a chunk": (RuntimeError, "expected input of shape", lambda: stream.chunk(x[0])),
        "double": (RuntimeError, "float32 on the CPU", lambda: stream.step(x[0].double())),
        "meta": (RuntimeError, "kernels run on the CPU", lambda: stream.step(x[0].to("meta"))),
        "negative": (RuntimeError, "negative", lambda: stream.step(torch._neg_view(x[0]))),
        "further inputs": (ValueError, "which the cell reads", lambda: stream.step(x[0], {"a": x})),
        "a row too many": (IndexError, "out of bounds", lambda: stream.reset([B])),
        "states in another form": (TypeError, "in the form of", lambda: stream.restore([x])),
        "states of other rows": (
            RuntimeError,
            "state of shape",
            lambda: stream.restore(tree_map(lambda h: h[:, 1:], stream.snapshot())),
        ),
    }


@pytest.mark.parametrize("name", bad_calls(None))
def test_bad_calls_are_refused_and_change_nothing(name):
    stream = elman.Stream(elman.LSTM(I, H), B)
    stream.step(torch.randn(B, I))
    stream.chunk(torch.randn(T, B, I))
    before = stream.snapshot()
    error, text, call = bad_calls(stream)[name]
    with pytest.raises(error, match=text):
        call()
    assert same(stream.snapshot(), before)


@pytest.mark.parametrize(
    ("error", "text", "make"),
    [
        (TypeError, "elman.accelerate", lambda: elman.Stream(torch.nn.GRU(I, H))),
        (ValueError, "one direction", lambda: elman.Stream(elman.GRU(I, H, bidirectional=True))),
        (ValueError, "positive int or None, got 0", lambda: elman.Stream(elman.GRU(I, H), 0)),
    ],
    ids=["torch.nn", "two directions", "no rows"],
)
def test_modules_without_a_session(error, text, make):
    with pytest.raises(error, match=text):
        make()


def test_a_forced_reference_is_refused():
    with elman.set_path("reference"), pytest.raises(elman.PathError, match="reference"):
        elman.Stream(elman.GRU(I, H))


def test_lengths_of_chunks_are_not_kept_without_bound():
    stream = elman.Stream(elman.GRU(I, H))
    for steps in range(1, 40):
        stream.chunk(torch.randn(steps, I))
    assert len(stream._chunks) <= 6


def test_sessions_with_threads(threads):
    module = elman.GRU(64, 128)
    x = torch.randn(300, 16, 64)  # often enough for threads that are in each other's way
    with torch.no_grad():
        output, _ = module(x)
    torch.set_num_threads(2)
    stream = elman.Stream(module, 16)
    assert torch.equal(torch.stack([stream.step(row).clone() for row in x]), output)


@needs_threads
@pytest.mark.parametrize("rows", [None, 1])
@pytest.mark.parametrize(
    "make",
    [*MODULES.values(), lambda: elman.Recurrent(Gap, I, H, 2)],
    ids=[*MODULES, "further inputs"],
)
def test_layers_of_one_stream_run_at_the_same_time(make, rows, threads, monkeypatch):
    module, steps, lead = make().eval(), 50, () if rows is None else (1,)
    x = torch.randn(2 * steps, *lead, I, dtype=dtype_of(module))
    further = {name: torch.rand(2 * steps, *lead, 1) for name in module._step().inputs}
    with torch.no_grad():
        output, final = module(x, **({"inputs": further} if further else {}))
    made: list[int] = []

    def spy(tasks: Any, *args: Any) -> Any:
        made.append(len(tasks))
        return together(tasks, *args)

    monkeypatch.setattr(chunk, "together", spy)
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    torch.set_num_threads(2)
    apart = torch.stack([x, x], -1)[..., 0]  # units that do not lie side by side
    with scheduled(flop_per_thread=1):
        stream = elman.Stream(module, rows)
        for _ in range(3):
            stream.reset()
            found = [
                stream.chunk(part[when], {name: t[when] for name, t in further.items()} or None)
                for part, when in ((x, slice(0, steps)), (apart, slice(steps, None)))
            ]
            assert torch.equal(torch.cat(found), output)
            assert same(stream.snapshot(), final)
    layers = len(module._layer_weights(module._step()))
    assert made == ([layers] if layers > 1 and not getattr(module, "residual", False) else [])
