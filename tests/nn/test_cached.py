"""A call that is known goes past the checks: what has changed since makes it another call."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import elman
from elman.nn import cached
from tests.nn.kinds import CELLS, KINDS, LAYERS, I, Kind, assert_same_bits, each, tensors

Call = tuple[Any, Any, Any]


@pytest.fixture(autouse=True)
def _kernel_path():
    with elman.set_path("kernel"):
        yield


def cut(module: Any, x: Any, hx: Any) -> Call:
    module.weight_hh.data = module.weight_hh.data[:, :-1]
    return module, x, hx


def cut_layer(module: Any, x: Any, hx: Any) -> Call:
    module.weight_ih_l0.data = module.weight_ih_l0.data[:, :-1]
    return module, x, hx


def widen(module: Any, x: Any, hx: Any) -> Call:
    module.input_size += 1
    return module, x, hx


def double(module: Any, x: Any, hx: Any) -> Call:
    return module.double(), x, hx


def first(module: Any, x: Any, hx: Any) -> Call:
    module.batch_first = True
    return module, x.transpose(0, 1), hx


def other_layout(module: Any, x: Any, hx: Any) -> Call:
    for p in module.parameters():
        p.data = torch.stack([p.data, p.data], -1)[..., 0]
    return module, x, hx


def other_values(module: Any, x: Any, hx: Any) -> Call:
    for p in module.parameters():
        p.data.mul_(2)
    return module, x, hx


BAD: dict[str, Callable[..., Call]] = {
    "input of another dtype": lambda m, x, hx: (m, x.double(), hx),
    "input of other features": lambda m, x, hx: (m, x[..., :-1], hx),
    "no tensor": lambda m, x, hx: (m, x.tolist(), hx),
    "sparse input": lambda m, x, hx: (m, x.to_sparse(), hx),
    "nested state": lambda m, x, hx: (m, x, nested(hx)),
    "state of fewer rows": lambda m, x, hx: (m, x, cut_rows(hx)),
    "state in a list too much": lambda m, x, hx: (m, x, [hx, hx, hx]),
    "another input_size": widen,
    "weights of another dtype": double,
}
CHANGED: dict[str, Callable[..., Call]] = {
    "other layout of the weights": other_layout,
    "other values of the weights": other_values,
    "no state": lambda m, x, hx: (m, x, None),
    "another layout of the input": lambda m, x, hx: (m, torch.stack([x, x], -1)[..., 1], hx),
    "twice the rows": lambda m, x, hx: (m, torch.cat([x, x], -2), doubled(hx)),
}


def cut_rows(hx: Any) -> Any:
    return tuple(h[..., :-1, :] for h in hx) if isinstance(hx, tuple) else hx[..., :-1, :]


def nested(hx: Any) -> Any:
    if isinstance(hx, tuple):
        return (hx[0], nested(hx[1]))
    return torch.nested.as_nested_tensor([hx, hx])


def doubled(hx: Any) -> Any:
    if isinstance(hx, tuple):
        return tuple(map(doubled, hx))
    return torch.cat([hx, hx], -2)


def packed(lengths: list[int]) -> PackedSequence:
    return pack_sequence([torch.randn(n, I) for n in lengths], enforce_sorted=False)


PACKED = [3, 6, 1, 4]  # rows, and as many steps as all other inputs have


def of_sizes(x: PackedSequence, sizes: Any) -> PackedSequence:
    return x._replace(batch_sizes=sizes)


def of_order(x: PackedSequence, order: Any) -> PackedSequence:
    return x._replace(sorted_indices=order, unsorted_indices=order)


BAD_PACKED: dict[str, Callable[..., Any]] = {
    "sizes that rise": lambda x: of_sizes(x, x.batch_sizes.flip(0)),
    "sizes of fewer rows": lambda x: of_sizes(x, x.batch_sizes - (x.batch_sizes > 3).long()),
    "sizes that end in none": lambda x: of_sizes(x, torch.tensor([4, 3, 3, 4, 0, 0])),
    "sizes that are no integers": lambda x: of_sizes(x, x.batch_sizes.double()),
    "sizes that are no tensor": lambda x: of_sizes(x, x.batch_sizes.tolist()),
    "fewer steps in its data": lambda x: x._replace(data=x.data[:-1]),
    "data of no dimensions": lambda x: x._replace(data=x.data[0, 0]),
    "an order beyond the rows": lambda x: of_order(x, x.sorted_indices + 1),
    "an order of floats": lambda x: of_order(x, x.sorted_indices.double()),
}
CHANGED_PACKED: dict[str, Callable[..., Any]] = {
    "others of its rows are long": lambda _: packed([6, 1, 4, 3]),
    "other sizes that add up to as many": lambda _: packed([2, 6, 2, 4]),
    "fewer rows of as many steps": lambda _: packed([6, 5, 3]),
    "sorted": lambda x: of_order(x, None),
    "another layout of its data": lambda x: x._replace(data=torch.stack([x.data] * 2, -1)[..., 1]),
    "its rows side by side": lambda x: torch.stack([x.data[:4], x.data[4:8]]),
}


def warm(kind: Kind) -> Call:
    """A module that knows its call, and that call."""
    torch.manual_seed(0)
    module, x, hx = kind.make(elman), kind.input(), kind.state()
    for _ in range(2):
        module(x, hx)
    return module, x, hx


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Call], Any]:
    """Calls a module as if for the first time."""
    find = cached.find

    def call(given: Call) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(cached, "find", lambda *given: (None, None, find(*given)[2]))
            return given[0](*given[1:])

    return call


@each(KINDS)
def test_the_second_call_is_known(kind, monkeypatch):
    module, x, hx = warm(kind)
    found = []
    find = cached.find
    monkeypatch.setattr(cached, "find", lambda *a: found.append(find(*a)) or found[-1])
    module(x, hx)
    assert all(call is not None for call, *_ in found)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
@each(KINDS)
def test_bad_calls_are_refused_as_at_first(kind, change, unknown):
    given = change(*warm(kind))
    with pytest.raises((AttributeError, ValueError, RuntimeError)) as expected:
        unknown(given)
    with pytest.raises(type(expected.value)) as found:
        given[0](*given[1:])
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [(k, cut) for k in CELLS] + [(k, cut_layer) for k in LAYERS],
    ids=lambda v: str(v) if isinstance(v, Kind) else "",
)
def test_a_weight_that_was_cut_is_refused(kind, change):
    given = change(*warm(kind))
    with pytest.raises(RuntimeError, match="something has replaced it"):
        given[0](*given[1:])


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
@each(KINDS)
def test_changed_calls_give_what_they_give_at_first(kind, change, unknown):
    given = change(*warm(kind))
    expected = tensors(unknown(given))
    assert_same_bits(tensors(given[0](*given[1:])), expected)


def states(kind: Kind, layers: int, rows: int, given: bool) -> Any:
    return kind.state(layers, rows) if given else None


@pytest.mark.parametrize("given", [False, True], ids=["no states", "states"])
@pytest.mark.parametrize("layers", [1, 2])
@each(LAYERS)
def test_packed_calls_are_known_whatever_the_lengths(kind, layers, given, unknown, monkeypatch):
    module = kind.make(elman, num_layers=layers, bidirectional=True)
    module(packed(PACKED), states(kind, 2 * layers, 4, given))
    for lengths in (PACKED, [6, 1, 4, 3], [2, 6, 2, 4]):
        call = module, packed(lengths), states(kind, 2 * layers, 4, given)
        expected = tensors(unknown(call))
        with monkeypatch.context() as patch:
            patch.setattr(module, "_read", None)  # what checks
            assert_same_bits(tensors(module(*call[1:])), expected)


@pytest.mark.parametrize("change", CHANGED_PACKED.values(), ids=CHANGED_PACKED.keys())
@each(LAYERS)
def test_changed_packed_calls_give_what_they_give_at_first(kind, change, unknown):
    module, x = kind.make(elman), packed(PACKED)
    module(x), module(x)
    call = module, change(x), None
    assert_same_bits(tensors(module(*call[1:])), tensors(unknown(call)))


@pytest.mark.parametrize("change", BAD_PACKED.values(), ids=BAD_PACKED.keys())
@each(LAYERS)
def test_bad_packed_calls_are_refused_as_at_first(kind, change, unknown):
    module, x, hx = kind.make(elman), packed(PACKED), kind.state()
    module(x, hx), module(x, hx)
    call = module, change(x), hx
    with pytest.raises((AttributeError, TypeError, ValueError, RuntimeError, IndexError)) as first:
        unknown(call)
    with pytest.raises(type(first.value)) as again:
        module(*call[1:])
    assert str(again.value) == str(first.value)


@each(LAYERS)
def test_an_order_of_too_many_rows_is_refused_although_the_call_is_known(kind):
    module, x, hx = kind.make(elman), packed(PACKED), kind.state()
    module(x, hx), module(x, hx)
    longer = of_order(x, torch.tensor([0, 1, 2, 3, 0]))
    with pytest.raises(RuntimeError):
        module(longer, hx)


@each(LAYERS)
def test_batch_first_may_change(kind, unknown):
    given = first(*warm(kind))
    expected = tensors(unknown(given))
    assert_same_bits(tensors(given[0](*given[1:])), expected)


def test_a_known_call_still_refuses_inference_tensors_that_want_gradients():
    module, x, _ = warm(KINDS[0])
    with torch.inference_mode():
        strange = torch.rand(x.shape, requires_grad=True)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        module(strange)


def test_stacks_bind_layers_anew_where_what_is_between_them_changes_its_form():
    net = elman.Recurrent(elman.cells.GRU, 3, 5, num_layers=2, dropout=0.5)
    x = torch.rand(6, 4, 3)
    expected = net.eval()(x)[0]
    net.train()(x)[0].sum().backward()
    assert torch.equal(net.eval()(x)[0], expected)


def test_what_adds_residuals_is_no_call_of_what_does_not():
    x, options = torch.randn(5, 3, 4), {"num_layers": 2}
    elman.Recurrent(elman.cells.GRU, 4, 4, **options)(x)
    module = elman.Recurrent(elman.cells.GRU, 4, 4, residual=True, **options)
    found = module(x)[0]
    with elman.set_path("reference"):
        torch.testing.assert_close(found, module(x)[0])


@pytest.mark.parametrize("sizes", [[5], [5, 5], [3, 5]])
def test_states_of_layers_of_different_sizes_come_in_lists_again(sizes):
    module, x = elman.Recurrent(elman.cells.GRU, 4, sizes), torch.randn(5, 3, 4)
    first, *others = (module(x, [torch.ones(1, 3, size) for size in sizes]) for _ in range(3))
    for again in others:
        torch.testing.assert_close(again, first)


@each(KINDS)
def test_what_autocast_has_converted_is_converted_again(kind):
    module, x = kind.make(elman), kind.input()
    narrow = x.to(torch.bfloat16)
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected = module(narrow.to(x.dtype))
            torch.testing.assert_close(module(narrow), expected)
    with pytest.raises((ValueError, RuntimeError), match="dtype"):
        module(narrow)


class Follows(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("frozen", [False, True], ids=["", "frozen"])
@pytest.mark.parametrize(
    "others", [Follows, forward_ad.dual_level, partial(FakeTensorMode, allow_non_fake_inputs=True)]
)
@each(KINDS)
def test_a_known_call_runs_no_kernel_while_others_look_on(kind, others, frozen):
    module, x, hx = warm(kind)
    if frozen:
        elman.freeze(module.eval())
    with torch.no_grad():
        expected = [module(x, hx) for _ in range(3)][-1]
        with others(), pytest.raises(elman.PathError, match="PyTorch operations"):
            module(x, hx)
        assert_same_bits(tensors(module(x, hx)), tensors(expected))
