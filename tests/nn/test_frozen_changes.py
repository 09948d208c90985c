"""Frozen modules notice what changes, and are what other modules are to all of PyTorch."""

import copy
import gc
import io
import os
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune
from torch.utils._pytree import tree_leaves

import elman
from elman.nn.freeze import status
from elman.nn.frozen import frozen_of
from tests.nn.freezing import CELLS, LAYERS, H, I, both, example, packs, pair, same


@pytest.fixture(autouse=True)
def _inference():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


# -- what changes


def step_of_training(module: Any) -> None:
    with torch.enable_grad():
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        sum(t.sum() for t in tree_leaves(module(example(module, 1, 2)))).backward()
        optimizer.step()


def other_parameter(module: Any) -> None:
    module.weight_hh_l0 = torch.nn.Parameter(module.weight_hh_l0 * 2)


def other_data(module: Any) -> None:
    module.weight_hh_l0.data = module.weight_hh_l0.data * 2


def under_inference_mode(module: Any) -> None:
    with torch.inference_mode():
        module.weight_ih_l0.mul_(2)


def in_freed_memory(module: Any) -> None:
    """Other data at the address of the old, unless somebody keeps that."""
    weight = module.weight_hh_l0
    values, address, tried = weight * 2, weight.data_ptr(), list[Tensor]()
    weight.data = torch.empty(0)
    while len(tried) < 200 and (not tried or tried[-1].data_ptr() != address):
        tried.append(values.clone())
    weight.data = tried[-1]


def there_and_back(module: Any) -> None:
    module.double()
    module.weight_hh_l0.mul_(2)
    module.float()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a step of an optimiser": step_of_training,
    "load_state_dict": lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
    "copy_": lambda m: m.bias_hh_l0.copy_(m.bias_hh_l0 + 1),
    "another parameter": other_parameter,
    "other data": other_data,
    "in place, under inference_mode": under_inference_mode,
    "double": lambda m: m.double(),
    "other data in freed memory": in_freed_memory,
    "double and back": there_and_back,
    "orthogonal": lambda m: torch.nn.init.orthogonal_(m.weight_hh_l0),
    "bfloat16": lambda m: m.bfloat16(),
    "parametrized": lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
    "the last bias pruned": lambda m: prune.random_unstructured(m, "bias_hh_l0", 0.5),
    "pruned": lambda m: prune.random_unstructured(m, "weight_hh_l0", 0.5),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_counts_in_the_next_call(change, mode):
    plain, frozen = pair(lambda: elman.GRU(I, H))
    x = example(plain, 2, 2)
    with mode():
        before = both(plain, frozen, x)
    for module in (plain, frozen):
        torch.manual_seed(1)
        change(module)
    x = x.to(next(plain.parameters()).dtype)
    with mode():
        after = both(plain, frozen, x)
    if change is not CHANGES["double"]:
        assert not torch.equal(after[0].float(), before[0].float())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("parametrized", "no, because its weights are computed anew at each call (parametrized"),
        ("pruned", "no, because its weights are computed anew at each call (parametrized, or"),
    ],
)
def test_what_cannot_stay_packed_says_so(change, text):
    _, frozen = pair(lambda: elman.GRU(I, H))
    CHANGES[change](frozen)
    frozen(example(frozen, 1, 2).to(next(frozen.parameters()).dtype))
    assert text in status(frozen)
    assert text in str(elman.explain(frozen))
    assert frozen_of(frozen).held is None


def test_weights_of_inference_mode_stay_unpacked():
    with torch.inference_mode():
        frozen = elman.freeze(elman.GRU(I, H).eval())
        for _ in range(3):
            frozen(example(frozen, 1, 2))
    assert "inference_mode" in status(frozen)


# -- training


