"""A formula as text: what a captured program carries of a cell."""

import io
import subprocess
import sys

import pytest
import torch

import elman
from elman.step import _read, read
from tests.cells import EVERY_STEP


@pytest.mark.parametrize("name", EVERY_STEP)
def test_the_text_of_a_formula_is_read_back_as_the_same_formula(name: str) -> None:
    step = EVERY_STEP[name]
    found = _read(step.text)
    assert found.new == step.new  # the same objects, constants and all
    named = {*step.full.outputs} - {*step.states}  # of which the text does not speak
    assert (found is step) == (not named)
    if len(step.full.outputs) > 1:
        assert _read(step.full.text) is step.full


def test_a_text_is_read_in_a_process_that_has_never_seen_the_cell() -> None:
    texts = [step.text for step in EVERY_STEP.values()]
    code = (
        "import sys\nfrom elman.step import read\nprint([read(t).name for t in eval(sys.argv[1])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, repr(texts)], capture_output=True, text=True, check=True
    )
    assert eval(done.stdout) == [step.name for step in EVERY_STEP.values()]


def test_numbers_have_the_same_bits_in_a_text() -> None:
    numbers = (0.1, -0.0, 1e-320, float("inf"), -float("inf"), 1e39, 2**-1074)

    class Numbers(elman.Cell):
        gates = ("h",)

        def step(self, x, u, s):
            return elman.tanh(sum((n * x.h for n in numbers), u.h))

    step = Numbers().trace()
    assert all(repr(n.hex()) in step.text for n in numbers)
    assert _read(step.text) is step


def test_names_may_be_of_any_alphabet() -> None:
    class Foreign(elman.Cell):
        gates = ("門",)
        states = ("é",)

        def step(self, x, u, s):
            return elman.tanh(x.門 + u.門)

    net, x = elman.Recurrent(Foreign, 2, 3), torch.rand(4, 1, 2)
    assert torch.equal(torch.export.export(net, (x,)).module()(x)[0], net(x)[0])
    file = io.BytesIO()
    torch.export.save(torch.export.export(net, (x,)), file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(x)[0], net(x)[0])


TEXT = elman.cells.LSTM().trace().text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TEXT, "nobody", "got 'nobody'"),
        ("add None H [2, 3]", "add None H [2, 400]", "list index out of range"),
        ("add None H [2, 3]", "add None H [2]", "is no operation here"),
        ("add None H [2, 3]", "plus None H [2, 3]", "is no operation here"),
        ("add None H [2, 3]", "add None P [2, 3]", "not written as elman does"),
        ("add None H [2, 3]", "add None H", "is no operation"),
        ("x 'i' H []", "x 'k' H []", "is no operation here"),
        ("product 'i' H [1]", "product 'k' H [1]", "is no operation here"),
        ("('h', 'c')", "('h', 1)", "no names"),
        ("('h', 'c')", "['h', 'c']", "no names"),
        ("('h', 'c')", "('h', 'c', 'd')", "longer|shorter"),
        ("{}", "{'m': ('H', 'Q')}", "'Q' is no space"),
        ("{}", "{'m': ('H', 'P')}", "'P' is no size here"),
        ("{}", "{'m': ('H', 'S01')}", "'S01' is no space"),
        ("''", "''\nsizes {'h': 0}", "a size is of nothing, or none"),
        ("''", "''\nsizes {'q': 2}", "a size is of nothing, or none"),
        ("''", "'p'", "a matrix has no size"),
        ("('h', 'c')", "('h', 'c', __import__('os'))", "malformed node"),
    ],
)
def test_a_text_that_no_formula_has_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(elman.FormulaError, match=rf"(?s)expected the text .*{message}.*capture"):
        read(TEXT.replace(old, new, 1))
