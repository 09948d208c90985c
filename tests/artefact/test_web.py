"""Modules for web pages, in Node: numbers, streams, errors, and how a module is loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.artefact.stack import stack_of
from tests.artefact.browsing import needs_linker, needs_node, node, play, served
from tests.streaming.modules import MODULES, Gap, dtype_of, learned

pytestmark = [needs_linker, needs_node]
T = 67  # more than the module has room for at once


class Uneven(elman.Cell):
    """Further inputs: one for each unit, named as what any step has, and two numbers."""

    gates, states, inputs, matrices = ("n",), ("h",), ("x", "small"), ("m",)
    sizes = {"small": 2, "m": 2}  # noqa: RUF012

    def step(self, x, u, s):
        small = self.input("small") * self.product("m", s.h)
        return elman.tanh(x.n + u.n + self.input("x")) + 0.1 * elman.sum(small)


MORE = {
    "cell": lambda: elman.LSTMCell(5, 9),
    "one unit": lambda: elman.RNN(1, 1),
    "double": lambda: learned(
        elman.Recurrent(elman.cells.GRU, 4, 13, 2, learn_initial=True, dtype=torch.float64)
    ),
    "further": lambda: elman.Recurrent(Gap, 3, [7, 2, 21]),
    "uneven": lambda: elman.Recurrent(Uneven, 3, 9),
}


def _inputs(module: Any, steps: int = T) -> tuple[Tensor, dict[str, Tensor]]:
    stack, dtype = stack_of(module, None), dtype_of(module)
    further = {name: torch.rand(steps, n, dtype=dtype) for name, n in stack.further.items()}
    return torch.randn(steps, stack.width, dtype=dtype), further


def _lists(x: Tensor, further: dict[str, Tensor]) -> dict[str, Any]:
    flat = {name: value.flatten().tolist() for name, value in further.items()}
    return {"x": x.flatten().tolist(), "further": flat}


@pytest.mark.parametrize("which", ["LSTM, projected", "residual", "sizes", "learned", *MORE])
def test_streams_give_what_the_reference_gives(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = {**MODULES, **MORE}[which]()
    facts = elman.export(module, tmp_path, "wasm32", "own")
    x, further = _inputs(module)
    found = play(tmp_path, **_lists(x, further))
    expected = stack_of(module, None).run(x, [*further.values()])
    double = facts["dtype"] == "double"
    close = torch.tensor(found["steps"], dtype=torch.float64).reshape(T, -1)
    torch.testing.assert_close(close, expected, rtol=0, atol=1e-12 if double else 1e-5)
    assert found["kind"] == ("Float64Array" if double else "Float32Array")
    # The same bits in chunks, from any array, and beside another stream.
    assert found["steps"] == found["chunk"] == found["given"] == found["forth"]
    assert found["back"] == found["backAlone"] != found["forth"]
    assert (found["inputs"], found["outputs"]) == (x.shape[1], expected.shape[1])
    assert found["furtherInputs"] == {name: value.shape[1] for name, value in further.items()}
    assert found["stateBytes"] == facts["state_bytes"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8], ids=str)
def test_weights_in_fewer_bytes(dtype: torch.dtype, tmp_path: Path) -> None:
    module = elman.GRU(9, 21)
    elman.export(module, tmp_path, "wasm32", "own", weight_dtype=dtype)
    x, _ = _inputs(module)
    found = torch.tensor(play(tmp_path, **_lists(x, {}))["steps"]).reshape(T, -1)
    torch.testing.assert_close(
        found.double(), stack_of(module, dtype).run(x, []), rtol=0, atol=1e-5
    )


ERRORS = {
    "stream.step([1, 2])": "RangeError: own: expected 3 numbers in x (1 x 3), got 2",
    "stream.step(1)": "RangeError: own: expected 3 numbers in x (1 x 3), got number",
    "stream.step()": "RangeError: own: expected 3 numbers in x (1 x 3), got undefined",
    "stream.step([1, 2, 3])": "RangeError: own: expected 5 numbers in gap (1 x 5), got undefined",
    "stream.step([1, 2, 3], { gap: [1] })": "RangeError: own: expected 5 numbers in gap (1 x 5), "
    "got 1",
    "stream.step([1, 2, 3], { gab: [1] })": "RangeError: own: expected further inputs "
    '["gap"], got "gab"',
    "stream.step([1, 2, 3], { gap: Array(5).fill(0) }, [0])": "RangeError: own: expected 5 numbers "
    "in y (1 x 5), got 1",
    "stream.chunk([1, 2, 3, 4])": "RangeError: own: expected T whole rows of 3 numbers, got "
    "T = 1.3333333333333333",
    "stream.chunk([1, 2, 3], -1)": "RangeError: own: expected T whole rows of 3 numbers, got "
    "T = -1",
    "stream.chunk([1, 2, 3], 2)": "RangeError: own: expected 6 numbers in x (2 x 3), got 3",
    "(stream.free(), stream.free(), stream.reset())": "Error: own: expected a stream, got a freed "
    "one",
}
#: What is no error.
VALUES = {
    "stream.chunk([], 0, { gap: [] }).length": 0,
    # An array that is given is filled and returned.
    "((y) => stream.step([1, 2, 3], { gap: Array(5).fill(0) }, y) === y && y.some((n) => n))"
    "(new Float32Array(5))": True,
    # Hundreds of streams grow the memory; results that were given before stay as they are.
    "((y, all) => all.length === 500 && new Set([y, ...all].map(String)).size === 1)"
    "(stream.step([1, 2, 3], { gap: Array(5).fill(0) }), Array.from({ length: 500 }, () =>"
    " layer.stream().step([1, 2, 3], { gap: Array(5).fill(0) })))": True,
    # Freed memory begins anew: its stream does not go on where another was.
    "((a) => { const step = (s) => String(s.step([1, 2, 3], { gap: Array(5).fill(0) }));"
    " const first = step(a); const second = step(a); a.free(); const b = layer.stream();"
    " return first !== second && step(b) === first; })(stream)": True,
}


def test_errors_say_what_was_expected(tmp_path: Path) -> None:
    elman.export(elman.Recurrent(Gap, 3, 5), tmp_path, "wasm32", "own")
    expected = {**ERRORS, **VALUES}
    found = play(tmp_path, expressions=[*expected], further={"gap": []})
    assert dict(zip(expected, found["values"], strict=True)) == expected


TOKENS = {
    "[layer.tokens, layer.inputs]": [9, 1],
    # A number, an array and typed arrays are the same, also beyond the room for 64 steps.
    "((all) => new Set(all.map(String)).size === 1)([Int32Array, Uint8Array, Float64Array, Array]"
    ".map((kind) => kind.from({ length: 67 }, (_, i) => (i * 5) % 9))"
    ".map((x) => layer.stream().chunk(x).slice(-2)))": True,
    "((s) => String(s.step([4])) !== String(s.step(4)))(stream)": True,
    "String(layer.stream().step([4])) === String(layer.stream().step(4))": True,
    "stream.step(9)": "RangeError: own: expected tokens from 0 to 8, got 9 in x at 0",
    "stream.step(-1)": "RangeError: own: expected tokens from 0 to 8, got -1 in x at 0",
    "stream.step(0.5)": "RangeError: own: expected tokens from 0 to 8, got 0.5 in x at 0",
    "stream.step(NaN)": "RangeError: own: expected tokens from 0 to 8, got NaN in x at 0",
    "stream.step('4')": "RangeError: own: expected tokens from 0 to 8, got 4 in x at 0",
    "stream.step([1, 2])": "RangeError: own: expected 1 numbers in x (1 x 1), got 2",
    "stream.chunk([1, 2, 2 ** 32])": "RangeError: own: expected tokens from 0 to 8, got 4294967296 "
    "in x at 2",
    # A chunk that is refused reads nothing, and writes nothing.
    "((s, y) => { try { s.chunk([4, 9], 2, {}, y); } catch {} return y.every((n) => n === 0) && "
    "String(s.step(4)) === String(layer.stream().step(4)); })(stream, new Float32Array(4))": True,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_takes_tokens(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(9, 3), elman.GRU(3, 5), torch.nn.Linear(5, 2))
    elman.export(model.to(dtype), tmp_path, "wasm32", "own")
    x = torch.randint(9, (T, 1))
    expected = stack_of(model, None).run(x, [])
    texts = TOKENS
    if dtype == torch.float64:
        texts = {"stream.step(1).constructor.name": "Float64Array"}
    found = play(tmp_path, expressions=[*texts], x=x.flatten().tolist())
    assert dict(zip(texts, found["values"], strict=True)) == texts
    close = torch.tensor(found["steps"], dtype=torch.float64).reshape(T, -1)
    torch.testing.assert_close(close, expected, rtol=0, atol=1e-6)
    assert found["steps"] == found["chunk"] == found["given"] == found["forth"]


def test_another_module_is_refused(tmp_path: Path) -> None:
    elman.export(elman.GRU(3, 5), tmp_path / "old", "wasm32", "own")
    elman.export(elman.GRU(3, 6), tmp_path / "new", "wasm32", "own")
    found = play(tmp_path / "new", source=str(tmp_path / "old" / "own.wasm"))
    assert found["error"] == "Error: own: expected the own.wasm that was exported with own.js"


@pytest.mark.parametrize("kind", ["application/wasm", "application/octet-stream"])
def test_modules_come_from_servers(kind: str, tmp_path: Path) -> None:
    elman.export(elman.GRU(3, 5), tmp_path, "wasm32", "own")
    with served(tmp_path, {".wasm": kind}) as url:
        here = play(tmp_path, source=f"{url}/own.wasm", x=[0.5] * 6)
        absent = play(tmp_path, source=f"{url}/absent.wasm")
    assert here["streamed"] == (kind == "application/wasm")
    assert here["steps"] == play(tmp_path, x=[0.5] * 6)["steps"]
    assert absent["error"] == f"Error: own: {url}/absent.wasm answered 404"


def test_a_file_is_to_be_read_by_the_caller(tmp_path: Path) -> None:
    elman.export(elman.GRU(3, 5), tmp_path, "wasm32", "own")
    (tmp_path / "try.mjs").write_text(
        'import { load } from "./own.js";\n'
        "console.log(JSON.stringify(await load().catch((error) => error.message)));\n"
    )
    said = node(str(tmp_path / "try.mjs"))
    assert said.startswith("own: expected bytes, since fetch reads no file; got file://")


def test_a_worklet_needs_nothing_but_the_language(tmp_path: Path) -> None:
    module = elman.GRU(3, 5)
    elman.export(module, tmp_path, "wasm32", "own")
    script = (tmp_path / "own.js").as_uri()
    found = torch.tensor(node("worklet.mjs", script, tmp_path / "own.wasm"), dtype=torch.float64)
    expected = stack_of(module, None).run(torch.full((1, 3), 0.5), [])[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