def test_training_mode_and_gradients_take_the_normal_way():
    plain, frozen = pair(lambda: elman.LSTM(I, H, 2))
    x = example(plain, 3, 2)
    both(plain, frozen, x)
    for module in (plain, frozen):
        module.train()
    with torch.enable_grad():
        for module in (plain, frozen):
            for _ in range(2):
                module(x)[0].sum().backward()
        assert frozen_of(frozen).held is None
        assert status(frozen) == "not in training mode: call eval()"
        for a, b in zip(plain.parameters(), frozen.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
        for module in (plain, frozen):
            module.eval()
            module(x)[0].sum().backward()
        for a, b in zip(plain.parameters(), frozen.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
    both(plain, frozen, x)
    assert packs(frozen)


def test_calls_without_gradients_need_no_mode():
    plain, frozen = pair(lambda: elman.GRU(I, H).requires_grad_(False))
    with torch.enable_grad():
        x = example(plain, 1, 2)
        both(plain, frozen, x)
        assert packs(frozen)
        assert frozen(x.requires_grad_())[0].requires_grad


# -- copies


def saved(module: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize(
    "of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), saved, copy.copy]
)
@pytest.mark.parametrize("make", [LAYERS["merged, residual"], LAYERS["RNN"], CELLS["LSTMCell"]])
def test_copies_are_frozen_and_have_their_own_weights(make, of):
    plain, frozen = pair(make)
    x = example(plain, 3) if isinstance(plain, elman.LSTMCell) else example(plain, 1, 3)
    both(plain, frozen, x)
    other = of(frozen)
    assert frozen_of(other) is not None
    same(other(x), plain(x))
    name, weight = next(iter(other.named_parameters()))
    setattr(other, name, torch.nn.Parameter(weight * 2))
    for _ in range(2):
        changed = other(x)
        assert not torch.equal(tree_leaves(changed)[0], tree_leaves(plain(x))[0])
    if of is not copy.copy:  # which shares the parameters
        both(plain, frozen, x)


def test_nothing_is_added_to_the_state_and_thaw_leaves_nothing():
    plain, frozen = pair(lambda: elman.GRU(I, H))
    x = example(plain, 1, 2)
    both(plain, frozen, x)
    assert list(frozen.state_dict()) == list(plain.state_dict())
    assert set(frozen.__dict__) - set(plain.__dict__) == {"_repeat"}
    assert elman.thaw(frozen) is frozen
    assert set(frozen.__dict__) == set(plain.__dict__)
    both(plain, frozen, x)


def test_a_model_is_accelerated_and_frozen_and_restored():
    model = torch.nn.ModuleDict({"a": torch.nn.GRU(I, H), "b": torch.nn.Linear(H, 1)}).eval()
    x = torch.randn(1, 2, I)
    expected = elman.accelerate(copy.deepcopy(model))["a"](x)
    assert elman.accelerate(model, freeze=True) is model
    for _ in range(3):
        same(model["a"](x), expected)
    assert packs(model["a"])
    elman.restore(model)
    assert type(model["a"]) is torch.nn.GRU
    assert "_repeat" not in model["a"].__dict__


def test_a_subclass_prepares_its_arguments_as_before():
    class Halved(torch.nn.GRU):
        def forward(self, input: Any, hx: Any = None) -> Any:
            return super().forward(input / 2, hx)

    plain = Halved(I, H).eval()
    frozen = copy.deepcopy(plain)
    elman.accelerate(plain, subclasses=[Halved])
    elman.accelerate(frozen, subclasses=[Halved], freeze=True)
    both(plain, frozen, torch.randn(1, 2, I))
    assert packs(frozen)


# -- threads, and others that look on


def test_several_threads_call_one_module():
    plain, frozen = pair(lambda: elman.LSTM(I, 140, 2))
    xs = [example(plain, 1, B) for B in (1, 2, 3, 4)]
    expected, wrong = [plain(x) for x in xs], list[object]()

    def work(x: Tensor, want: Any) -> None:
        with torch.inference_mode():
            for _ in range(40):
                found = frozen(x)
                if not all(map(torch.equal, tree_leaves(found), tree_leaves(want))):
                    wrong.append(found)

    pairs = zip(xs, expected, strict=True)
    workers = [threading.Thread(target=work, args=given) for given in pairs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_other_paths_are_those_of_other_modules():
    plain, frozen = pair(lambda: elman.GRU(I, H))
    x = example(plain, 1, 2)
    both(plain, frozen, x)
    for path in ("reference", "torch", "kernel"):
        with elman.set_path(path):
            both(plain, frozen, x)
    batched = x.expand(3, 1, 2, I)
    same(torch.func.vmap(frozen)(batched), torch.func.vmap(plain)(batched))
    weights = {k: v * 2 for k, v in plain.named_parameters()}
    same(
        torch.func.functional_call(frozen, weights, x),
        torch.func.functional_call(plain, weights, x),
    )
    both(plain, frozen, x)
    with torch.autocast("cpu", torch.bfloat16):
        both(plain, frozen, x)
        both(plain, frozen, example(plain, 4, 2))


def test_captured_programs_call_the_operator():
    plain, frozen = pair(lambda: elman.GRU(I, H))
    x = example(plain, 4, 2)
    both(plain, frozen, x)
    program = torch.export.export(frozen, (x,))
    assert "elman" in str(program.graph)
    same(program.module()(x), plain(x))
    same(torch.compile(frozen, backend="eager", fullgraph=True)(x), plain(x))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    "change",
    [
        lambda x, h: (x.tolist(), h),
        lambda x, h: (x.double(), h),
        lambda x, h: (x[..., 1:], h),
        lambda x, h: (x, h[:1]),
        lambda x, h: (x, (*h, h[0])),
        lambda x, h: (x, h[0]),
        lambda x, h: (x, 3),
        lambda x, h: (torch.nested.as_nested_tensor([x, x]), h),
        lambda x, h: (x, (h[0], torch.nested.as_nested_tensor([h[1]] * 2))),
    ],
)
def test_mistakes_raise_as_before(change):
    plain, frozen = pair(lambda: elman.LSTM(I, H))
    x = example(plain, 1, 2)
    _, state = both(plain, frozen, x)
    both(plain, frozen, x, state)
    texts = []
    for module in (plain, frozen):
        with pytest.raises(Exception) as raised:
            module(*change(x, state))
        texts.append((type(raised.value), str(raised.value)))
    assert texts[0] == texts[1]


def test_a_forked_child_goes_on(threads):
    plain, frozen = pair(lambda: elman.GRU(I, 200))
    torch.set_num_threads(2)
    x = example(plain, 1, 8)
    expected = both(plain, frozen, x)
    child = os.fork()
    if not child:
        found = frozen(x), frozen(x[:, :3])
        os._exit(0 if torch.equal(found[0][0], expected[0]) and packs(frozen) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "end", [elman.thaw, elman.freeze, lambda m: m.train()(torch.zeros(1, 1, I)), other_parameter]
)
def test_what_is_packed_goes_at_once(end):
    """Without waiting for the collector of garbage."""
    plain, frozen = pair(lambda: elman.GRU(I, H))
    both(plain, frozen, example(plain, 1, 2))
    both(plain, frozen, example(plain, 2, 2), lengths=[1, 2])
    packed = weakref.ref(frozen_of(frozen).held.packed)
    gc.disable()
    try:
        end(frozen)
        if end is other_parameter:
            frozen(example(plain, 1, 2))
        assert packed() is None
    finally:
        gc.enable()
