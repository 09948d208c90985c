"""Every malformed call of every class raises torch.nn's exception, with its sentence first."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, zeros
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_map_only

import elman
from tests.nn.kinds import CELLS, KINDS, LAYERS, B, H, I, Kind, T, tensors

if torch.torch_version.TorchVersion(torch.__version__) < "2.13":
    pytest.skip("whose sentences are others", allow_module_level=True)

KERNELS = "torch.nn's kernels look at batch sizes one by one, elman at all of them"
ONEDNN = "oneDNN's words, where torch.nn runs it"
METAS = "the device that an operator met, without a word of what; elman's cells say what layers do"


def one(kind: Kind, state: Any, wrong: Callable[[Tensor], object], which: int = 0) -> Any:
    """The states with one of them spoilt."""
    if kind.states == 1:
        return wrong(state)
    return tuple(wrong(s) if i == which else s for i, s in enumerate(state))


def every(state: Any, wrong: Callable[[Tensor], Tensor]) -> Any:
    return tree_map_only(Tensor, wrong, state)


def packed(sizes: Any, data: Any = None) -> PackedSequence:
    """Made as a tuple, which checks nothing."""
    parts = (zeros(6, I) if data is None else data, sizes, None, None)
    return tuple.__new__(PackedSequence, parts)


def ints(*values: int) -> Tensor:
    return torch.tensor(values)


def state(kind: Kind, layers: int = 1, rows: int = B) -> Any:
    return kind.state(layers, rows, zeros)


#: By what is wrong: the arguments of a call of any module, by its kind.
ANY: dict[str, Callable[[Kind], tuple]] = {
    "input is None": lambda k: (None,),
    "input is a list": lambda k: ([[0.0] * I],),
    "input is 0-D": lambda k: (zeros(()),),
    "input is 4-D": lambda k: (zeros(1, 2, 3, I),),
    "input has other features": lambda k: (k.input(make=zeros)[..., 1:],),
    "input is double": lambda k: (k.input(make=zeros).double(),),
    "input is of integers": lambda k: (k.input(make=zeros).long(),),
    "input is half": lambda k: (k.input(make=zeros).half(), every(state(k), Tensor.half)),
    "input is elsewhere": lambda k: (k.input(make=zeros).to("meta"),),
    "hx is elsewhere": lambda k: (k.input(), every(state(k), lambda s: s.to("meta"))),
    "hx is a string": lambda k: (k.input(), "ab"),
    "hx is a number": lambda k: (k.input(), 3),
    "hx holds a list": lambda k: (k.input(), one(k, state(k), lambda s: [s])),
    "hx is 4-D": lambda k: (k.input(), every(state(k), lambda s: s[None, None])),
    "hx has other units": lambda k: (k.input(), every(state(k), lambda s: s[..., 1:])),
    "hx has more units": lambda k: (k.input(), every(state(k), lambda s: s.repeat(1, 1, 2)[0])),
    "hx is of another batch": lambda k: (k.input(), state(k, rows=B + 1)),
    "hx is double": lambda k: (k.input(), every(state(k), Tensor.double)),
    "hx is a tuple of one": lambda k: (k.input(), (tensors(state(k))[0],)),
    "hx is empty": lambda k: (k.input(), ()),
    "hx has one state more": lambda k: (k.input(), (*tensors(state(k)), tensors(state(k))[0])),
    "all is wrong": lambda k: (k.input(make=zeros)[..., 1:].double(), state(k, rows=B + 1)),
    "features and batch are wrong": lambda k: (k.input(make=zeros)[..., 1:], state(k, rows=9)),
}
OF_LAYERS: dict[str, Callable[[Kind], tuple]] = {
    "input is 1-D": lambda k: (zeros(I),),
    "no steps": lambda k: (zeros(0, B, I),),
    "no steps, unbatched": lambda k: (zeros(0, I),),
    "hx is 2-D": lambda k: (k.input(), every(state(k), lambda s: s[0])),
    "hx is batched, input is not": lambda k: (zeros(T, I), state(k)),
    "hx is of more layers": lambda k: (k.input(), state(k, 2)),
    "hx of an unbatched input has other units": lambda k: (
        zeros(T, I),
        every(state(k), lambda s: s[:, 0, 1:]),
    ),
    "hx is a tensor": lambda k: (k.input(), zeros(2, B, H)) if k.states > 1 else (3,),
    "packed of other features": lambda k: (packed(ints(3, 3), zeros(6, I + 1)),),
    "packed 3-D": lambda k: (packed(ints(3, 3), zeros(6, 1, I)),),
    "packed double": lambda k: (packed(ints(3, 3), zeros(6, I).double()),),
    "packed None": lambda k: (tuple.__new__(PackedSequence, (None, ints(3, 3), None, None)),),
    "hx is of another packed batch": lambda k: (packed(ints(3, 3)), state(k, rows=2)),
    "batch_sizes of floats": lambda k: (packed(ints(3, 3).float()),),
    "batch_sizes of floats and hx": lambda k: (packed(ints(3, 3).float()), state(k, rows=3)),
    "batch_sizes of int32": lambda k: (packed(ints(3, 3).int()),),
    "batch_sizes of booleans": lambda k: (packed(ints(1, 1).bool()),),
    "batch_sizes elsewhere": lambda k: (packed(ints(3, 3).to("meta")),),
    "batch_sizes 2-D": lambda k: (packed(ints(3, 2, 1)[None]),),
    "batch_sizes 2-D and hx": lambda k: (packed(ints(3, 2, 1)[None]), state(k, rows=3)),
    "batch_sizes 0-D": lambda k: (packed(torch.tensor(6)),),
    "batch_sizes empty": lambda k: (packed(ints()),),
    "batch_sizes None": lambda k: (packed(None),),
    "batch_sizes negative": lambda k: (packed(ints(-1, 7)),),
    "batch_sizes rising": lambda k: (packed(ints(2, 4)),),
    "batch_sizes of more rows": lambda k: (packed(ints(4, 4)),),
    "batch_sizes negative at last": lambda k: (packed(ints(7, -1)),),
}
OF_CELLS: dict[str, Callable[[Kind], tuple]] = {
    "input is 3-D": lambda k: (zeros(1, B, I),),
    "hx is 3-D": lambda k: (k.input(), every(state(k), lambda s: s[None])),
    "hx is 1-D, of another batch": lambda k: (k.input(), every(state(k), lambda s: s[0])),
    "hx is 1-D": lambda k: (k.input(H), every(state(k), lambda s: s[0])),
    "hx is batched, input is not": lambda k: (zeros(I), state(k)),
    "a narrow hx of an unbatched input": lambda k: (zeros(I), every(state(k), lambda s: s[0, 1:])),
    "hx is a tensor": lambda k: (k.input(), zeros(B, H)) if k.states > 1 else (3,),
}
#: Where elman's message begins otherwise: the class, what is wrong, and why.
OTHERWISE: dict[tuple[str, str], str] = {
    **dict.fromkeys([(str(k), "batch_sizes rising") for k in LAYERS], KERNELS),
    **dict.fromkeys([(str(k), "batch_sizes of more rows") for k in LAYERS], KERNELS),
    **dict.fromkeys([(str(k), "batch_sizes negative at last") for k in LAYERS], KERNELS),
    **dict.fromkeys([(k.name, "input is elsewhere") for k in CELLS], METAS),
    **dict.fromkeys([(k.name, "hx is elsewhere") for k in CELLS], METAS),
    ("LSTM", "hx is double"): ONEDNN,
}

#: What torch.nn's LSTM does not check, which ruins its memory, and elman's sentence.
RUINOUS = {
    ("LSTM", "hx is of another packed batch"): "Expected hidden[0] size (1, 3, ",
    ("LSTM", "packed of other features"): "input.size(-1) must be equal to input_size. Expected 3",
    ("LSTM", "packed 3-D"): "input must have 2 dimensions, got 3",
    ("LSTM", "batch_sizes 2-D and hx"): "LSTM: expected batch_sizes of a PackedSequence to be",
}


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("kind", "what", "given"),
    [
        pytest.param(kind, what, given, id=f"{kind}-{what}")
        for kind in KINDS
        for what, given in (ANY | (OF_CELLS if kind.single else OF_LAYERS)).items()
    ],
)
def test_a_call_is_refused_with_torchs_sentence(
    kind: Kind, what: str, given: Callable[[Kind], tuple]
) -> None:
    ours = raised(lambda: kind.make(elman)(*given(kind)))
    if (kind.name, what) in RUINOUS:
        assert type(ours) is RuntimeError
        assert str(ours).startswith(RUINOUS[kind.name, what])
        return
    theirs = raised(lambda: kind.make(torch.nn)(*given(kind)))
    assert type(ours) is type(theirs), f"{ours!r}\n{theirs!r}"
    sentence = str(theirs).splitlines()[0]
    begins = str(ours).startswith(sentence)
    assert begins == ((str(kind), what) not in OTHERWISE), f"{ours}\n{sentence}"
    assert f"{kind.name}: expected " in str(ours)
    assert ", got " in str(ours)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        pytest.param(kind, given, id=f"{kind}-{what}")
        for kind in KINDS
        if kind.name.startswith("GRU")
        for what, given in (ANY | (OF_CELLS if kind.single else OF_LAYERS)).items()
    ],
)
def test_a_module_of_any_cell_says_the_same(kind: Kind, given: Callable[[Kind], tuple]) -> None:
    owner = elman.RecurrentCell if kind.single else elman.Recurrent
    ours = raised(lambda: owner(elman.cells.GRU, I, H)(*given(kind)))
    theirs = raised(lambda: kind.make(elman)(*given(kind)))
    assert type(ours) is type(theirs)
    assert str(ours) == str(theirs).replace(f"{kind.name}: ", f"{owner.__name__}: ")


#: Arguments that constructors refuse: of which classes, and what they are.
CONSTRUCTORS: dict[str, tuple[str, tuple, dict[str, Any]]] = {
    "no units": ("RNN LSTM GRU", (I, 0), {}),
    "no features": ("RNN LSTM GRU", (0, H), {}),
    "units of another type": ("RNN LSTM GRU", (I, "5"), {}),
    "features of another type": ("RNN LSTM GRU", (3.0, H), {}),
    "no layers": ("RNN LSTM GRU", (I, H, 0), {}),
    "layers of another type": ("RNN LSTM GRU", (I, H, "2"), {}),
    "a fraction of layers": ("RNN LSTM GRU", (I, H, 1.5), {}),
    "dropout": ("RNN LSTM GRU", (I, H, 2), {"dropout": 1.5}),
    "dropout of booleans": ("RNN LSTM GRU", (I, H, 2), {"dropout": True}),
    "bias": ("RNN LSTM GRU", (I, H), {"bias": 1}),
    "batch_first": ("RNN LSTM GRU", (I, H), {"batch_first": None}),
    "proj_size of others": ("RNN GRU", (I, H), {"proj_size": 2}),
    "a negative proj_size": ("LSTM", (I, H), {"proj_size": -1}),
    "a large proj_size": ("LSTM", (I, H), {"proj_size": H}),
    "an unknown nonlinearity": ("RNN", (I, H), {"nonlinearity": "elu"}),
    "no nonlinearity": ("RNN", (I, H), {"nonlinearity": None}),
    "a fourth argument": ("RNN", (I, H, 1, "sigmoid"), {}),
    "another device": ("RNN LSTM GRU RNNCell LSTMCell GRUCell", (I, H), {"device": "nowhere"}),
    "another dtype": ("RNN LSTM GRU RNNCell LSTMCell GRUCell", (I, H), {"dtype": "float32"}),
    "negative units": ("RNNCell LSTMCell GRUCell", (I, -1), {}),
}


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        pytest.param(name, *given, id=f"{name}-{what}")
        for what, (names, *given) in CONSTRUCTORS.items()
        for name in names.split()
    ],
)
def test_a_constructor_refuses_with_torchs_sentence(
    name: str, arguments: tuple, options: dict[str, Any]
) -> None:
    theirs = raised(lambda: getattr(torch.nn, name)(*arguments, **options))
    ours = raised(lambda: getattr(elman, name)(*arguments, **options))
    assert type(ours) is type(theirs)
    assert str(ours).startswith(str(theirs))


@pytest.mark.parametrize("value", ["elu", None, 3, ["tanh"]])
def test_a_cell_refuses_another_nonlinearity_when_it_is_called(value: Any) -> None:
    messages = []
    for nn in (torch.nn, elman):
        cell = nn.RNNCell(I, H, nonlinearity=value)
        with pytest.raises(RuntimeError) as caught:
            cell(zeros(B, I))
        messages.append(str(caught.value))
    assert messages[0] == f"Unknown nonlinearity: {value}"
    assert messages[1].startswith(f"{messages[0]}; RNNCell: expected nonlinearity 'tanh' or 'relu'")


def test_a_message_keeps_torchs_sentence_in_a_compiled_call() -> None:
    layer = torch.compile(elman.GRU(I, H), backend="eager")
    with pytest.raises(RuntimeError, match=r"^input\.size\(-1\) must be equal to input_size\."):
        layer(zeros(T, B, I + 1))
    with pytest.raises(ValueError, match=r"^RNN input dtype \(torch\.float64\) does not match"):
        layer(zeros(T, B, I).double())


@pytest.mark.parametrize("kind", ["GRU", "GRUCell"])
def test_what_torchs_operator_refuses_says_more_too(kind: str) -> None:
    module, lead = getattr(elman, kind)(I, H), (B,) if kind.endswith("Cell") else (T, B)
    x = zeros(*lead, I + 1)
    expected = str(raised(lambda: module(x)))
    with elman.set_path("torch"):
        assert str(raised(lambda: module(x))) == expected
    assert f"; {kind}: expected the last dimension of input to be" in expected
