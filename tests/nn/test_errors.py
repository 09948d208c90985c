"""Malformed calls raise what torch.nn raises, and the message says which argument is wrong."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, zeros
from torch.nn.utils.rnn import PackedSequence

import elman

Call = Callable[[ModuleType], object]
TORCH = torch.torch_version.TorchVersion(torch.__version__)


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


#: Why a message begins otherwise than torch.nn's.
MET = "torch.nn checks nothing here, and its sentence is that of the operator that met it"

#: By case, the call and what its message has to name: argument, expected and got. Where it begins
#: otherwise than torch.nn's, the reason is the third.
CASES: dict[str, tuple[Call, str] | tuple[Call, str, str]] = {
    "1-D input": (lambda nn: rnn(nn)(zeros(4)), r"input .*\(T, B, 4\), got 1-D of shape \(4,\)"),
    "4-D input": (lambda nn: rnn(nn)(zeros(1, 2, 3, 4)), r"input .*, got 4-D .*\(1, 2, 3, 4\)"),
    "other features": (lambda nn: rnn(nn)(zeros(3, 2, 6)), r"input .*=4, got 6 in shape \(3, 2"),
    "other features, unbatched": (lambda nn: rnn(nn)(zeros(3, 6)), r"input .*input_size=4, got 6"),
    "input of other dtype": (
        lambda nn: rnn(nn)(zeros(3, 2, 4).double()),
        r"input .*float32, got torch.float64: convert",
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
        r"hx to be 3-D as .*, got 2-D of shape \(2, 5\)",
    ),
    "3-D hx for unbatched input": (
        lambda nn: rnn(nn)(zeros(3, 4), zeros(1, 1, 5)),
        r"hx to be 2-D as .*, got 3-D of shape \(1, 1, 5\)",
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
    "unknown argument": (
        lambda nn: rnn(nn, hidden=3),
        "unexpected keyword argument 'hidden'",
        "Python names the class whose method it is",
    ),
    "too many packed rows": (
        lambda nn: rnn(nn)(packed([4, 4])),
        r"batch_sizes .*the 6 rows .*, got \[4, 4\]",
        MET,
    ),
    "rising batch_sizes": (lambda nn: rnn(nn)(packed([2, 4])), r"batch_sizes .*got \[2, 4\]", MET),
    "negative batch_sizes": (
        lambda nn: rnn(nn)(packed([7, -1])),
        r"batch_sizes .*got \[7, -1\]",
        MET,
    ),
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
        MET,
    ),
    "small weight_hh": (
        lambda nn: replaced(rnn(nn), weight_hh_l0=(4, 4))(zeros(3, 2, 4)),
        r"weight_hh\w* of shape \(5, 5\), got \(4, 4\): something has replaced it",
        MET,
    ),
    "short bias in the second layer": (
        lambda nn: replaced(rnn(nn, 2), bias_hh_l1=(4,))(zeros(3, 2, 4)),
        r"bias_\w\w of shape \(5,\), got \(4,\): something has replaced it",
        MET,
    ),
    "narrow weight in reverse": (
        lambda nn: replaced(rnn(nn, bidirectional=True), weight_ih_l0_reverse=(5, 3))(zeros(3, 4)),
        r"weight_\w\w of shape \(5, 4\), got \(5, 3\): something has replaced it",
        MET,
    ),
    "3-D input of a cell": (lambda nn: cell(nn)(zeros(1, 2, 4)), r"input .*got 3-D of .*\(1, 2, 4"),
    "3-D hx of a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(1, 2, 5)),
        r"hx .*\(B, 5\), got 3-D of shape \(1, 2, 5\)",
    ),
    "2-D hx for 1-D input of a cell": (
        lambda nn: cell(nn)(zeros(4), zeros(1, 5)),
        r"hx of shape \(5,\), .* as input is 1-D, got \(1, 5\)",
    ),
    "1-D hx for 2-D input of a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(5)),
        r"hx of shape \(2, 5\), .* as input is 2-D, got \(5,\)",
    ),
    "other features in a cell": (lambda nn: cell(nn)(zeros(2, 3)), r"input to be 4, got 3"),
    "other units in a cell": (
        lambda nn: cell(nn)(zeros(2, 4), zeros(2, 4)),
        r"hx of shape \(2, 5\), .*, got \(2, 4\)",
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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_exception_is_torchs_and_names_the_argument(case: tuple) -> None:
    call, message, *reason = case
    ours, theirs = raised(call, elman), raised(call, torch.nn)
    assert type(ours) is type(theirs)
    assert pytest.raises(type(ours), match=message).matches(ours), str(ours)
    if TORCH >= "2.13":  # which has said some things otherwise before
        begins = str(ours).startswith(str(theirs).splitlines()[0])
        assert begins == (not reason), f"{ours}\n{theirs}"


@pytest.mark.parametrize("name", ["input", "hx"])
@pytest.mark.parametrize("kind", ["RNN", "RNNCell"])
def test_what_is_not_a_tensor_is_an_attribute_error(kind: str, name: str) -> None:
    module = getattr(elman, kind)(4, 5)
    arguments = ([0.0] * 4,) if name == "input" else (zeros(2, 4), [0.0] * 5)
    text = f"'list' object has no attribute 'dim'; {kind}: expected {name} to be a Tensor, got list"
    with pytest.raises(AttributeError, match=f"^{text}$"):
        module(*arguments)


@pytest.mark.parametrize("sizes", [[2, 2, 1], [6, 0], [[6]]], ids=["short", "zero", "2-D"])
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
        with elman.set_path(path), pytest.raises((RuntimeError, IndexError), match="expected"):
            module(x)


def test_weights_of_two_dtypes_are_refused() -> None:
    module = elman.RNN(4, 5)
    module.weight_hh_l0.data = zeros(5, 5).double()
    with pytest.raises(RuntimeError, match="dtype"):
        module(zeros(3, 2, 4))


TEXTS: dict[str, tuple[Callable[[], object], str]] = {
    "features": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 6)),
        "input.size(-1) must be equal to input_size. Expected 4, got 6; RNN: expected the last "
        "dimension of input to be input_size=4, got 6 in shape (3, 2, 6)",
    ),
    "hx": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4), zeros(1, 3, 5)),
        "Expected hidden size (1, 2, 5), got [1, 3, 5]; RNN: expected hx of shape (1, 2, 5), "
        "(num_layers * directions, batch, size), got (1, 3, 5)",
    ),
    "dtype": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4).double()),
        "RNN input dtype (torch.float64) does not match weight dtype (torch.float32). Convert "
        "input: input.to(torch.float32), or convert model: model.to(torch.float64); RNN: expected "
        "input of the weights' dtype torch.float32, got torch.float64: convert it with "
        "input.to(torch.float32), or the module with module.to(torch.float64)",
    ),
    "packed": (
        lambda: elman.RNN(4, 5)(packed([2, 4])),
        "RNN: expected batch_sizes of a PackedSequence to be positive, falling and to add up to "
        "the 6 rows of its data (int64, on the CPU), got [2, 4]: make it with "
        "torch.nn.utils.rnn.pack_padded_sequence",
    ),
    "batch_sizes": (
        lambda: elman.RNN(4, 5)(packed([3, 3])._replace(batch_sizes=[3, 3])),
        "RNN: expected batch_sizes of a PackedSequence to be a Tensor, got list",
    ),
    "device": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4, device="meta")),
        "Input and parameter tensors are not at the same device, found input tensor at meta and "
        "parameter tensor at cpu; RNN: expected input on the weights' device cpu, got meta: move "
        "it with input.to('cpu')",
    ),
    "layout": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4).to_sparse()),
        "RNN: expected input to be a dense tensor, got a torch.sparse_coo one: convert it with "
        "input.to_dense()",
    ),
    "nested": (
        lambda: elman.RNNCell(4, 5)(
            zeros(2, 4), torch.nested.nested_tensor([zeros(5)], layout=torch.jagged)
        ),
        "RNNCell: expected hx to be a dense tensor, got a nested one: pad it with "
        "to_padded_tensor(0.0), or use a PackedSequence",
    ),
    "freed": (
        lambda: elman.RNN(4, 5)(freed(3, 2, 4)),
        "expected a tensor of shape (3, 2, 4) to have memory, got one whose storage has been "
        "freed, or that never had any: give it memory before the call",
    ),
    "hx is a tuple": (
        lambda: elman.RNN(4, 5)(zeros(3, 2, 4), (zeros(1, 2, 5),)),
        "'tuple' object has no attribute 'dim'; RNN: expected hx to be a Tensor, got tuple",
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
        "torch.float64 on cpu in shape (5,): something has replaced a weight: convert the module "
        "with module.to(torch.float32)",
    ),
    "more layers than weights": (
        lambda: changed(elman.RNN(4, 5), num_layers=2)(zeros(3, 2, 4)),
        "RNN: expected weights of 2 layers in 1 directions, got 1 sets: make a new module instead "
        "of changing its attributes",
    ),
    "cell": (
        lambda: elman.RNNCell(4, 5)(zeros(4), zeros(2, 5)),
        "hidden0 has inconsistent hidden_size: got 2, expected 5; RNNCell: expected hx of shape "
        "(5,), (hidden_size,), as input is 1-D, got (2, 5)",
    ),
}


@pytest.mark.parametrize(("call", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_a_message_says_what_was_expected_and_what_came(
    call: Callable[[], Tensor], text: str
) -> None:
    with pytest.raises((RuntimeError, ValueError, TypeError, AttributeError)) as caught:
        call()
    assert str(caught.value) == text


def test_an_inference_tensor_that_requires_a_gradient_is_refused() -> None:
    """Its views would silently have none."""
    cell = elman.RNNCell(3, 5).requires_grad_(False)
    with torch.inference_mode():
        x = torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"^Inference .*: give input\.det"):
        cell(x)
    assert cell(x.detach().clone().requires_grad_()).requires_grad
