"""Malformed calls raise what torch.nn raises, and the message says which argument is wrong."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, zeros
from torch.nn.utils.rnn import PackedSequence

import elman

Call = Callable[[ModuleType], object]


def rnn(nn: ModuleType, *args: object, **options: object) -> torch.nn.Module:
    return nn.RNN(4, 5, *args, **options)


def cell(nn: ModuleType, **options: object) -> torch.nn.Module:
    return nn.RNNCell(4, 5, **options)


def packed(batch_sizes: list, width: int = 4, dtype: torch.dtype = torch.int64) -> PackedSequence:
    """Made by hand, which checks nothing."""
    return PackedSequence(zeros(6, width), torch.tensor(batch_sizes, dtype=dtype))


def replaced(module: torch.nn.Module, **shapes: tuple[int, ...]) -> torch.nn.Module:
    """The module with other tensors behind its parameters."""
    for name, shape in shapes.items():
        getattr(module, name).data = zeros(shape)
    return module


def changed(module: torch.nn.Module, **attributes: object) -> torch.nn.Module:
    """The module with other attributes."""
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def freed(*shape: int) -> Tensor:
    tensor = zeros(shape)
    tensor.untyped_storage().resize_(0)
    return tensor


#: By case, the call and what its message has to name: argument, expected and got.
CASES: dict[str, tuple[Call, str]] = {
    "1-D input": (lambda nn: rnn(nn)(zeros(4)), r"input .*\(T, B, 4\), got 1-D of shape \(4,\)"),
    "4-D input": (lambda nn: rnn(nn)(zeros(1, 2, 3, 4)), r"input .*, got 4-D .*\(1, 2, 3, 4\)"),
    "other features": (lambda nn: rnn(nn)(zeros(3, 2, 6)), r"input .*=4, got 6 in shape \(3, 2"),
    "other features, unbatched": (lambda nn: rnn(nn)(zeros(3, 6)), r"input .*input_size=4, got 6"),
    "input of other dtype": (
        lambda nn: rnn(nn)(zeros(3, 2, 4).double()),
        r"input .*float32, got torch.float64; convert",
    ),
    "integer input": (lambda nn: rnn(nn)(zeros(3, 2, 4).long()), r"input .*float32, got .*int64"),
    "no time steps": (lambda nn: rnn(nn)(zeros(0, 2, 4)), r"input .* one time step, got .*\(0, 2"),
    "no time steps, batch first": (
        lambda nn: rnn(nn, batch_first=True)(zeros(2, 0, 4)),
        r"input .* one time step, got shape \(2, 0, 4\)",
    ),
    "hx for another batch": (
        lambda nn: rnn(nn)(zeros(3, 2, 4), zeros(1, 3, 5)),
        r"hx of shape \(1, 2, 5\), .*, got \(1, 3, 5\)",
    ),
    "hx for fewer layers": (
        lambda nn: rnn(nn, 2, bidirectional=True)(zeros(3, 2, 4), zeros(2, 2, 5)),
        r"hx of shape \(4, 2, 5\), .*, got \(2, 2, 5\)",
    ),
    "2-D hx for batched input": (
        lambda nn: rnn(nn)(zeros(3, 2, 4), zeros(2, 5)),
        r"hx to be 3-D for .*, got 2-D of shape \(2, 5\)",
    ),
    "3-D hx for unbatched input": (
        lambda nn: rnn(nn)(zeros(3, 4), zeros(1, 1, 5)),
        r"hx to be 2-D for .*, got 3-D of shape \(1, 1, 5\)",
    ),
    "hx of other dtype": (
        lambda nn: rnn(nn)(zeros(3, 2, 4), zeros(1, 2, 5).double()),
        r"hx .*float32, got torch.float64",
    ),
    "unknown nonlinearity": (lambda nn: rnn(nn, nonlinearity="elu"), "nonlinearity .*got 'elu'"),
    "unknown fourth argument": (lambda nn: rnn(nn, 1, "elu"), "nonlinearity .*'relu', got 'elu'"),
    "proj_size": (lambda nn: rnn(nn, proj_size=2), "proj_size"),
    "dropout above one": (lambda nn: rnn(nn, 2, dropout=1.5), "dropout .*range .0, 1."),
    "dropout below zero": (lambda nn: rnn(nn, 2, dropout=-0.5), "dropout .*range .0, 1."),
    "no units": (lambda nn: nn.RNN(4, 0), "hidden_size .*greater than zero"),
    "a fraction of a unit": (lambda nn: nn.RNN(4, 5.0), "hidden_size .*int, got: float"),
    "no layers": (lambda nn: rnn(nn, 0), "num_layers .*greater than zero"),
    "unknown argument": (lambda nn: rnn(nn, hidden=3), "unexpected keyword argument 'hidden'"),
    "too many packed rows": (
        lambda nn: rnn(nn)(packed([4, 4])),
        r"batch_sizes .*the 6 rows .*, got \[4, 4\]",
    ),
    "rising batch_sizes": (lambda nn: rnn(nn)(packed([2, 4])), r"batch_sizes .*got \[2, 4\]"),
    "negative batch_sizes": (lambda nn: rnn(nn)(packed([7, -1])), r"batch_sizes .*got \[7, -1\]"),
    "int32 batch_sizes": (
        lambda nn: rnn(nn)(packed([3, 3], dtype=torch.int32)),
        r"batch_sizes .*got \[3, 3\]",
    ),
    "packed rows of other features": (
        lambda nn: rnn(nn)(packed([3, 3], width=6)),
        r"input .*input_size=4, got 6 in shape \(6, 6\)",
    ),
    "hx for another packed batch": (
        lambda nn: rnn(nn)(packed([3, 3]), zeros(1, 2, 5)),
        r"hx of shape \(1, 3, 5\), .*, got \(1, 2, 5\)",
    ),
    "narrow weight_ih": (
        lambda nn: replaced(rnn(nn), weight_ih_l0=(5, 3))(zeros(3, 2, 4)),
        r"weight_\w\w of shape \(5, 4\), got \(5, 3\): something has replaced it",
    ),
    "small weight_hh": (
        lambda nn: replaced(rnn(nn), weight_hh_l0=(4, 4))(zeros(3, 2, 4)),
        r"weight_hh\w* of shape \(5, 5\), got \(4, 4\): something has replaced it",
    ),
    "short bias in the second layer": (
        lambda nn: replaced(rnn(nn, 2), bias_hh_l1=(4,))(zeros(3, 2, 4)),
        r"bias_\w\w of shape \(5,\), got \(4,\): something has replaced it",
    ),
    "narrow weight in reverse": (
        lambda nn: replaced(rnn(nn, bidirectional=True), weight_ih_l0_reverse=(5, 3))(zeros(3, 4)),
        r"weight_\w\w of shape \(5, 4\), got \(5, 3\): something has replaced it",
    ),
    "3-D input of a cell": (lambda nn: cell(nn)(zeros(1, 2, 4)), r"input .*got 3-D of .*\(1, 2, 4"),
    "3-D hx of a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(1, 2, 5)),
        r"hx .*\(B, 5\), got 3-D of shape \(1, 2, 5\)",
    ),
    "2-D hx for 1-D input of a cell": (
        lambda nn: cell(nn)(zeros(4), zeros(1, 5)),
        r"hx to be 1-D .*, got 2-D of shape \(1, 5\)",
    ),
    "1-D hx for 2-D input of a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(5)),
        r"hx to be 2-D .*, got 1-D of shape \(5,\)",
    ),
    "other features in a cell": (lambda nn: cell(nn)(zeros(2, 3)), r"input to be 4, got 3"),
    "other units in a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(2, 4)),
        r"hx to be 5, got 4 in shape \(2, 4\)",
    ),
    "hx for another batch in a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(3, 5)),
        r"hx of shape \(2, 5\), .*, got \(3, 5\)",
    ),
    "unknown nonlinearity of a cell": (
        lambda nn: cell(nn, nonlinearity="elu")(zeros(2, 4)),
        "nonlinearity .*got 'elu'",
    ),
    "input of other dtype in a cell": (
        lambda nn: cell(nn)(zeros(2, 4).double()),
        r"input .*float32, got torch.float64",
    ),
    "hx of other dtype in a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(2, 5).double()),
        r"hx .*float32, got torch.float64",
    ),
    "small weight_hh of a cell": (
        lambda nn: replaced(cell(nn), weight_hh=(4, 4))(zeros(2, 4)),
        r"weight_hh\w* of shape \(5, 5\), got \(4, 4\): something has replaced it",
    ),
}


def raised(call: Call, nn: ModuleType) -> Exception:
    with pytest.raises(Exception) as caught:
        call(nn)
    return caught.value


@pytest.mark.parametrize(("call", "message"), CASES.values(), ids=CASES.keys())
def test_the_exception_is_torchs_and_names_the_argument(call: Call, message: str) -> None:
    ours = raised(call, elman)
    assert type(ours) is type(raised(call, torch.nn))
    assert pytest.raises(type(ours), match=message).matches(ours), str(ours)


@pytest.mark.parametrize("name", ["input", "hx"])
@pytest.mark.parametrize("kind", ["RNN", "RNNCell"])
def test_what_is_not_a_tensor_is_a_type_error(kind: str, name: str) -> None:
    module = getattr(elman, kind)(4, 5)
    arguments = ([0.0] * 4,) if name == "input" else (zeros(2, 4), [0.0] * 5)
    with pytest.raises(TypeError, match=f"^{kind}: expected {name} to be a Tensor, got list$"):
        module(*arguments)


@pytest.mark.parametrize("sizes", [[2, 2, 1], [6, 0], [[3, 3]]], ids=["short", "zero", "2-D"])
def test_batch_sizes_that_torch_lets_pass_are_refused(sizes: list) -> None:
    with pytest.raises(RuntimeError, match="batch_sizes of a PackedSequence to be positive"):
        elman.RNN(4, 5)(packed(sizes))


@pytest.mark.parametrize("given", [False, True], ids=["zero-state", "given-state"])
@pytest.mark.parametrize("units", [3, 8])
def test_a_full_set_of_weights_of_another_size_is_refused(units: int, given: bool) -> None:
    module = replaced(
        elman.RNN(4, 5),
        weight_ih_l0=(units, 4),
        weight_hh_l0=(units, units),
        bias_ih_l0=(units,),
        bias_hh_l0=(units,),
    )
    with pytest.raises(RuntimeError, match=r"weight_hh\w* of shape \(5, 5\), got"):
        module(zeros(3, 2, 4), zeros(1, 2, 5) if given else None)


@pytest.mark.parametrize("path", ["auto", "reference"])
@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_that_pytorch_would_convert_or_broadcast_is_refused(name: str, path: str) -> None:
    x = zeros(2, 4)
    for weight in (zeros(1), getattr(elman.RNNCell(4, 5), name).detach().double()):
        module = changed(elman.RNNCell(4, 5), **{name: torch.nn.Parameter(weight)})
        with elman.set_path(path), pytest.raises((RuntimeError, ValueError), match="expected"):
            module(x)


def test_weights_of_two_dtypes_are_refused() -> None:
    module = elman.RNN(4, 5)
    module.weight_hh_l0.data = zeros(5, 5).double()
    with pytest.raises(RuntimeError, match="dtype"):
        module(zeros(3, 2, 4))


TEXTS: dict[str, tuple[Callable[[], object], str]] = {
    "features": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 6)),
        "RNN: expected the last dimension of input to be input_size=4, got 6 in shape (3, 2, 6)",
    ),
    "hx": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4), zeros(1, 3, 5)),
        "RNN: expected hx of shape (1, 2, 5), (num_layers * directions, batch, hidden_size), got "
        "(1, 3, 5)",
    ),
    "dtype": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4).double()),
        "RNN: expected input of the weights' dtype torch.float32, got torch.float64; convert it "
        "with input.to(torch.float32), or the module with module.to(torch.float64)",
    ),
    "packed": (
        lambda: elman.RNN(4, 5)(packed([2, 4])),
        "RNN: expected batch_sizes of a PackedSequence to be positive, falling and to add up to "
        "the 6 rows of its data, got [2, 4]; make it with torch.nn.utils.rnn.pack_padded_sequence",
    ),
    "batch_sizes": (
        lambda: elman.RNN(4, 5)(packed([3, 3])._replace(batch_sizes=[3, 3])),
        "RNN: expected batch_sizes of a PackedSequence to be a Tensor, got list",
    ),
    "device": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4, device="meta")),
        "RNN: expected input on the weights' device cpu, got meta; move it with input.to('cpu')",
    ),
    "layout": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4).to_sparse()),
        "RNN: expected input to be a dense tensor, got a torch.sparse_coo one; convert it with "
        "input.to_dense()",
    ),
    "nested": (
        lambda: elman.RNNCell(4, 5)(
            zeros(2, 4), torch.nested.nested_tensor([zeros(5)], layout=torch.jagged)
        ),
        "RNNCell: expected hx to be a dense tensor, got a nested one; pad it with "
        "to_padded_tensor(0.0), or use a PackedSequence",
    ),
    "freed": (
        lambda: elman.RNN(4, 5)(freed(3, 2, 4)),
        "expected a tensor of shape (3, 2, 4) to have memory, got one whose storage has been "
        "freed, or that never had any: give it memory before the call",
    ),
    "hx is a tuple": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4), (zeros(1, 2, 5),)),
        "RNN: expected hx to be a Tensor, got tuple",
    ),
    "weights": (
        lambda: replaced(elman.RNN(4, 5), bias_ih_l0=(1,))(zeros(3, 2, 4)),
        "expected bias_ih of shape (5,), got (1,): something has replaced it",
    ),
    "no weight": (
        lambda: changed(elman.RNN(4, 5), bias_hh_l0=None)(zeros(3, 2, 4)),
        "RNN: expected bias_hh_l0 to be a Tensor, got NoneType: something has replaced it",
    ),
    "weights of two dtypes": (
        lambda: changed(elman.RNNCell(4, 5), bias_hh=torch.nn.Parameter(zeros(5).double()))(
            zeros(2, 4)
        ),
        "expected all tensors of the input's dtype and device, torch.float32 on cpu, got "
        "torch.float64 on cpu in shape (5,): something has replaced a weight; convert the module "
        "with module.to(torch.float32)",
    ),
    "more layers than weights": (
        lambda: changed(elman.RNN(4, 5), num_layers=2)(zeros(3, 2, 4)),
        "RNN: expected weights of 2 layers in 1 directions, got 1 sets: make a new module instead "
        "of changing its attributes",
    ),
    "cell": (
        lambda: elman.RNNCell(4, 5)(zeros(4), zeros(2, 5)),
        "RNNCell: expected hx to be 1-D as input is, got 2-D of shape (2, 5)",
    ),
}


@pytest.mark.parametrize(("call", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_a_message_says_what_was_expected_and_what_came(
    call: Callable[[], Tensor], text: str
) -> None:
    with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
        call()
    assert str(caught.value) == text


def test_an_inference_tensor_that_requires_a_gradient_is_refused() -> None:
    """Its views would silently have none."""
    cell = elman.RNNCell(3, 5).requires_grad_(False)
    with torch.inference_mode():
        x = torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"input is one that requires a gradient; give input\.det"
    ):
        cell(x)
    assert cell(x.detach().clone().requires_grad_()).requires_grad
