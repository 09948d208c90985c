"""The table of spaces, and the shapes that follow from it."""

import pytest

from elman.spaces import HIDDEN, INPUT, ONE, PROJECTED, SPACES, Matrix, Sizes
from elman.step import Step
from tests.cells import EVERY_STEP
from tests.sizes import layer_sizes

SIZES = layer_sizes(3, 7, 5)


def test_each_space_is_found_by_its_name():
    assert {name: SPACES[name] for name in ("I", "H", "P", "")} == SPACES
    assert list(SPACES.values()) == [INPUT, HIDDEN, PROJECTED, ONE]
    assert all(space.name == name for name, space in SPACES.items())


def test_a_number_takes_the_memory_of_hidden_units():
    assert [space.stored for space in SPACES.values()] == [INPUT, HIDDEN, PROJECTED, HIDDEN]


def test_a_module_says_how_many_units_each_space_has():
    class Module:
        input_size, hidden_size, proj_size = 3, 7, 5

    assert Sizes.of(Module()) == SIZES
    assert SIZES.with_input(4) == layer_sizes(4, 7, 5)
    assert (SIZES.width, SIZES.units) == (3, 7)


@pytest.mark.parametrize(
    ("matrix", "shape", "first"),
    [
        (Matrix("weight_ih", HIDDEN, INPUT, 1, 4), (28, 3), 7),
        (Matrix("weight_hh", HIDDEN, PROJECTED, 3, 4), (28, 5), 21),
        (Matrix("weight_hr", PROJECTED, HIDDEN), (5, 7), 0),
        (Matrix("bias_hh", HIDDEN, block=2, blocks=4), (28,), 14),
    ],
)
def test_a_matrix_has_the_shape_of_its_spaces(matrix, shape, first):
    assert matrix.shape(SIZES) == shape
    assert matrix.first(SIZES) == first
    rows = list(range(shape[0]))
    assert matrix.of(rows, SIZES) == rows[first : first + SIZES[matrix.rows]]


@pytest.mark.parametrize("step", EVERY_STEP.values(), ids=EVERY_STEP)
def test_sizes_and_shapes_are_inverse(step: Step):
    shapes = step.shapes(SIZES)
    assert {block.parameter for block in step.blocks.values()} == {*shapes}
    assert [*shapes] == [name for name in step.parameters if name in shapes]
    expected = {space: SIZES[space] for space in step.spaces}
    if step.x_gates:
        expected[INPUT] = 3
    assert step.sizes([shapes.get(name) for name in step.parameters]) == expected
