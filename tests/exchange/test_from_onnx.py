"""Layers of ONNX's nodes: its own tests of them, and what ONNX Runtime gives."""

import io

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.sampled(3)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

import elman  # noqa: E402
from tests.exchange.nodes import GATES, call, model, random  # noqa: E402
from tests.onnx.exported import export, run  # noqa: E402


def node_tests():
    """ONNX's own test cases of the three operators."""
    from onnx.backend.test.case import node
    from onnx.backend.test.case.node import gru, lstm, rnn  # noqa: F401

    found = {case.name: case for case in node._NodeTestCases}
    return {n: c for n, c in found.items() if c.model.graph.node[0].op_type in GATES}


CASES = node_tests()


def test_onnx_has_the_tests_that_are_expected():
    assert {"test_lstm_with_peepholes", "test_gru_seq_length", "test_rnn_seq_length"} <= set(CASES)
    assert len(CASES) >= 18


@pytest.mark.parametrize("name", CASES)
def test_onnx_own_case(name):
    case = CASES[name]
    ((given, expected),) = case.data_sets
    (node,) = case.model.graph.node
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    tensors = dict(zip((n for n in node.input if n), given, strict=True))
    (layer,) = elman.from_onnx(model(node.op_type, tensors, attributes)).values()
    found = call(layer, node.op_type, tensors, attributes.get("layout", 0))
    results = [r for r, output in zip(found, node.output, strict=False) if output]
    for actual, right in zip(results, expected, strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("seed", range(40))
def test_a_layer_computes_what_onnx_runtime_does(op, seed):
    tensors, attributes = random(op, seed)
    fed = [n for n in tensors if n in ("X", "sequence_lens") or n.startswith("initial")]
    proto = model(op, tensors, attributes, tuple(fed))
    (layer,) = elman.from_onnx(proto.SerializeToString()).values()
    expected = run(proto.SerializeToString(), [torch.from_numpy(tensors[n]) for n in fed])
    for actual, right in zip(call(layer, op, tensors), expected, strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-5, atol=1e-5, err_msg=str(attributes))


def plain(op, **attributes):
    """Tensors and attributes of a small node of one direction, with biases."""
    draw, gates, H = np.random.default_rng(0), GATES[op], 4
    shapes = {
        "X": (5, 3, 2),
        "W": (1, gates * H, 2),
        "R": (1, gates * H, H),
        "B": (1, 2 * gates * H),
    }
    tensors = {n: draw.uniform(-0.5, 0.5, s).astype("float32") for n, s in shapes.items()}
    return tensors, {"hidden_size": H, **attributes}


KINDS = {
    "RNN": ("RNN", {}, {}, elman.RNN),
    "RNN of relu": ("RNN", {"activations": ["Relu"]}, {}, elman.RNN),
    "RNN of another function": ("RNN", {"activations": ["Elu"]}, {}, elman.Recurrent),
    "LSTM": ("LSTM", {}, {}, elman.LSTM),
    "LSTM, said to be usual": (
        "LSTM",
        {"activations": ["sigmoid", "tanh", "tanh"]},
        {},
        elman.LSTM,
    ),
    "LSTM with a limit": ("LSTM", {"clip": 1.0}, {}, elman.Recurrent),
    "LSTM with lengths": (
        "LSTM",
        {},
        {"sequence_lens": np.array([2, 5, 3], dtype="int32")},
        elman.Recurrent,
    ),
    "GRU": ("GRU", {"linear_before_reset": 1}, {}, elman.GRU),
    "GRU, reset before": ("GRU", {}, {}, elman.GRU),
    "GRU with a limit": ("GRU", {"clip": 0.5}, {}, elman.Recurrent),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_class_computes_becomes_that_class(name):
    op, attributes, more, kind = KINDS[name]
    tensors, given = plain(op, **attributes)
    ((found, layer),) = elman.from_onnx(model(op, tensors | more, given)).items()
    assert (found, type(layer), layer.training) == (f"{op}_0", kind, False)


def test_a_file_with_names(tmp_path):
    proto = model("LSTM", *plain("LSTM"), name="encoder")
    file = tmp_path / "model.onnx"
    onnx.save(proto, file)
    content = file.read_bytes()
    same = [content, bytearray(content), memoryview(content), io.BytesIO(content)]
    with file.open("rb") as opened:
        for source in (file, str(file), proto, opened, *same):
            assert list(elman.from_onnx(source)) == ["encoder"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["layer", "layer"], ["layer", "layer_1"]),
        (["", ""], ["GRU_0", "GRU_1"]),
        (["GRU", "GRU_2", ""], ["GRU", "GRU_2", "GRU_3"]),
        (["a", "a_2", "a"], ["a", "a_2", "a_3"]),
        (["", "GRU_0", "GRU_0"], ["GRU_1", "GRU_0", "GRU_0_2"]),
    ],
)
def test_each_node_has_a_name_of_its_own(given, expected):
    proto = model("GRU", *plain("GRU"), name=given[0])
    for place, name in enumerate(given[1:]):
        again = helper.make_node("GRU", ["X", "W", "R", "B"], [f"Y{place}"], name, hidden_size=4)
        proto.graph.node.append(again)
    assert list(elman.from_onnx(proto)) == expected


