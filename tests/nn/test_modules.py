"""What models, checkpoints and training loops do with a module: as with torch.nn's."""

import contextlib
import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

import elman
from tests.nn.changes import first_weights
from tests.nn.kinds import (
    KINDS,
    LAYERS,
    H,
    I,
    Kind,
    assert_all_close,
    assert_same,
    assert_same_bits,
    call,
    each,
    loss_of,
    tensors,
)
from tests.nn.old import OLD_STATES


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


@pytest.fixture
def _double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# Construction


@each(KINDS)
@pytest.mark.usefixtures("_double_by_default")
def test_new_modules_are_of_the_default_dtype(kind: Kind) -> None:
    assert_same(*kind.pair(), kind.input(), kind.state())
    found = call(kind.make(elman, dtype=torch.float32), kind.input().float())
    assert {t.dtype for t in found} == {torch.float32}


@each(KINDS)
def test_initialisation_can_be_skipped(kind: Kind) -> None:
    before = torch.get_rng_state()
    module = torch.nn.utils.skip_init(getattr(elman, kind.name), I, H, bias=False, **kind.options)
    assert torch.equal(torch.get_rng_state(), before)
    theirs = kind.make(torch.nn, bias=False)
    module.load_state_dict(theirs.state_dict())
    assert repr(module) == repr(theirs)
    assert_same(theirs, module, kind.input())


@each(KINDS)
@pytest.mark.parametrize("assign", [True, False], ids=["assigned", "copied"])
def test_modules_without_memory_get_it_later(kind: Kind, assign: bool) -> None:
    theirs, module = kind.make(torch.nn), kind.make(elman, device="meta")
    with elman.set_path("auto"):
        found = tensors(module(kind.input().to("meta")))
    assert [t.shape for t in found] == [t.shape for t in tensors(theirs(kind.input()))]
    assert all(t.is_meta for t in found)
    with pytest.raises(RuntimeError, match="input on the weights' device meta, got cpu"):
        module(kind.input())
    if not assign:
        module.to_empty(device="cpu")
    module.load_state_dict(theirs.state_dict(), assign=assign)
    assert_same(theirs, module, kind.input())


@each(KINDS)
def test_parameters_are_drawn_anew_as_torch_draws_them(kind: Kind) -> None:
    drawn = []
    for module in kind.stack():
        torch.manual_seed(1)
        module.reset_parameters()
        drawn.append(list(module.parameters()))
    assert_same_bits(drawn[1], drawn[0])


@each(LAYERS)
def test_weights_are_listed_as_torch_lists_them(kind: Kind) -> None:
    theirs, ours = kind.stack()
    before = call(ours, kind.input())
    ours.flatten_parameters()
    names = {p: n for module in (theirs, ours) for n, p in module.named_parameters()}
    listed = [[[names[p] for p in row] for row in m.all_weights] for m in (theirs, ours)]
    assert listed[0] == listed[1]
    assert len(before) == 2 + kind.states + sum(map(len, listed[0]))


# Checkpoints


@each(KINDS)
def test_a_whole_module_is_loaded_where_its_class_is_allowed(kind: Kind) -> None:
    module, x, file = kind.make(elman), kind.input(), io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    with torch.serialization.safe_globals([type(module)]):
        loaded = torch.load(file, weights_only=True)
    assert type(loaded) is type(module)
    assert_same_bits(call(loaded, x), call(module, x))


@each([kind for kind in LAYERS if not kind.proj_size])  # they had no projections
@pytest.mark.parametrize("change", OLD_STATES.values(), ids=OLD_STATES.keys())
def test_pytorch_53359_modules_pickled_by_old_versions(
    kind: Kind, change: Callable[[dict[str, Any]], object]
) -> None:
    """An attribute that later versions added was missing (also flair 3158)."""
    for original in kind.stack():
        expected, state = call(original, kind.input().fill_(1)), dict(vars(original))
        change(state)
        loaded = type(original).__new__(type(original))
        loaded.__setstate__(state)
        accelerated = elman.accelerate(copy.deepcopy(loaded))
        assert isinstance(accelerated, getattr(elman, kind.name))
        assert repr(accelerated) == repr(original)
        assert_all_close(call(accelerated, kind.input().fill_(1)), expected)


# Conversions


@each(KINDS)
def test_modules_follow_a_conversion_of_their_dtype(kind: Kind) -> None:
    module, x = kind.make(elman), kind.input()
    before = call(module, x)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        found = call(copy.deepcopy(module).to(dtype), x.to(dtype))
        assert {t.dtype for t in found} == {dtype}
        torch.testing.assert_close([t.float() for t in found], before, rtol=0.1, atol=0.1)
    assert_same_bits(call(module.double().float(), x), before)


@each(KINDS)
def test_parameters_may_be_swapped_instead_of_replaced(kind: Kind) -> None:
    modules = kind.stack()
    kept = [[id(p) for p in m.parameters()] for m in modules]
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        for module in modules:
            tensors(module(kind.input()))
            module.double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert kept == [[id(p) for p in m.parameters()] for m in modules]
    assert_same(*modules, kind.input().double())