def test_no_limit_is_none():
    (layer,) = elman.from_onnx(model("LSTM", *plain("LSTM", clip=float("inf")))).values()
    assert type(layer) is elman.LSTM


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ThresholdedRelu", lambda x: np.where(x > 1, x, 0)),
        ("Affine", lambda x: x),
        ("ScaledTanh", np.tanh),
        ("LeakyRelu", lambda x: np.where(x > 0, x, 0.01 * x)),
        ("HardSigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
        ("Elu", lambda x: np.where(x > 0, x, np.expm1(x))),
    ],
)
def test_numbers_that_a_node_leaves_out(name, expected):
    x = np.linspace(-3, 3, 7, dtype="float32").reshape(1, 7, 1)
    tensors = {"X": x, "W": np.ones((1, 1, 1), "float32"), "R": np.zeros((1, 1, 1), "float32")}
    (layer,) = elman.from_onnx(model("RNN", tensors, {"activations": [name]})).values()
    output, _ = layer(torch.from_numpy(x))
    np.testing.assert_allclose(output.detach().numpy(), expected(x), rtol=1e-5, atol=1e-6)


def test_weights_that_nodes_compute_of_constants():
    tensors, attributes = plain("GRU", linear_before_reset=1)
    proto = model("GRU", tensors, attributes)
    held = {t.name: t for t in proto.graph.initializer}
    turned = np.ascontiguousarray(tensors["W"].transpose(0, 2, 1))
    held["W"].CopyFrom(numpy_helper.from_array(turned, "turned"))
    constant = helper.make_node("Constant", [], ["R"], value=numpy_helper.from_array(tensors["R"]))
    proto.graph.initializer.remove(held["R"])
    transpose = helper.make_node("Transpose", ["turned"], ["W"], perm=[0, 2, 1])
    proto.graph.node.insert(0, transpose)
    proto.graph.node.insert(0, constant)
    (layer,) = elman.from_onnx(proto).values()
    (plainly,) = elman.from_onnx(model("GRU", tensors, attributes)).values()
    for name, value in plainly.state_dict().items():
        assert torch.equal(layer.state_dict()[name], value), name


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(dtype):
    tensors, attributes = plain("RNN")
    tensors = {name: value.astype(dtype) for name, value in tensors.items()}
    (layer,) = elman.from_onnx(model("RNN", tensors, attributes)).values()
    assert layer.weight_ih_l0.dtype == getattr(torch, dtype)
    assert np.array_equal(layer.weight_hh_l0.detach().numpy(), tensors["R"][0])


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_constant_states_are_learned_ones(direction):
    tensors, attributes = plain("LSTM", direction=direction)
    row = np.linspace(-1, 1, 4, dtype="float32")
    tensors["initial_h"] = np.tile(row, (1, 3, 1))
    tensors["initial_c"] = np.zeros((1, 3, 4), "float32")
    proto = model("LSTM", tensors, attributes)
    (layer,) = elman.from_onnx(proto).values()
    expected = run(proto.SerializeToString(), torch.from_numpy(tensors["X"]))
    given = {"X": tensors["X"]}
    for actual, right in zip(call(layer, "LSTM", given), expected, strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-5, atol=1e-6)


def test_layers_come_back_from_what_was_exported():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = elman.LSTM(3, 5, num_layers=2, bidirectional=True)
            self.peepholes = elman.Recurrent(elman.cells.PeepholeLSTM, 10, 4)
            self.coupled = elman.Recurrent(elman.cells.CoupledLSTM, 4, 4)
            self.before = elman.Recurrent(elman.cells.GRU(reset_after=False), 4, 4)
            self.hard = elman.Recurrent(elman.cells.Elman("hardsigmoid"), 4, 4)

        def forward(self, input):
            for layer in self.children():
                input, _ = layer(input)
            return input

    torch.manual_seed(0)
    net, x = Model(), torch.randn(6, 2, 3)
    layers = elman.from_onnx(export(net, lambda T, B: {"input": torch.randn(T, B, 3)}))
    kinds = [type(layer).__name__ for layer in layers.values()]
    assert kinds == ["LSTM", "LSTM", "Recurrent", "Recurrent", "GRU", "Recurrent"]
    output = x
    for layer in layers.values():
        output, _ = layer(output)
    torch.testing.assert_close(output, net(x), rtol=1e-5, atol=1e-6)


def wrong(change):
    """A model that is changed."""
    proto = model("RNN", *plain("RNN"))
    change(proto)
    return proto


def as_input(proto):
    (held,) = [t for t in proto.graph.initializer if t.name == "W"]
    proto.graph.initializer.remove(held)
    proto.graph.input.append(helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, None))


def set_attribute(key, value):
    return lambda proto: proto.graph.node[0].attribute.append(helper.make_attribute(key, value))


def add_states(proto):
    states = np.arange(12, dtype="float32").reshape(1, 3, 4)
    proto.graph.initializer.append(numpy_helper.from_array(states, "initial_h"))
    proto.graph.node[0].input.extend(["", "initial_h"])


def into_a_branch(proto):
    graph = onnx.GraphProto()
    graph.CopyFrom(proto.graph)
    del proto.graph.node[:]
    proto.graph.node.append(helper.make_node("If", ["X"], ["Y"], then_branch=graph))


def into_a_function(proto):
    imports = [helper.make_opsetid("", 14)]
    proto.functions.append(
        helper.make_function("mine", "layer", ["X"], ["Y"], [*proto.graph.node], imports)
    )
    del proto.graph.node[:]
    proto.graph.node.append(helper.make_node("layer", ["X"], ["Y"], domain="mine"))