# Hooks, and what wraps a module


def hooked(module: torch.nn.Module, seen: list[Any]) -> torch.nn.Module:
    """Hooks that change what passes, and note when."""

    def shapes(gradients: Any) -> list[Any]:
        return [None if g is None else g.shape for g in gradients]

    module.register_forward_pre_hook(lambda m, a, k: ((a[0] * 2, *a[1:]), k), with_kwargs=True)
    module.register_forward_hook(lambda m, a, r: r if isinstance(r, torch.Tensor) else r[::-1])
    module.register_full_backward_hook(lambda m, i, o: seen.append((shapes(i), shapes(o))))
    weight = getattr(module, first_weights(module)[1])
    weight.register_hook(lambda g: g * 3)
    weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.shape))
    return module


@each(KINDS)
def test_hooks_see_and_change_what_they_do_in_torch(kind: Kind) -> None:
    x, state, found = kind.input(), kind.state(2 if kind.single else 4), []
    for module in kind.stack():
        seen: list[Any] = []
        hooked(module, seen)
        given = x.clone().requires_grad_()
        results = tensors(module(given, state))
        loss_of(results).backward()
        found.append(([*results, given.grad, *[p.grad for p in module.parameters()]], seen))
    assert found[1][1] == found[0][1]
    assert len(found[1][1]) == 2
    assert_all_close(found[1][0], found[0][0])


@each(KINDS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_old_style_norms_are_applied_at_each_call_and_removed(kind: Kind) -> None:
    utils = torch.nn.utils
    modules = kind.stack()
    for module in modules:
        names = first_weights(module)
        utils.weight_norm(module, names[0])
        torch.manual_seed(1)
        utils.spectral_norm(module, names[1])
    x, state = kind.input(), kind.state(4)
    for _ in range(2):
        assert_same(*modules, x, state)
    for module in modules:
        utils.remove_weight_norm(module, names[0])
        utils.remove_spectral_norm(module, names[1])
    assert_same(*modules, x, state)


def reentrant(module: Any) -> Any:
    """This kind of checkpoint follows no tensors within tuples."""

    def flat(x: torch.Tensor, *states: torch.Tensor) -> Any:
        return tuple(tensors(module(x, states if len(states) > 1 else states[0])))

    return lambda x, hx: checkpoint(flat, x, *tensors(hx), use_reentrant=True)


#: Ways to run a module under which its results and gradients have the same bits.
WAYS: dict[str, Callable[[Any], Any]] = {
    "checkpoint": lambda m: lambda *a: checkpoint(m, *a, use_reentrant=False),
    "re-entrant checkpoint": reentrant,
    "functional call": lambda m: (
        lambda *a: torch.func.functional_call(m, dict(m.named_parameters()), a)
    ),
    "saved elsewhere": lambda m: under(save_on_cpu(), m),
    "saved as copies": lambda m: under(saved_tensors_hooks(torch.clone, torch.clone), m),
    "no fused modes": lambda m: under(torch.autograd.set_multithreading_enabled(False), m),
    "anomaly detection": lambda m: under(torch.autograd.detect_anomaly(), m),
}


def under(context: contextlib.AbstractContextManager[Any], module: Any) -> Any:
    def run(*arguments: Any) -> Any:
        with context:
            return module(*arguments)

    return run


@each(KINDS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_wrapped_calls_have_the_same_bits(kind: Kind, way: Callable[[Any], Any]) -> None:
    module = kind.stack()[1]
    leaves = [t.requires_grad_() for t in (kind.input(), *tensors(kind.state(4)))]
    x, *states = leaves
    given = (x, tuple(states) if kind.states > 1 else states[0])
    leaves += module.parameters()
    found = []
    for run in (module, way(module)):
        results = tensors(run(*given))
        for leaf in leaves:
            leaf.grad = None
        loss_of(results).backward()
        found.append([*results, *[leaf.grad for leaf in leaves]])
    assert_same_bits(found[1], found[0])


@each(KINDS)
def test_modules_made_in_inference_mode_compute_but_do_not_train(kind: Kind) -> None:
    x = kind.input()
    with torch.inference_mode():
        theirs, ours = kind.pair()
        assert_all_close(tensors(ours(x)), tensors(theirs(x)))
        assert all(t.is_inference() for t in tensors(ours(x)))
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        ours(x)


@each(KINDS)
def test_training_with_clipping_and_averages_goes_as_torchs(kind: Kind) -> None:
    x, averages = kind.input(), []
    for module in kind.stack():
        average, optimizer = AveragedModel(module), torch.optim.Adam(module.parameters(), 0.01)
        for _ in range(5):
            optimizer.zero_grad()
            loss_of(tensors(module(x))).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            average.update_parameters(module)
        averages.append([p.detach() for p in average.parameters()])
    torch.testing.assert_close(averages[1], averages[0], rtol=1e-3, atol=1e-4)