ERRORS = {
    "weights that come in": (
        as_input,
        "expected W of RNN_0 to be constant, got 'W', which depends",
    ),
    "an activation": (
        set_attribute("activations", ["Gelu"]),
        "expected 1 activations of RNN_0, of",
    ),
    "a direction": (
        set_attribute("direction", "up"),
        r"expected direction of RNN_0 to be one of \['forward', .* got 'up'",
    ),
    "rows that differ": (add_states, "expected initial_h of RNN_0 to be the same for all rows"),
    "no R": (
        lambda proto: proto.graph.node[0].input.__delitem__(slice(2, None)),
        "input R of RNN_0",
    ),
    "no name for R": (
        lambda proto: proto.graph.node[0].input.__setitem__(2, ""),
        "input R of RNN_0",
    ),
    "a node of another domain": (
        lambda proto: setattr(proto.graph.node[0], "domain", "mine"),
        r"no RNN, LSTM or GRU node of ONNX, only \['mine::RNN'\]",
    ),
    "a branch": (into_a_branch, "in the graph itself, got RNN '' in the body of a branch, a loop"),
    "a function": (into_a_function, "in the graph itself, got RNN '' .*inline_local_functions"),
    "no such node": (
        lambda proto: setattr(proto.graph.node[0], "op_type", "Relu"),
        r"the model has no RNN, LSTM or GRU node of ONNX, only \['Relu'\]",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_is_refused(name):
    change, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        elman.from_onnx(wrong(change))


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


#: An operator of 4 units, further attributes, other tensors, and what is said.
CONTRADICTIONS = [
    (
        "LSTM",
        {"direction": "bidirectional"},
        {},
        r"W of node to have shape \(2, 16, any\), got \(1,",
    ),
    (
        "LSTM",
        {},
        {"W": ones(2, 16, 2)},
        r"W of node to have shape \(1, 16, any\), got \(2, 16, 2\): dir",
    ),
    (
        "GRU",
        {"direction": "reverse"},
        {"W": ones(2, 12, 2)},
        r"W .* \(1, 12, any\), got \(2, 12, 2\)",
    ),
    ("RNN", {"hidden_size": 7}, {}, r"W .* \(1, 7, any\), got \(1, 4, 2\): .*hidden_size=7"),
    ("RNN", {"hidden_size": 0}, {}, "hidden_size of node to be 1 or more, got 0"),
    ("LSTM", {}, {"W": ones(16, 2)}, r"W of node to have shape \(1, 16, any\), got \(16, 2\)"),
    (
        "LSTM",
        {},
        {"W": ones(1, 15, 2)},
        r"W of node to have shape \(1, 16, any\), got \(1, 15, 2\)",
    ),
    ("LSTM", {}, {"R": ones(1, 16, 5)}, r"R of node to have shape \(1, 16, 4\), got \(1, 16, 5\)"),
    ("LSTM", {}, {"B": ones(1, 16)}, r"B of node to have shape \(1, 32\), got \(1, 16\)"),
    ("LSTM", {}, {"P": ones(1, 5)}, r"P of node to have shape \(1, 12\), got \(1, 5\)"),
    ("GRU", {}, {"initial_h": ones(3, 4)}, r"initial_h .* \(1, any, 4\), got \(3, 4\)"),
    (
        "GRU",
        {"layout": 1},
        {"initial_h": ones(1, 3, 4)},
        r"initial_h .* \(any, 1, 4\), got \(1, 3, 4\)",
    ),
    ("LSTM", {}, {"initial_c": ones(1, 3, 9)}, r"initial_c .* \(1, any, 4\), got \(1, 3, 9\)"),
    ("LSTM", {}, {"W": ones(1, 16, 2, dtype="int32")}, "W of node to be of float16, .* got int32"),
    (
        "LSTM",
        {},
        {"W": ones(1, 16, 2, dtype="float64")},
        "R of node to be of float64 as W is, got fl",
    ),
    *(
        ("GRU", {"clip": v}, {}, "clip of node to be above 0, got")
        for v in (0.0, -1.0, float("nan"))
    ),
    ("GRU", {"clip": 1}, {}, "clip of node to be FLOAT, got INT"),
    ("GRU", {"direction": 1}, {}, "direction of node to be STRING, got INT"),
    ("GRU", {"layout": 2}, {}, "layout of node to be 0 or 1, got 2"),
    ("GRU", {"linear_before_reset": -1}, {}, "linear_before_reset of node to be 0 or 1, got -1"),
    (
        "GRU",
        {"input_forget": 1},
        {},
        "attributes of node to be among .* got 'input_forget': GRU of ops",
    ),
    ("RNN", {"other": 1}, {}, "attributes of node to be among .* got 'other'"),
]


@pytest.mark.parametrize(("op", "attributes", "tensors", "message"), CONTRADICTIONS)
def test_a_node_that_contradicts_itself_is_refused(op, attributes, tensors, message):
    held, given = plain(op, **attributes)
    with pytest.raises(ValueError, match=f"^from_onnx: expected (the )?{message}"):
        elman.from_onnx(model(op, held | tensors, given, name="node"))


def test_content_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    for source in (b"no model", tmp_path / "model.onnx"):
        with pytest.raises(ValueError, match="expected a model of ONNX, got other content"):
            elman.from_onnx(source)
    with pytest.raises(TypeError, match="got StringIO that reads str: open it as binary"):
        elman.from_onnx(io.StringIO("text"))


def test_something_else_is_refused():
    with pytest.raises(TypeError, match=r"expected a file or its name, .* got Linear"):
        elman.from_onnx(torch.nn.Linear(2, 3))


def test_without_onnx_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install elman\[onnx\]"):
        elman.from_onnx("model.onnx")
